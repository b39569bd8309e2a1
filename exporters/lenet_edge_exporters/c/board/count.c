/* What one inference takes: a line of the timer's count in a loop of two million instructions; a line for each image of
 * images.h, its count and the bits of its logits; and a line of the deepest stack, in bytes.
 */
#include "board.h"
#include "images.h" /* IMAGES, images */
#include "lenet.h"

#include <string.h>

/* Timer 0 of the MPS2 boards, which counts down: control, value, reload (Arm, Cortex-M System Design Kit, 4.3). */
static volatile uint32_t *const timer = (volatile uint32_t *)0x40000000;

extern volatile uint32_t stack_limit[];

enum { PAINT = 0x5AFE5AFE };

static void report(uint32_t count, const float *logits)
{
    board_print_number(count);
    for (int i = 0; logits && i < LENET_CLASSES; i++) {
        uint32_t bits;
        memcpy(&bits, logits + i, sizeof bits);
        board_print(" ");
        board_print_number(bits);
    }
    board_print("\n");
}

int main(void)
{
    static lenet_scratch scratch;
    static float logits[IMAGES][LENET_CLASSES];
    static uint32_t counts[IMAGES];
    uint32_t start, left = 1000000;
    volatile uint32_t *stack, *touched = stack_limit;

    timer[2] = timer[1] = UINT32_MAX;
    timer[0] = 1;
    start = timer[1];
    __asm__ volatile("1: subs %0, #1\n\tbne 1b" : "+r"(left) : : "cc");
    report(start - timer[1], NULL);

    __asm__ volatile("mov %0, sp" : "=r"(stack));
    for (volatile uint32_t *word = stack_limit; word < stack; word++)
        *word = PAINT;
    for (int i = 0; i < IMAGES; i++) {
        start = timer[1];
        lenet_predict(images + i * LENET_PIXELS, logits[i], &scratch);
        counts[i] = start - timer[1];
    }
    while (touched < stack && *touched == PAINT)
        touched++;

    for (int i = 0; i < IMAGES; i++)
        report(counts[i], logits[i]);
    report((uint32_t)(stack - touched) * sizeof *stack, NULL);
    return 0;
}
