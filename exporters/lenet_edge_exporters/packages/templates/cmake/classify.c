/* Classifies one image and prints what it shows. */
#include <@NAME@.h>

#include <stdio.h>

#include "image.h"

int main(void)
{
    static @NAME@_scratch scratch; /* @SCRATCH_BYTES@ bytes: more than a small stack has */
    float logits[@MACRO@_CLASSES];
    int best;

    @NAME@_predict(image, logits, &scratch);
    best = @NAME@_best(logits);
    printf("answer %s, expected %s\n", @NAME@_labels[best], @NAME@_labels[IMAGE_CLASS]);
    return best == IMAGE_CLASS ? 0 : 1;
}
