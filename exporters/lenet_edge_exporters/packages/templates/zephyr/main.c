/* Classifies one image and prints what it shows. */
#include <zephyr/sys/printk.h>

#include "@NAME@.h"
#include "image.h"

int main(void)
{
    static @NAME@_scratch scratch; /* @SCRATCH_BYTES@ bytes: more than a thread's stack should give */
    float logits[@MACRO@_CLASSES];
    int best;

    @NAME@_predict(image, logits, &scratch);
    best = @NAME@_best(logits);
    printk("answer %s, expected %s\n", @NAME@_labels[best], @NAME@_labels[IMAGE_CLASS]);
    return 0;
}
