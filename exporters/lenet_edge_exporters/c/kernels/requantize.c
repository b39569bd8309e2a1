/* A sum to the code of an activation. The product is rounded to float once, then to an integer, ties to even. */

#if LENET_AVX2

/* lenet_requantize for eight channels. */
static inline void lenet_requantize8(lenet_sums sums, const float *scale, int zero_point, uint8_t codes[8])
{
    const __m256 low = _mm256_set1_ps((float)(0 - zero_point)), high = _mm256_set1_ps((float)(255 - zero_point));
    const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scale));
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, low), high));
    const __m256i shifted = _mm256_add_epi32(rounded, _mm256_set1_epi32(zero_point));
    const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));

    _mm_storeu_si64(codes, _mm_packus_epi16(halves, halves));
}

#elif LENET_DOT_PRODUCT

/* Four sums to the nearest integers, with the zero point; saturated where 16 bits do not hold them. */
static inline int16x4_t lenet_requantize4(int32x4_t sums, const float *scale, int zero_point)
{
    const int32x4_t rounded = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), vld1q_f32(scale)));

    return vqmovn_s32(vqaddq_s32(rounded, vdupq_n_s32(zero_point)));
}

/* lenet_requantize for eight channels. */
static inline void lenet_requantize8(lenet_sums sums, const float *scale, int zero_point, uint8_t codes[8])
{
    const int16x4_t low = lenet_requantize4(sums.low, scale, zero_point);

    vst1_u8(codes, vqmovun_s16(vcombine_s16(low, lenet_requantize4(sums.high, scale + 4, zero_point))));
}

#else

static inline uint8_t lenet_requantize(int32_t sum, float scale, int zero_point)
{
    return lenet_saturate(lenet_round((float)sum * scale) + zero_point);
}

#endif
