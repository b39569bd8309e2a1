/* ---------------------------------------------------------------- the mean of every channel */

typedef struct {
    int pixels, channels, input_zero, output_zero;
    float scale; /* input scale / (output scale * pixels) */
} lenet_global_average;

static void lenet_average_globally(const lenet_global_average *layer, const uint8_t *input, uint8_t *output)
{
    for (int c = 0; c < layer->channels; c++) {
        int32_t sum = -layer->input_zero * layer->pixels;
        for (int i = 0; i < layer->pixels; i++)
            sum += input[i * layer->channels + c];
        output[c] = lenet_saturate(lenet_round((float)sum * layer->scale) + layer->output_zero);
    }
}
