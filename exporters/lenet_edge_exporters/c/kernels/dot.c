#if LENET_NEON

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

/* Four weights as two pairs of 16-bit numbers. */
static inline void lenet_widen(const int8_t *weights, uint32_t *first, uint32_t *second)
{
    const uint32_t word = lenet_word(weights);
    const uint32_t even = (uint32_t)__sxtb16((int8x4_t)word);
    const uint32_t odd = (uint32_t)__sxtb16((int8x4_t)(word >> 8 | word << 24));

    *first = (even & 0xFFFFu) | odd << 16;
    *second = even >> 16 | (odd & 0xFFFF0000u);
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
