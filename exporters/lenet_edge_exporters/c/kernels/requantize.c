/* A sum to the code of an activation. The product is rounded to float once, then to an integer, ties to even. */

#if LENET_AVX2

/* In a register of its own: gcc copies sums to another register and back, and loads weights once for every product. */
#if defined(__GNUC__) && !defined(__clang__)
#define LENET_KEEP(vector) __asm__("" : "+v"(vector))
#else
#define LENET_KEEP(vector) (void)0
#endif

/* sum + x * w over a lane's codes, unsigned, and weights, signed: exact, and nothing saturates. */
static inline __m256i lenet_multiply_add(__m256i sum, __m256i x, __m256i w)
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

/* lenet_requantize for eight channels; the codes stand in the low 8 bytes. */
static inline __m128i lenet_requantize8(__m256i sums, const float *scale, int zero_point)
{
    const __m256 low = _mm256_set1_ps((float)(0 - zero_point)), high = _mm256_set1_ps((float)(255 - zero_point));
    const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scale));
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, low), high));
    const __m256i codes = _mm256_add_epi32(rounded, _mm256_set1_epi32(zero_point));
    const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));

    return _mm_packus_epi16(halves, halves);
}

#else

static inline uint8_t lenet_requantize(int32_t sum, float scale, int zero_point)
{
    return lenet_saturate(lenet_round((float)sum * scale) + zero_point);
}

#endif
