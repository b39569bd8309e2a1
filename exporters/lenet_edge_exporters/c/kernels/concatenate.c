/* ---------------------------------------------------------------- channels side by side */

typedef struct {
    int pixels, channels, before, all; /* channels of this image, of those before it, and of all together */
    const uint8_t *table;              /* code -> code of the result; NULL: the same */
} lenet_part;

static void lenet_place(const lenet_part *part, const uint8_t *input, uint8_t *output)
{
    for (int i = 0; i < part->pixels; i++)
        for (int c = 0; c < part->channels; c++, input++)
            output[i * part->all + part->before + c] = part->table != NULL ? part->table[*input] : *input;
}
