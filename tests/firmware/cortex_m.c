/* A bare-metal Cortex-M: images in, logits out, through the debugger (semihosting), with no C library.
 *
 * Arm, Semihosting for AArch32 and AArch64, 2.0: operations SYS_OPEN, SYS_WRITE, SYS_READ, SYS_EXIT.
 * BOARD_TEN_DIGITS: classify the ten images of digits.h instead, and print the answers.
 * BOARD_COUNT: print what SysTick counts in a loop of two million instructions, and while each of them is classified.
 */
#include "lenet.h"

#include <stddef.h>

enum { SYS_OPEN = 0x01, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };

static int semihost(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(int failed)
{
    /* ADP_Stopped_ApplicationExit, or ADP_Stopped_RunTimeErrorUnknown */
    semihost(SYS_EXIT, (const void *)(failed ? 0x20023 : 0x20026));
    for (;;) {
    }
}

static lenet_scratch scratch;
static float logits[LENET_CLASSES];

#if defined(BOARD_COUNT)

#include "digits.h"

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010; /* control, reload, current */

static void print(uint32_t number)
{
    char text[11];
    int at = 10;

    text[at] = 0;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    semihost(SYS_WRITE0, text + at);
    semihost(SYS_WRITE0, "\n");
}

static void run(void)
{
    uint32_t start, left = 1000000;

    systick[1] = 0xFFFFFF;
    systick[2] = 0;
    systick[0] = 5;
    start = systick[2];
    __asm__ volatile("1: subs %0, #1\n\tbne 1b" : "+r"(left) : : "cc");
    print((start - systick[2]) & 0xFFFFFF);
    for (int i = 0; i < DIGITS; i++) {
        start = systick[2];
        lenet_predict(digits + i * LENET_PIXELS, logits, &scratch);
        print((start - systick[2]) & 0xFFFFFF);
    }
}

#elif defined(BOARD_TEN_DIGITS)

#include "digits.h"

static void run(void)
{
    for (int i = 0; i < DIGITS; i++) {
        lenet_predict(digits + i * LENET_PIXELS, logits, &scratch);
        semihost(SYS_WRITE0, "digit ");
        semihost(SYS_WRITE0, names[i]);
        semihost(SYS_WRITE0, ": ");
        semihost(SYS_WRITE0, lenet_labels[lenet_best(logits)]);
        semihost(SYS_WRITE0, "\n");
    }
}

#else

static uint8_t pixels[LENET_PIXELS];

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t block[3] = {(uint32_t)(size_t)name, mode, length};

    return (uint32_t)semihost(SYS_OPEN, block);
}

static void run(void)
{
    const uint32_t input = open_file("images.bin", 10, 1), output = open_file("logits.bin", 10, 5); /* rb, wb */

    for (;;) {
        const uint32_t from[3] = {input, (uint32_t)(size_t)pixels, sizeof pixels};
        const uint32_t to[3] = {output, (uint32_t)(size_t)logits, sizeof logits};
        if (semihost(SYS_READ, from) != 0) /* bytes that are missing */
            return;
        lenet_predict(pixels, logits, &scratch);
        if (semihost(SYS_WRITE, to) != 0)
            leave(1);
    }
}

#endif

void reset(void);

void reset(void)
{
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: the floating-point unit on */
    __asm__ volatile("dsb\n\tisb");
#endif
    run();
    leave(0);
}

static void fault(void)
{
    leave(1);
}

extern uint32_t stack_top[];

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))(size_t)stack_top, reset, fault, fault, fault, fault, fault,
};
