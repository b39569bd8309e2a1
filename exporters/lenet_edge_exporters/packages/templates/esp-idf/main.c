/* Classifies one image and prints what it shows. */
#include <stdint.h>
#include <stdio.h>

#include "@NAME@.h"
#include "esp_timer.h"
#include "image.h"

void app_main(void)
{
    static @NAME@_scratch scratch; /* @SCRATCH_BYTES@ bytes: more than a task's stack should give */
    float logits[@MACRO@_CLASSES];
    const int64_t start = esp_timer_get_time();
    int64_t taken;
    int best;

    @NAME@_predict(image, logits, &scratch);
    taken = esp_timer_get_time() - start;
    best = @NAME@_best(logits);
    printf("answer %s, expected %s, microseconds %ld\n", @NAME@_labels[best], @NAME@_labels[IMAGE_CLASS], (long)taken);
}
