/* Start-up of a bare-metal Cortex-M, and its console, with no C library. */
#include "board.h"

#include <stddef.h>

int board_ask(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_print(const char *text)
{
    board_ask(SYS_WRITE0, text);
}

void board_print_number(uint32_t number)
{
    char text[11];
    int at = 10;

    text[at] = 0;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    board_print(text + at);
}

static void leave(int failed)
{
    /* ADP_Stopped_ApplicationExit, or ADP_Stopped_RunTimeErrorUnknown */
    board_ask(SYS_EXIT, (const void *)(size_t)(failed ? 0x20023 : 0x20026));
    for (;;) {
    }
}

void reset(void);

void reset(void)
{
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: the floating-point unit on */
    __asm__ volatile("dsb\n\tisb");
#endif
    leave(main());
}

static void fault(void)
{
    leave(1);
}

extern uint32_t stack_top[];

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))(size_t)stack_top, reset, fault, fault, fault, fault, fault,
};
