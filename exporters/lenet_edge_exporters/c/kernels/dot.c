#if LENET_AVX2

typedef __m256i lenet_sums;    /* of eight channels */
typedef __m256i lenet_weights; /* of a lane for eight channels */
typedef __m256i lenet_operands; /* a lane, which all of them are multiplied with */

/* In a register of its own: gcc copies sums to another register and back, and loads weights once for every product. */
#if defined(__GNUC__) && !defined(__clang__)
#define LENET_KEEP(vector) __asm__("" : "+v"(vector))
#else
#define LENET_KEEP(vector) (void)0
#endif

static inline lenet_sums lenet_zero_sums(void)
{
    return _mm256_setzero_si256();
}

static inline lenet_sums lenet_load_sums(const int32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline lenet_sums lenet_add_sums(lenet_sums a, lenet_sums b)
{
    return _mm256_add_epi32(a, b);
}

static inline lenet_sums lenet_greater_sums(lenet_sums a, lenet_sums b)
{
    return _mm256_max_epi32(a, b);
}

static inline lenet_weights lenet_load_weights(const lenet_weight *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

/* One lane to all eight, in one instruction: gcc makes two of what clang makes one of. The builtin reads any
 * type from any address. */
static inline lenet_operands lenet_broadcast(const lenet_operand *from)
{
#if defined(__clang__)
    return _mm256_broadcastd_epi32(_mm_loadu_si32(from));
#else
    return _mm256_castps_si256(_mm256_broadcast_ss((const float *)(const void *)from));
#endif
}

/* sum + x * w over a lane's codes, unsigned, and weights, signed: exact, and nothing saturates. */
static inline lenet_sums lenet_multiply_add(lenet_sums sum, lenet_operands x, lenet_weights w)
{
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpbusd_epi32(sum, x, w);
#elif LENET_VNNI
    return _mm256_dpbusd_avx_epi32(sum, x, w);
#else
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
    LENET_KEEP(sum);
    return sum;
#endif
}

#elif LENET_DOT_PRODUCT

typedef struct {
    int32x4_t low, high;
} lenet_sums; /* of eight channels */

typedef struct {
    int8x16_t low[2], high[2]; /* four numbers for each of four channels, then four more */
} lenet_weights; /* of a lane for eight channels */

typedef uint8x8_t lenet_operands; /* a lane, which all of them are multiplied with */

#define LENET_KEEP(vector) (void)0

static inline lenet_sums lenet_zero_sums(void)
{
    return (lenet_sums){vdupq_n_s32(0), vdupq_n_s32(0)};
}

static inline lenet_sums lenet_load_sums(const int32_t *from)
{
    return (lenet_sums){vld1q_s32(from), vld1q_s32(from + 4)};
}

static inline lenet_sums lenet_add_sums(lenet_sums a, lenet_sums b)
{
    return (lenet_sums){vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)};
}

static inline lenet_sums lenet_greater_sums(lenet_sums a, lenet_sums b)
{
    return (lenet_sums){vmaxq_s32(a.low, b.low), vmaxq_s32(a.high, b.high)};
}

static inline lenet_weights lenet_load_weights(const lenet_weight *from)
{
    return (lenet_weights){{vld1q_s8(from), vld1q_s8(from + 32)}, {vld1q_s8(from + 16), vld1q_s8(from + 48)}};
}

/* A lane of eight codes, each four of which are multiplied with what all channels have there. */
static inline lenet_operands lenet_broadcast(const lenet_operand *from)
{
    return vld1_u8(from);
}

/* Products of four codes and four weights, in each of four sums; the lane's first four codes or its last. */
#if LENET_SIGNED
#define LENET_DOT(sum, w, x, half) vdotq_lane_s32(sum, w, vreinterpret_s8_u8(x), half)
#else
#define LENET_DOT(sum, w, x, half) vsudotq_lane_s32(sum, w, x, half)
#endif

/* sum + x * w over a lane's codes and weights: exact, and nothing saturates. */
static inline lenet_sums lenet_multiply_add(lenet_sums sum, lenet_operands x, lenet_weights w)
{
    sum.low = LENET_DOT(LENET_DOT(sum.low, w.low[0], x, 0), w.low[1], x, 1);
    sum.high = LENET_DOT(LENET_DOT(sum.high, w.high[0], x, 0), w.high[1], x, 1);
    return sum;
}

#elif LENET_NEON

static inline int32_t lenet_total(int32x4_t sums)
{
#if defined(__aarch64__)
    return vaddvq_s32(sums);
#else
    const int32x2_t halves = vadd_s32(vget_low_s32(sums), vget_high_s32(sums));
    return vget_lane_s32(vpadd_s32(halves, halves), 0);
#endif
}

static inline int32x4_t lenet_multiply_add(int32x4_t sums, int16x8_t x, int16x8_t w)
{
    sums = vmlal_s16(sums, vget_low_s16(x), vget_low_s16(w));
    return vmlal_s16(sums, vget_high_s16(x), vget_high_s16(w));
}

#elif LENET_HELIUM

/* sum + x * w over sixteen codes less 128 and as many weights. */
static inline int32_t lenet_multiply_add(int32_t sum, const uint8_t *x, int8x16_t w)
{
    return vmladavaq_s8(sum, vreinterpretq_s8_u8(vldrbq_u8(x)), w);
}

#elif LENET_DSP

/* Four bytes at an address that is a multiple of 4: weights and scratch begin at one, and all that is read of them. */
static inline uint32_t lenet_word(const void *from)
{
    uint32_t word;

#if defined(__GNUC__)
    from = __builtin_assume_aligned(from, 4);
#endif
    LENET_COPY(&word, from, sizeof word);
    return word;
}

/* Four weights as two pairs of 16-bit numbers: the first and the third, the second and the fourth. */
static inline void lenet_widen(const int8_t *weights, uint32_t *even, uint32_t *odd)
{
    const uint32_t word = lenet_word(weights);

    *even = (uint32_t)__sxtb16((int8x4_t)word);
#if defined(__GNUC__)
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(*odd) : "r"(word)); /* gcc makes two instructions of it */
#else
    *odd = (uint32_t)__sxtb16((int8x4_t)(word >> 8 | word << 24));
#endif
}

