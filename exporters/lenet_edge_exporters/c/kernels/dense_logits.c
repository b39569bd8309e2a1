#if LENET_AVX2

static inline void lenet_scale8(lenet_sums sums, const float *scale, float values[8])
{
    _mm256_storeu_ps(values, _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scale)));
}

#elif LENET_DOT_PRODUCT

static inline void lenet_scale8(lenet_sums sums, const float *scale, float values[8])
{
    vst1q_f32(values, vmulq_f32(vcvtq_f32_s32(sums.low), vld1q_f32(scale)));
    vst1q_f32(values + 4, vmulq_f32(vcvtq_f32_s32(sums.high), vld1q_f32(scale + 4)));
}

#endif

/* The last layer, whose outputs are the logits. */
LENET_KERNEL void lenet_multiply_last(const lenet_dense *layer, const uint8_t *input, float *logits, int16_t *work)
{
    lenet_operand *operands = (lenet_operand *)work;

    lenet_widen_input(layer, input, operands);
#if LENET_EIGHT
    for (int row = 0; row < layer->outputs; row += 8) {
        float values[8];
        lenet_scale8(lenet_8_rows(layer, operands, row), layer->scale + row, values);
        memcpy(logits + row, values, (size_t)LENET_MIN(8, layer->outputs - row) * sizeof *logits);
    }
#else
    for (int row = 0; row < layer->outputs; row += LENET_ROWS) {
        int32_t sums[LENET_ROWS];
        lenet_rows(layer, operands, row, sums);
        for (int i = 0; i < LENET_ROWS && row + i < layer->outputs; i++)
            logits[row + i] = (float)sums[i] * layer->scale[row + i];
    }
#endif
}
