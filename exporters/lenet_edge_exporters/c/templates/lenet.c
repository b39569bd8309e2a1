/* @TITLE@, written by lenet-edge @VERSION@: see lenet.h. Do not edit, export again.
 *
 * Codes are 8-bit numbers that stand for scale * (code - zero point). A layer sums codes times weights in 32 bits,
 * exactly, and makes codes of the sums again; the last one makes logits of them.
 *
 * The weights are yours; the rest: SPDX-License-Identifier: MIT, Copyright (c) 2026 The lenet-edge developers.
 */
#include "lenet.h"

#include <stddef.h>
#include <string.h>

@BODY@
const char *const lenet_labels[LENET_CLASSES] = {
    @LABELS@
};

int lenet_best(const float *logits)
{
    int best = 0;

    for (int i = 1; i < LENET_CLASSES; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}
