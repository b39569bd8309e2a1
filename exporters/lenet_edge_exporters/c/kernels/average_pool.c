/* ---------------------------------------------------------------- average pooling on its own */

typedef struct {
    int height, width, channels; /* of the input, which stands channels last */
    int kernel_height, kernel_width, stride_y, stride_x;
    int rows, columns;   /* of the output */
    int output_zero;     /* zero point */
    float output_scale;  /* of the output's codes */
    const float *values; /* code -> the number that is averaged */
} lenet_averaging;

/* Numbers are added row by row from the top left, as onnxruntime does: the order decides the last bit. */
static void lenet_average_pool(const lenet_averaging *layer, const uint8_t *input, uint8_t *output)
{
    for (int y = 0; y < layer->rows; y++) {
        for (int x = 0; x < layer->columns; x++) {
            for (int c = 0; c < layer->channels; c++) {
                float total = 0.0f;
                for (int row = y * layer->stride_y; row < y * layer->stride_y + layer->kernel_height; row++)
                    for (int i = 0; i < layer->kernel_width; i++)
                        total += layer->values[input[(row * layer->width + x * layer->stride_x + i) * layer->channels
                                                     + c]];
                total = total / (float)(layer->kernel_height * layer->kernel_width) / layer->output_scale
                        + (float)layer->output_zero;
                *output++ = lenet_saturate(lenet_round(total));
            }
        }
    }
}
