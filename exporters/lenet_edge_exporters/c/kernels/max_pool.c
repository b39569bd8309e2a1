/* ---------------------------------------------------------------- max pooling on its own */

typedef struct {
    int height, width, channels; /* of the input, which stands channels last */
    int kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
    int rows, columns; /* of the output */
} lenet_pooling;

/* Of the pixels inside the input; a window has at least one of them. */
static void lenet_max_pool(const lenet_pooling *layer, const uint8_t *input, uint8_t *output)
{
    memset(output, 0, (size_t)(layer->rows * layer->columns * layer->channels));
    for (int y = 0; y < layer->rows; y++) {
        const int top = y * layer->stride_y - layer->pad_top;
        const int bottom = LENET_MIN(top + layer->kernel_height, layer->height);
        for (int x = 0; x < layer->columns; x++, output += layer->channels) {
            const int left = x * layer->stride_x - layer->pad_left;
            const int right = LENET_MIN(left + layer->kernel_width, layer->width);
            for (int row = LENET_MAX(top, 0); row < bottom; row++) {
                for (int column = LENET_MAX(left, 0); column < right; column++) {
                    const uint8_t *pixel = input + (row * layer->width + column) * layer->channels;
                    for (int c = 0; c < layer->channels; c++)
                        output[c] = LENET_MAX(output[c], pixel[c]);
                }
            }
        }
    }
}
