/* ---------------------------------------------------------------- codes of the last layer to logits */

typedef struct {
    int count;
    const float *values; /* code -> the number that it stands for */
} lenet_decoding;

static void lenet_decode(const lenet_decoding *layer, const uint8_t *input, float *logits)
{
    for (int i = 0; i < layer->count; i++)
        logits[i] = layer->values[input[i]];
}
