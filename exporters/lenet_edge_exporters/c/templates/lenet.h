/* @TITLE@: an image classifier in 8-bit integers, as C99.
 *
 * Written by lenet-edge @VERSION@; do not edit, export again.
 * Weights: @WEIGHTS_ORIGIN@
 * They are yours; the rest: SPDX-License-Identifier: MIT, Copyright (c) 2026 The lenet-edge developers.
 *
 * An image is @IMAGE@, one byte a pixel, row by row, @POLARITY@.
 * It is given as it comes from the camera: padding and normalisation are part of the network.
 *
 *     static @NAME@_scratch scratch;
 *     float logits[@MACRO@_CLASSES];
 *     @NAME@_predict(pixels, logits, &scratch);
 *     puts(@NAME@_known(logits) ? @NAME@_labels[@NAME@_best(logits)] : "none");
 *
 * Nothing is allocated and nothing global is written: calls with scratch of their own may run at the same time, in
 * threads or interrupts, and every call does the same work, whatever the image. The logits are the same, bit for bit,
 * whatever the compiler, its options (but -ffast-math) and the processor.
 */
#ifndef @MACRO@_H
#define @MACRO@_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @MACRO@_EXPORTER_VERSION "@VERSION@"
#define @MACRO@_WEIGHTS_SHA256 "@SHA256@" /* of the constants in @NAME@.c */

#define @MACRO@_CHANNELS @CHANNELS@
#define @MACRO@_HEIGHT @HEIGHT@
#define @MACRO@_WIDTH @WIDTH@
#define @MACRO@_PIXELS @PIXELS@ /* bytes of one image */
#define @MACRO@_CLASSES @CLASSES@
#define @MACRO@_MACS @MACS@ /* multiplications for one image */

/* What one call needs besides its input and output: @SCRATCH@ bytes of RAM, whose content means nothing between calls. */
typedef struct {
    union {
        int32_t aligned; /* to whole words, for kernels that load two numbers at a time */
        int16_t numbers[@WORK@];
    } work;
    uint8_t activations[@ACTIVATIONS@];
} @NAME@_scratch;

/* "lenet-edge", its version, this network's name and @MACRO@_WEIGHTS_SHA256: in every program that calls it. */
extern const char @NAME@_identity[];

/* The names of the classes, in UTF-8. */
extern const char *const @NAME@_labels[@MACRO@_CLASSES];

/* Classify one image. The three must not be NULL and must not overlap.
 *
 *   pixels   @MACRO@_PIXELS bytes
 *   logits   @MACRO@_CLASSES numbers are written: the greater, the likelier. Their softmax gives probabilities.
 *   scratch  this call's own, at an address for its type: a buffer of bytes cast to it may stand elsewhere
 */
void @NAME@_predict(const uint8_t *pixels, float *logits, @NAME@_scratch *scratch);

/* The same for so many images, one behind the other, and their logits in turn. */
void @NAME@_predict_batch(const uint8_t *pixels, size_t images, float *logits, @NAME@_scratch *scratch);

/* The index of the greatest of @MACRO@_CLASSES logits; of equal ones, the first. */
int @NAME@_best(const float *logits);

/* Whether the image shows one of the classes: 1 where ln(sum(exp(logits))) is at least @THRESHOLD_SAID@,
 * else 0. */
int @NAME@_known(const float *logits);

#ifdef __cplusplus
}
#endif

#endif
