/* Stands in for Arduino's own header on a host: Serial writes to stdout, and the LED is told of there. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdint.h>
#include <stdio.h>

#define HIGH 1
#define LOW 0
#define OUTPUT 1
#define LED_BUILTIN 13

struct Port {
  void begin(unsigned long baud) { printf("baud %lu\n", baud); }
  void print(const char *text) { printf("%s", text); }
  void println(unsigned long number) { printf("%lu\n", number); }
};
extern Port Serial; // of the program that calls setup and loop

static inline void pinMode(int pin, int mode) { printf("pin %d mode %d\n", pin, mode); }
static inline void digitalWrite(int pin, int level) { printf("pin %d level %d\n", pin, level); }
static inline void delay(unsigned long) {}
static inline unsigned long micros() { return 0; }

void setup();
void loop();

#endif
