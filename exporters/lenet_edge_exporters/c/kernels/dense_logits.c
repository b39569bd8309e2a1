/* The last layer, whose outputs are the logits. */
LENET_KERNEL void lenet_multiply_last(const lenet_dense *layer, const uint8_t *input, float *logits, int16_t *work)
{
    lenet_operand *operands = (lenet_operand *)work;

    lenet_widen_input(layer, input, operands);
#if LENET_AVX2
    for (int row = 0; row < layer->outputs; row += 8) {
        float values[8];
        const __m256 sums = _mm256_cvtepi32_ps(lenet_8_rows(layer, operands, row));
        _mm256_storeu_ps(values, _mm256_mul_ps(sums, _mm256_loadu_ps(layer->scale + row)));
        memcpy(logits + row, values, (size_t)LENET_MIN(8, layer->outputs - row) * sizeof *logits);
    }
#else
    for (int row = 0; row < layer->outputs; row++) {
        const int32_t sum = lenet_row(layer, operands, row);
        logits[row] = (float)sum * layer->scale[row];
    }
#endif
}
