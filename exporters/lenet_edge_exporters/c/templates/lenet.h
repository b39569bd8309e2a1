/* @TITLE@: an image classifier in 8-bit integers, as C99.
 *
 * Written by lenet-edge @VERSION@; do not edit, export again.
 * Weights: @WEIGHTS_ORIGIN@
 * They are yours; the rest: SPDX-License-Identifier: MIT, Copyright (c) 2026 The lenet-edge developers.
 *
 * An image is @IMAGE@, one byte a pixel, row by row, @POLARITY@.
 * It is given as it comes from the camera: padding and normalisation are part of the network.
 *
 *     static lenet_scratch scratch;
 *     float logits[LENET_CLASSES];
 *     lenet_predict(pixels, logits, &scratch);
 *     puts(lenet_known(logits) ? lenet_labels[lenet_best(logits)] : "none");
 *
 * Nothing is allocated and nothing global is written: calls with scratch of their own may run at the same time, in
 * threads or interrupts, and every call does the same work, whatever the image. The logits are the same, bit for bit,
 * whatever the compiler, its options (but -ffast-math) and the processor.
 */
#ifndef LENET_H
#define LENET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LENET_EXPORTER_VERSION "@VERSION@"
#define LENET_WEIGHTS_SHA256 "@SHA256@" /* of the constants in lenet.c */

#define LENET_CHANNELS @CHANNELS@
#define LENET_HEIGHT @HEIGHT@
#define LENET_WIDTH @WIDTH@
#define LENET_PIXELS @PIXELS@ /* bytes of one image */
#define LENET_CLASSES @CLASSES@
#define LENET_MACS @MACS@ /* multiplications for one image */

/* What one call needs besides its input and output: @SCRATCH@ bytes of RAM, whose content means nothing between calls. */
typedef struct {
    union {
        int32_t aligned; /* to whole words, for kernels that load two numbers at a time */
        int16_t numbers[@WORK@];
    } work;
    uint8_t activations[@ACTIVATIONS@];
} lenet_scratch;

/* The names of the classes, in UTF-8. */
extern const char *const lenet_labels[LENET_CLASSES];

/* Classify one image. The three must not be NULL and must not overlap.
 *
 *   pixels   LENET_PIXELS bytes
 *   logits   LENET_CLASSES numbers are written: the greater, the likelier. Their softmax gives probabilities.
 *   scratch  this call's own, at an address for its type: a buffer of bytes cast to it may stand elsewhere
 */
void lenet_predict(const uint8_t *pixels, float *logits, lenet_scratch *scratch);

/* The index of the greatest of LENET_CLASSES logits; of equal ones, the first. */
int lenet_best(const float *logits);

/* Whether the image shows one of the classes: 1 where ln(sum(exp(logits))) is at least @THRESHOLD_SAID@,
 * else 0. */
int lenet_known(const float *logits);

#ifdef __cplusplus
}
#endif

#endif
