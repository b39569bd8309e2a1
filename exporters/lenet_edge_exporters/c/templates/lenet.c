/* @TITLE@, written by lenet-edge @VERSION@: see @NAME@.h. Do not edit, export again.
 *
 * Codes are 8-bit numbers that stand for scale * (code - zero point). A layer sums codes times weights in 32 bits,
 * exactly, and makes codes of the sums again; the last one makes logits of them.
 *
 * The weights are yours; the rest: SPDX-License-Identifier: MIT, Copyright (c) 2026 The lenet-edge developers.
 */
#include "@NAME@.h"

#include <string.h>

const char @NAME@_identity[] = "lenet-edge " @MACRO@_EXPORTER_VERSION " @NAME@ " @MACRO@_WEIGHTS_SHA256;

@BODY@
void @NAME@_predict_batch(const uint8_t *pixels, size_t images, float *logits, @NAME@_scratch *scratch)
{
    for (size_t i = 0; i < images; i++)
        @NAME@_predict(pixels + i * @MACRO@_PIXELS, logits + i * @MACRO@_CLASSES, scratch);
}

const char *const @NAME@_labels[@MACRO@_CLASSES] = {
    @LABELS@
};

int @NAME@_best(const float *logits)
{
    int best = 0;

    for (int i = 1; i < @MACRO@_CLASSES; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

int @NAME@_known(const float *logits)
{
    float sum = 0.0f;

    for (int i = 0; i < @MACRO@_CLASSES; i++) {
        const float above = logits[i] - @THRESHOLD@;
        const float part = above / 64.0f;
        float power = 1.0f + part / 4.0f * (1.0f + part / 5.0f);

        power = 1.0f + part * (1.0f + part / 2.0f * (1.0f + part / 3.0f * power));
        if (above >= 0.0f)
            return 1;
        if (above < -20.0f) /* exp of it is less than 3e-9 */
            continue;
        for (int doubling = 0; doubling < 6; doubling++)
            power *= power;
        sum += power;
    }
    return sum >= 1.0f;
}
