/* Names the images of images.h, and counts those that are named rightly. */
#include "board.h"
#include "lenet.h"

#include "images.h"

int main(void)
{
    static lenet_scratch scratch;
    uint32_t right = 0;

    for (int i = 0; i < IMAGES; i++) {
        float logits[LENET_CLASSES];
        int best;

        lenet_predict(images[i], logits, &scratch);
        best = lenet_best(logits);
        board_print(lenet_labels[classes[i]]);
        board_print(": ");
        board_print(lenet_labels[best]);
        board_print("\n");
        right += best == classes[i];
    }
    board_print_number(right);
    board_print(" of ");
    board_print_number(IMAGES);
    board_print(" right\n");
    return 0;
}
