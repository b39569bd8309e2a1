// Classifies one image, prints what it shows, and blinks the LED as often as the class says.
#include <Arduino.h>
#include <@NAME@.h>

#include "image.h"

#ifdef __AVR__
#error "@NAME@ needs a board with a 32-bit processor: an Uno, Nano or Mega with AVR has one of 8 bits"
#endif

#ifdef LED_BUILTIN
static const int led = LED_BUILTIN;
#else
static const int led = 2; // where many boards with an ESP32 have one
#endif

static @NAME@_scratch scratch; // @SCRATCH_BYTES@ bytes: more than a small stack has

static void blink(int times)
{
  for (int i = 0; i < times; i++) {
    digitalWrite(led, HIGH);
    delay(250);
    digitalWrite(led, LOW);
    delay(250);
  }
}

void setup()
{
  Serial.begin(115200);
  pinMode(led, OUTPUT);
}

void loop()
{
  float logits[@MACRO@_CLASSES];
  const unsigned long start = micros();

  @NAME@_predict(image, logits, &scratch);
  const unsigned long taken = micros() - start;
  const int best = @NAME@_best(logits);
  Serial.print("answer ");
  Serial.print(@NAME@_labels[best]);
  Serial.print(", expected ");
  Serial.print(@NAME@_labels[IMAGE_CLASS]);
  Serial.print(", microseconds ");
  Serial.println(taken);
  blink(best);
  delay(2000);
}
