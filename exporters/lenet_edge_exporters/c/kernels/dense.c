/* ---------------------------------------------------------------- dense layers */

typedef struct {
    int inputs, outputs;
    int pitch;             /* from one output's weights to the next: inputs, padded to 16 by zeros */
    int output_zero;       /* zero point */
    const int8_t *weights; /* [outputs][pitch] */
    const int32_t *bias;   /* [outputs], with the input's zero point folded in; padded to 8 by zeros */
    const float *scale;    /* [outputs], input scale * weight scale (/ output scale); padded to 8 by zeros */
    const uint8_t *table;  /* code -> code, the activation function; NULL: none but saturation */
} lenet_dense;

#if LENET_AVX2

/* As many weights of a row as a vector multiplies. */
static inline lenet_weights lenet_row_weights(const int8_t *from)
{
#if LENET_VNNI
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
#else
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
#endif
}

#if LENET_VNNI

/* Half a vector, and zeros. */
static inline __m256i lenet_16_codes(const void *from)
{
    return _mm256_inserti128_si256(_mm256_setzero_si256(), _mm_loadu_si128((const __m128i *)from), 0);
}

#endif

/* Sums of products of four rows of weights with the same input. */
LENET_KERNEL __m128i lenet_4_rows(const lenet_dense *layer, const lenet_operand *input, int row)
{
    const int8_t *w0 = layer->weights + LENET_MIN(row, layer->outputs - 1) * layer->pitch;
    const int8_t *w1 = layer->weights + LENET_MIN(row + 1, layer->outputs - 1) * layer->pitch;
    const int8_t *w2 = layer->weights + LENET_MIN(row + 2, layer->outputs - 1) * layer->pitch;
    const int8_t *w3 = layer->weights + LENET_MIN(row + 3, layer->outputs - 1) * layer->pitch;
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    int i = 0;

    for (; i + 8 * LENET_LANE <= layer->pitch; i += 8 * LENET_LANE) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(input + i));
        s0 = lenet_multiply_add(s0, x, lenet_row_weights(w0 + i));
        s1 = lenet_multiply_add(s1, x, lenet_row_weights(w1 + i));
        s2 = lenet_multiply_add(s2, x, lenet_row_weights(w2 + i));
        s3 = lenet_multiply_add(s3, x, lenet_row_weights(w3 + i));
    }
#if LENET_VNNI
    if (i < layer->pitch) { /* the last 16 */
        const __m256i x = lenet_16_codes(input + i);
        s0 = lenet_multiply_add(s0, x, lenet_16_codes(w0 + i));
        s1 = lenet_multiply_add(s1, x, lenet_16_codes(w1 + i));
        s2 = lenet_multiply_add(s2, x, lenet_16_codes(w2 + i));
        s3 = lenet_multiply_add(s3, x, lenet_16_codes(w3 + i));
    }
#endif
    s0 = _mm256_hadd_epi32(_mm256_hadd_epi32(s0, s1), _mm256_hadd_epi32(s2, s3));
    return _mm_add_epi32(_mm256_castsi256_si128(s0), _mm256_extracti128_si256(s0, 1));
}

/* Eight outputs from `row` on, with the bias. */
LENET_KERNEL lenet_sums lenet_8_rows(const lenet_dense *layer, const lenet_operand *input, int row)
{
    const __m128i low = lenet_4_rows(layer, input, row), high = lenet_4_rows(layer, input, row + 4);

    return lenet_add_sums(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1),
                          lenet_load_sums(layer->bias + row));
}

#elif LENET_DOT_PRODUCT

/* Products of sixteen codes and weights in four sums. */
static inline int32x4_t lenet_dot16(int32x4_t sums, uint8x16_t x, const int8_t *weights)
{
#if LENET_SIGNED
    return vdotq_s32(sums, vreinterpretq_s8_u8(x), vld1q_s8(weights));
#else
    return vusdotq_s32(sums, x, vld1q_s8(weights));
#endif
}

/* Sums of products of four rows of weights with the same input. */
LENET_KERNEL int32x4_t lenet_4_rows(const lenet_dense *layer, const lenet_operand *input, int row)
{
    const int8_t *w0 = layer->weights + LENET_MIN(row, layer->outputs - 1) * layer->pitch;
    const int8_t *w1 = layer->weights + LENET_MIN(row + 1, layer->outputs - 1) * layer->pitch;
    const int8_t *w2 = layer->weights + LENET_MIN(row + 2, layer->outputs - 1) * layer->pitch;
    const int8_t *w3 = layer->weights + LENET_MIN(row + 3, layer->outputs - 1) * layer->pitch;
    int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0;

    for (int i = 0; i < layer->pitch; i += 16) {
        const uint8x16_t x = vld1q_u8(input + i);
        s0 = lenet_dot16(s0, x, w0 + i);
        s1 = lenet_dot16(s1, x, w1 + i);
        s2 = lenet_dot16(s2, x, w2 + i);
        s3 = lenet_dot16(s3, x, w3 + i);
    }
    return vpaddq_s32(vpaddq_s32(s0, s1), vpaddq_s32(s2, s3));
}

