/* A Cortex-M on Arm's MPS2 boards, with a debugger (or an emulator) for its console: Arm, Semihosting for AArch32 and
 * AArch64, 2.0. `main` is called with the floating-point unit on; what it returns is the emulator's exit code.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

enum { SYS_OPEN = 0x01, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };

/* Ask the debugger for an operation; the result means what the operation says. */
int board_ask(int operation, const void *argument);

/* Print a text, or a number in decimals. */
void board_print(const char *text);
void board_print_number(uint32_t number);

int main(void);

#endif
