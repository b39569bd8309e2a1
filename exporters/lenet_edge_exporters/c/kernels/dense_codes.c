/* A layer whose outputs are codes. */
LENET_KERNEL void lenet_multiply(const lenet_dense *layer, const uint8_t *input, uint8_t *output, int16_t *work)
{
    lenet_operand *operands = (lenet_operand *)work;

    lenet_widen_input(layer, input, operands);
#if LENET_EIGHT
    for (int row = 0; row < layer->outputs; row += 8) {
        uint8_t codes[8];
        lenet_requantize8(lenet_8_rows(layer, operands, row), layer->scale + row, layer->output_zero, codes);
        memcpy(output + row, codes, (size_t)LENET_MIN(8, layer->outputs - row));
    }
#else
    for (int row = 0; row < layer->outputs; row += LENET_ROWS) {
        int32_t sums[LENET_ROWS];
        lenet_rows(layer, operands, row, sums);
        for (int i = 0; i < LENET_ROWS && row + i < layer->outputs; i++)
            output[row + i] = lenet_requantize(sums[i], layer->scale[row + i], layer->output_zero);
    }
#endif
    if (layer->table != NULL)
        for (int row = 0; row < layer->outputs; row++)
            output[row] = layer->table[output[row]];
}
