/* Images from images.bin to logits in logits.bin, through the debugger of a bare-metal Cortex-M. */
#include "board.h"
#include "lenet.h"

#include <stddef.h>

static uint8_t pixels[LENET_PIXELS];
static float logits[LENET_CLASSES];
static lenet_scratch scratch;

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t block[3] = {(uint32_t)(size_t)name, mode, length};

    return (uint32_t)board_ask(SYS_OPEN, block);
}

int main(void)
{
    const uint32_t input = open_file("images.bin", 10, 1), output = open_file("logits.bin", 10, 5); /* rb, wb */

    for (;;) {
        const uint32_t from[3] = {input, (uint32_t)(size_t)pixels, sizeof pixels};
        const uint32_t to[3] = {output, (uint32_t)(size_t)logits, sizeof logits};
        if (board_ask(SYS_READ, from) != 0) /* bytes that are missing */
            return 0;
        lenet_predict(pixels, logits, &scratch);
        if (board_ask(SYS_WRITE, to) != 0)
            return 1;
    }
}
