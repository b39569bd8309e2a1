/* ---------------------------------------------------------------- one more channel, the same everywhere */

typedef struct {
    int pixels, channels, code;
} lenet_widening;

static void lenet_widen_pixels(const lenet_widening *image, const uint8_t *input, uint8_t *output)
{
    for (int i = 0; i < image->pixels; i++) {
        for (int c = 0; c < image->channels; c++)
            *output++ = *input++;
        *output++ = (uint8_t)image->code;
    }
}
