/* ---------------------------------------------------------------- planes of an image to channels last */

typedef struct {
    int pixels, channels;
} lenet_planes;

static void lenet_interleave(const lenet_planes *image, const uint8_t *input, uint8_t *output)
{
    for (int i = 0; i < image->pixels; i++)
        for (int c = 0; c < image->channels; c++)
            *output++ = input[c * image->pixels + i];
}
