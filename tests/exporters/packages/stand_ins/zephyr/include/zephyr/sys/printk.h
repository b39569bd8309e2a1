/* Stands in for Zephyr's header on a host. */
#include <stdio.h>

#define printk printf
