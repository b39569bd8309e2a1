/* The network as a WebAssembly module: one image at a time, in memory of its own. */
#include "lenet.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(memory_of_pixels) uint8_t *memory_of_pixels(void);
EXPORT(predict) float *predict(void);

static uint8_t pixels[LENET_PIXELS];
static float logits[LENET_CLASSES];
static lenet_scratch scratch;

/* Where the caller puts an image. */
uint8_t *memory_of_pixels(void)
{
    return pixels;
}

/* Classify it; the logits stand where the result says. */
float *predict(void)
{
    lenet_predict(pixels, logits, &scratch);
    return logits;
}

/* What a compiler may call by itself; without the attribute it would make each of them call itself. */
__attribute__((no_builtin)) void *memcpy(void *to, const void *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

__attribute__((no_builtin)) void *memset(void *to, int value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((unsigned char *)to)[i] = (unsigned char)value;
    return to;
}
