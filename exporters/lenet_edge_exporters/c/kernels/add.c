/* ---------------------------------------------------------------- the sum of two tensors */

typedef struct {
    int count;
    float factor;        /* of the first tensor's codes */
    const float *second; /* code of the second tensor -> what it adds, zero points included */
} lenet_addition;

/* The product is exact in double, and the sum is rounded to float once: a fused multiplication and addition, whether
 * the processor has one or not. */
static void lenet_add(const lenet_addition *layer, const uint8_t *a, const uint8_t *b, uint8_t *output)
{
    for (int i = 0; i < layer->count; i++) {
        const double sum = (double)layer->factor * (double)a[i] + (double)layer->second[b[i]];
        output[i] = lenet_saturate(lenet_round((float)sum));
    }
}
