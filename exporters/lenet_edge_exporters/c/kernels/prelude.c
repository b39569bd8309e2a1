/* ---------------------------------------------------------------- arithmetic */

typedef char lenet_needs_an_int_of_32_bits[sizeof(int) >= 4 ? 1 : -1];

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(_M_FP_FAST)
#error "lenet.c needs IEEE 754 arithmetic: build it without -ffast-math (/fp:fast)"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16
#error "float has to be evaluated as float: build with -msse2 -mfpmath=sse on 32-bit x86"
#endif

/* The instruction set, by the compiler's own macros. -DLENET_PLAIN_C leaves all of them out. (gcc has the intrinsics
 * of the DSP extension since 10.) */
#if defined(LENET_PLAIN_C)
#elif defined(__AVX2__)
#define LENET_AVX2 1
#include <immintrin.h>
#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
#define LENET_VNNI 1
#endif
#elif defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#include <arm_neon.h>
#if defined(__aarch64__) && defined(__ARM_FEATURE_MATMUL_INT8)
#define LENET_DOT_PRODUCT 1
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define LENET_DOT_PRODUCT 1
#define LENET_SIGNED 1
#else
#define LENET_NEON 1
#endif
#elif defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#define LENET_HELIUM 1
#define LENET_SIGNED 1
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_SIMD32) && !defined(__ARM_BIG_ENDIAN) \
    && (!defined(__GNUC__) || defined(__clang__) || __GNUC__ >= 10)
#define LENET_DSP 1
#include <arm_acle.h>
#elif defined(__wasm_simd128__)
#define LENET_WASM 1
#include <wasm_simd128.h>
#endif
#ifndef LENET_AVX2
#define LENET_AVX2 0
#endif
#ifndef LENET_VNNI
#define LENET_VNNI 0
#endif
#ifndef LENET_DOT_PRODUCT
#define LENET_DOT_PRODUCT 0
#endif
#ifndef LENET_NEON
#define LENET_NEON 0
#endif
#ifndef LENET_HELIUM
#define LENET_HELIUM 0
#endif
#ifndef LENET_DSP
#define LENET_DSP 0
#endif
#ifndef LENET_WASM
#define LENET_WASM 0
#endif
#ifndef LENET_SIGNED /* both factors have to be signed: 128 is taken from every code, and the biases make up for it */
#define LENET_SIGNED 0
#endif

/* Sums of eight channels side by side, and weights in that order. */
#define LENET_EIGHT (LENET_AVX2 || LENET_DOT_PRODUCT)

/* Where a compiler makes vectors of plain C by itself, it wants whole rows, zeros at their end included, and a
 * convolution's weights as wide as what they are multiplied with; elsewhere fewer numbers in fewer bytes are better. */
#if LENET_WASM || (!LENET_EIGHT && !LENET_NEON && !LENET_DSP && defined(__SSE2__))
#define LENET_WHOLE_ROWS 1
#else
#define LENET_WHOLE_ROWS 0
#endif

/* Windows are copied as bytes: microcontrollers. */
#define LENET_SMALL (!LENET_EIGHT && !LENET_NEON && !LENET_WHOLE_ROWS)
#if LENET_WHOLE_ROWS || (LENET_AVX2 && !LENET_VNNI)
typedef int16_t lenet_weight;
#else
typedef int8_t lenet_weight;
#endif

/* A code as it is multiplied. */
#if LENET_VNNI || LENET_DOT_PRODUCT || (LENET_SMALL && !LENET_DSP)
typedef uint8_t lenet_operand;
#else
typedef int16_t lenet_operand;
#endif

/* How many of a window's row are multiplied at a time for eight channels: VNNI takes four bytes, ARM's dot product
 * twice four, AVX2 a pair of numbers. */
enum { LENET_LANE = LENET_VNNI ? 4 : LENET_DOT_PRODUCT ? 8 : 2 };

/* Sums that are requantized together: eight where a vector holds them, else as many as there are. */
#if LENET_WHOLE_ROWS || LENET_NEON
#define LENET_TOGETHER(filters) 8
#else
#define LENET_TOGETHER(filters) LENET_MIN(8, filters)
#endif

/* Kernels are inlined into one function a layer, whose sizes are then constants; -Os keeps one copy of each. */
#if defined(__GNUC__) && !defined(__OPTIMIZE_SIZE__)
#define LENET_KERNEL static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define LENET_KERNEL static __forceinline
#else
#define LENET_KERNEL static
#endif

/* gcc has to be asked to unroll a short loop; clang does it anyway. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define LENET_PRAGMA(text) _Pragma(#text)
#define LENET_UNROLL(times) LENET_PRAGMA(GCC unroll times)
#else
#define LENET_UNROLL(times)
#endif

/* clang makes an instruction for pairs of 16-bit products of a loop that it is told to take eight at a time. */
#if defined(__clang__) && defined(__SSE2__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define LENET_BY_EIGHT _Pragma("clang loop vectorize_width(8) interleave_count(1)")
#pragma clang diagnostic ignored "-Wpass-failed" /* -O1 and sanitizers leave the loop as it is */
#else
#define LENET_BY_EIGHT LENET_UNROLL(4)
#endif

/* What C99 has and MSVC spells otherwise. */
#if defined(_MSC_VER)
#define LENET_RESTRICT __restrict
#else
#define LENET_RESTRICT restrict
#endif

/* A few bytes of another type, which is one load: with -ffreestanding plain memcpy would be a call. */
#if defined(__GNUC__)
#define LENET_COPY __builtin_memcpy
#else
#define LENET_COPY memcpy
#endif

/* Of weights in 8 bits: the DSP kernels load four at a time, from whole words. */
#if defined(__GNUC__)
#define LENET_WORDS __attribute__((aligned(4)))
#else
#define LENET_WORDS
#endif

#define LENET_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LENET_MAX(a, b) ((a) > (b) ? (a) : (b))

/* A float to the nearest integer in -2^22 .. 2^22, ties to even: adding 1.5 * 2^23 leaves it in the low bits. The
 * bounds also keep a compiler from fusing the addition with a product before it (FMA), which would round once only. */
static inline int32_t lenet_round(float value)
{
    const float limit = 4194304.0f;
    float shifted;
    int32_t bits;

    value = value > -limit ? value : -limit;
    value = value < limit ? value : limit;
    shifted = value + 12582912.0f;
    LENET_COPY(&bits, &shifted, sizeof bits);
    return bits - 0x4B400000;
}

static inline lenet_operand lenet_operand_of(int code)
{
    return (lenet_operand)(LENET_SIGNED ? code ^ 128 : code);
}

/* An integer to the nearest code. Without branches: no processor could foresee which of them an image takes. */
static inline uint8_t lenet_saturate(int32_t value)
{
    value = LENET_MAX(value, 0);
    return (uint8_t)LENET_MIN(value, 255);
}