/* Eight outputs from `row` on, with the bias. */
LENET_KERNEL lenet_sums lenet_8_rows(const lenet_dense *layer, const lenet_operand *input, int row)
{
    const lenet_sums sums = {lenet_4_rows(layer, input, row), lenet_4_rows(layer, input, row + 4)};

    return lenet_add_sums(sums, lenet_load_sums(layer->bias + row));
}

#elif LENET_SMALL && !LENET_DSP

enum { LENET_ROWS = 4 }; /* of weights that share every code that is read */

/* Sums of products of four rows of weights with the same input, with the bias. */
LENET_KERNEL void lenet_rows(const lenet_dense *layer, const lenet_operand *input, int row, int32_t sums[LENET_ROWS])
{
    const int8_t *w0 = layer->weights + LENET_MIN(row, layer->outputs - 1) * layer->pitch;
    const int8_t *w1 = layer->weights + LENET_MIN(row + 1, layer->outputs - 1) * layer->pitch;
    const int8_t *w2 = layer->weights + LENET_MIN(row + 2, layer->outputs - 1) * layer->pitch;
    const int8_t *w3 = layer->weights + LENET_MIN(row + 3, layer->outputs - 1) * layer->pitch;
    int32_t s0 = layer->bias[row], s1 = layer->bias[row + 1], s2 = layer->bias[row + 2], s3 = layer->bias[row + 3];

#if LENET_HELIUM
    for (int i = 0; i < layer->pitch; i += 16) {
        s0 = lenet_multiply_add(s0, input + i, vldrbq_s8(w0 + i));
        s1 = lenet_multiply_add(s1, input + i, vldrbq_s8(w1 + i));
        s2 = lenet_multiply_add(s2, input + i, vldrbq_s8(w2 + i));
        s3 = lenet_multiply_add(s3, input + i, vldrbq_s8(w3 + i));
    }
#else
    LENET_UNROLL(4)
    for (int i = 0; i < layer->inputs; i++) {
        const int x = input[i];
        s0 += w0[i] * x;
        s1 += w1[i] * x;
        s2 += w2[i] * x;
        s3 += w3[i] * x;
    }
#endif
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

#else

enum { LENET_ROWS = 1 };

/* Sums of products of a row of weights with the input, with the bias. */
LENET_KERNEL void lenet_rows(const lenet_dense *layer, const lenet_operand *input, int row, int32_t sums[LENET_ROWS])
{
    const int8_t *weights = layer->weights + row * layer->pitch;
    int32_t sum = layer->bias[row];

#if LENET_NEON
    int32x4_t s0 = vdupq_n_s32(0), s1 = s0;

    for (int i = 0; i < layer->pitch; i += 16) {
        s0 = lenet_multiply_add(s0, vld1q_s16(input + i), vmovl_s8(vld1_s8(weights + i)));
        s1 = lenet_multiply_add(s1, vld1q_s16(input + i + 8), vmovl_s8(vld1_s8(weights + i + 8)));
    }
    sum += lenet_total(vaddq_s32(s0, s1));
#elif LENET_DSP
    for (int i = 0; i < layer->pitch; i += 8) {
        uint32_t even, odd;
        lenet_widen(weights + i, &even, &odd);
        sum = lenet_multiply_add4(sum, input + i, even, odd);
        lenet_widen(weights + i + 4, &even, &odd);
        sum = lenet_multiply_add4(sum, input + i + 4, even, odd);
    }
#elif LENET_WASM
    v128_t four = wasm_i32x4_splat(0);

    for (int i = 0; i < layer->pitch; i += 8)
        four = lenet_multiply_add(four, wasm_v128_load(input + i), wasm_i16x8_load8x8(weights + i));
    sum += lenet_total(four);
#else
    LENET_BY_EIGHT
    for (int i = 0; i < layer->pitch; i++)
        sum += (int16_t)weights[i] * input[i];
#endif
    sums[0] = sum;
}

#endif

/* The input as it is multiplied. What follows it up to the pitch meets weights that are zero. */
LENET_KERNEL void lenet_widen_input(const lenet_dense *layer, const uint8_t *input, lenet_operand *operands)
{
#if LENET_DSP
    const int whole = layer->inputs / 4 * 4;

    lenet_widen_codes(input, whole, operands);
    if (whole < layer->inputs) {
        uint8_t rest[4] = {0};
        for (int i = whole; i < layer->inputs; i++)
            rest[i - whole] = input[i];
        lenet_widen_codes(rest, 4, operands + whole);
    }
#else
    for (int i = 0; i < layer->inputs; i++)
        operands[i] = lenet_operand_of(input[i]);
    for (int i = layer->inputs; i < layer->pitch; i++)
        operands[i] = 0;
#endif
}
