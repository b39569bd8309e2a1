/* ---------------------------------------------------------------- convolution of groups of channels, or with gaps */

typedef struct {
    int height, width, channels; /* of the input, which stands channels last */
    int kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left, dilation_y, dilation_x;
    int rows, columns, filters, groups;
    int input_zero, output_zero; /* zero points */
    const int32_t *bias;         /* [filters], with the input's zero point folded in */
    const float *scale;          /* [filters], input scale * weight scale / output scale */
    const uint8_t *table;        /* code -> code, the activation function; NULL: none but saturation */
    const int8_t *weights;       /* [filters][kernel_height][kernel_width][channels / groups] */
} lenet_grouped;

static int32_t lenet_group_sum(const lenet_grouped *layer, const uint8_t *input, int top, int left, int filter)
{
    const int channels = layer->channels / layer->groups, first = filter / (layer->filters / layer->groups) * channels;
    const int8_t *weights = layer->weights + filter * layer->kernel_height * layer->kernel_width * channels;
    int32_t sum = layer->bias[filter];

    for (int row = 0; row < layer->kernel_height; row++) {
        const int y = top + row * layer->dilation_y;
        for (int column = 0; column < layer->kernel_width; column++, weights += channels) {
            const int x = left + column * layer->dilation_x;
            const int inside = y >= 0 && y < layer->height && x >= 0 && x < layer->width;
            const uint8_t *pixel = inside ? input + (y * layer->width + x) * layer->channels + first : input;
            for (int c = 0; c < channels; c++)
                sum += weights[c] * (inside ? pixel[c] : layer->input_zero);
        }
    }
    return sum;
}

static void lenet_convolve_groups(const lenet_grouped *layer, const uint8_t *input, uint8_t *output)
{
    for (int y = 0; y < layer->rows; y++) {
        const int top = y * layer->stride_y - layer->pad_top;
        for (int x = 0; x < layer->columns; x++) {
            const int left = x * layer->stride_x - layer->pad_left;
            for (int f = 0; f < layer->filters; f++) {
                const int32_t sum = lenet_group_sum(layer, input, top, left, f);
                const uint8_t code = lenet_saturate(lenet_round((float)sum * layer->scale[f]) + layer->output_zero);
                *output++ = layer->table != NULL ? layer->table[code] : code;
            }
        }
    }
}