/* sum + x * w for four numbers and four weights, in this order. */
static inline int32_t lenet_multiply_add4(int32_t sum, const int16_t *x, uint32_t even, uint32_t odd)
{
    const uint32_t first = lenet_word(x), second = lenet_word(x + 2);

#if defined(__GNUC__)
    __asm__ volatile("" : : : "memory"); /* loads stay behind it: gcc has no registers for all of them at once */
#endif
    sum = __smlad((int16x2_t)first, (int16x2_t)even, sum);
    return __smlad((int16x2_t)second, (int16x2_t)odd, sum);
}

/* To such an address. */
static inline void lenet_put_word(void *to, uint32_t word)
{
#if defined(__GNUC__)
    to = __builtin_assume_aligned(to, 4);
#endif
    LENET_COPY(to, &word, sizeof word);
}

/* Four codes at any address. */
static inline uint32_t lenet_4_codes(const uint8_t *from)
{
#if defined(__ARM_FEATURE_UNALIGNED)
    uint32_t word;

    LENET_COPY(&word, from, sizeof word);
    return word;
#else
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
#endif
}

/* `count` codes in the same order as numbers of 16 bits, four at a time, at an address that is a multiple of 4. They
 * may end where the numbers do. */
LENET_KERNEL void lenet_widen_codes(const uint8_t *codes, int count, int16_t *numbers)
{
    for (int i = 0; i < count; i += 4) {
        const uint32_t word = lenet_4_codes(codes + i);
        const uint32_t even = word & 0x00FF00FFu, odd = word >> 8 & 0x00FF00FFu;
        lenet_put_word(numbers + i, even);
        lenet_put_word(numbers + i + 2, odd);
    }
}

#elif LENET_WASM

static inline int32_t lenet_total(v128_t sums)
{
    const v128_t halves = wasm_i32x4_add(sums, wasm_i32x4_shuffle(sums, sums, 2, 3, 0, 1));

    return wasm_i32x4_extract_lane(halves, 0) + wasm_i32x4_extract_lane(halves, 1);
}

static inline v128_t lenet_multiply_add(v128_t sums, v128_t x, v128_t w)
{
    return wasm_i32x4_add(sums, wasm_i32x4_dot_i16x8(x, w));
}

#endif
