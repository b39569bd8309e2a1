/* Known answers: what onnxruntime @ONNXRUNTIME@ computes from the same weights (int8 ONNX). Every bit has to be the
 * same here. Prints PASS or FAIL and returns 0 or 1.
 */
#include "@NAME@.h"

#include <stdio.h>
#include <string.h>

#define IMAGES @IMAGES@

static const uint8_t images[IMAGES * @MACRO@_PIXELS] = {
@IMAGE_DATA@
};

/* The bits of the logits, which a decimal number would hide. */
static const uint32_t answers[IMAGES * @MACRO@_CLASSES] = {
@ANSWER_DATA@
};

int main(void)
{
    static @NAME@_scratch scratch;
    int wrong = 0;

    for (int i = 0; i < IMAGES; i++) {
        float logits[@MACRO@_CLASSES];
        @NAME@_predict(images + i * @MACRO@_PIXELS, logits, &scratch);
        if (memcmp(logits, answers + i * @MACRO@_CLASSES, sizeof logits) != 0) {
            printf("image %d: the logits differ\n", i);
            wrong++;
        }
    }
    printf("%s: %d of %d known answers\n", wrong ? "FAIL" : "PASS", IMAGES - wrong, IMAGES);
    return wrong ? 1 : 0;
}
