/* ---------------------------------------------------------------- convolution, with pooling of 2 x 2 where it follows */

enum { LENET_NO_POOLING, LENET_MAX_2X2, LENET_AVERAGE_2X2 };

typedef struct {
    int height, width, channels; /* of the input, which stands channels last */
    int kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
    int rows, columns, filters; /* of the output before pooling */
    int pooling;
    int input_zero, output_zero;     /* zero points */
    int pooled_zero;                 /* average pooling: of its output */
    float pooled_scale;              /* average pooling: of its output */
    const int32_t *bias;             /* [filters], with the input's zero point folded in; padded to 8 by zeros */
    const float *scale;              /* [filters], input scale * weight scale / output scale; padded to 8 by zeros */
    const uint8_t *table;            /* code -> code, the activation function; NULL: none but saturation */
    const float *values;             /* average pooling: code -> the number that is averaged */
#if LENET_EIGHT
    const lenet_weight *packed;      /* [filters / 8][kernel_height][lanes of a window's row][8][LENET_LANE] */
#else
    int row, pitch;                  /* from a row of a window to the next, from one filter's weights to the next */
    const lenet_weight *weights;     /* [filters][pitch], of which kernel_height rows count */
#endif
#if LENET_WHOLE_ROWS
    int strip;                       /* of a strip's row, if windows' rows have 8 numbers at most; else 0 */
#endif
} lenet_convolution;

/* The mean of four numbers, added in this order, as a code. */
static inline uint8_t lenet_average4(const lenet_convolution *layer, float a, float b, float c, float d)
{
    const float value = (((a + b) + c) + d) / 4.0f / layer->pooled_scale + (float)layer->pooled_zero;

    return lenet_saturate(lenet_round(value));
}

#if LENET_EIGHT || LENET_WHOLE_ROWS

/* `count` rows of the input from row `top` on, as they are multiplied, with the zero point around them. */
LENET_KERNEL void lenet_strip(const lenet_convolution *layer, const uint8_t *LENET_RESTRICT input, int top,
                              int count, int stride, lenet_operand *LENET_RESTRICT strip)
{
    const int left = layer->pad_left * layer->channels, width = layer->width * layer->channels;
    const int inside = LENET_MIN(width, stride - left);
    const lenet_operand zero = lenet_operand_of(layer->input_zero);

    for (int row = 0; row < count; row++, strip += stride) {
        const int y = top + row;
        if (y < 0 || y >= layer->height) {
            for (int i = 0; i < stride; i++)
                strip[i] = zero;
            continue;
        }
        for (int i = 0; i < left; i++)
            strip[i] = zero;
#if LENET_VNNI
        LENET_COPY(strip + left, input + y * width, (size_t)inside);
#else
        for (int i = 0; i < inside; i++)
            strip[left + i] = lenet_operand_of(input[y * width + i]);
#endif
        for (int i = left + inside; i < stride; i++)
            strip[i] = zero;
    }
}

#endif

#if LENET_EIGHT

/* Four codes of each of eight channels to one; or, without pooling, to `count` pixels of the output. */
LENET_KERNEL void lenet_finish8(const lenet_convolution *layer, lenet_sums a, lenet_sums b, lenet_sums c, lenet_sums d,
                                int filter, int count, uint8_t *output)
{
    const lenet_sums bias = lenet_load_sums(layer->bias + filter);
    const size_t filters = (size_t)LENET_MIN(8, layer->filters - filter);
    const float *scale = layer->scale + filter;
    const int zero = layer->output_zero;
    uint8_t codes[4][8];

    if (layer->pooling == LENET_MAX_2X2) { /* of the sums: requantization keeps their order */
        const lenet_sums greatest = lenet_greater_sums(lenet_greater_sums(a, b), lenet_greater_sums(c, d));
        lenet_requantize8(lenet_add_sums(greatest, bias), scale, zero, codes[0]);
        if (layer->table != NULL)
            for (size_t f = 0; f < filters; f++)
                codes[0][f] = layer->table[codes[0][f]];
        memcpy(output + filter, codes[0], filters);
        return;
    }
    lenet_requantize8(lenet_add_sums(a, bias), scale, zero, codes[0]);
    lenet_requantize8(lenet_add_sums(b, bias), scale, zero, codes[1]);
    lenet_requantize8(lenet_add_sums(c, bias), scale, zero, codes[2]);
    lenet_requantize8(lenet_add_sums(d, bias), scale, zero, codes[3]);
    if (layer->pooling == LENET_AVERAGE_2X2) {
        const float *values = layer->values;
        for (size_t f = 0; f < filters; f++)
            output[(size_t)filter + f] = lenet_average4(layer, values[codes[0][f]], values[codes[1][f]],
                                                        values[codes[2][f]], values[codes[3][f]]);
        return;
    }
    for (int i = 0; i < count; i++, output += layer->filters) {
        if (layer->table != NULL)
            for (size_t f = 0; f < filters; f++)
                codes[i][f] = layer->table[codes[i][f]];
        memcpy(output + filter, codes[i], filters);
    }
}

/* Sums of products over a window for sixteen channels of four pixels, whose windows begin at p0 to p3. */
LENET_KERNEL void lenet_4_pixels(const lenet_convolution *layer, const lenet_operand *p0, const lenet_operand *p1,
                                 const lenet_operand *p2, const lenet_operand *p3, int stride, int filter, int count,
                                 uint8_t *output)
{
    const int lanes = (layer->kernel_width * layer->channels + LENET_LANE - 1) / LENET_LANE;
    const lenet_weight *w = layer->packed + filter * layer->kernel_height * lanes * LENET_LANE;
    const int second = layer->kernel_height * lanes * 8 * LENET_LANE;
    lenet_sums a0 = lenet_zero_sums(), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;

    for (int y = 0; y < layer->kernel_height; y++) {
        LENET_UNROLL(16)
        for (int i = 0; i < lanes; i++, w += 8 * LENET_LANE) {
            lenet_weights w0 = lenet_load_weights(w), w1 = lenet_load_weights(w + second);
            const int at = y * stride + LENET_LANE * i;
            const lenet_operands a = lenet_broadcast(p0 + at), b = lenet_broadcast(p1 + at);
            const lenet_operands c = lenet_broadcast(p2 + at), d = lenet_broadcast(p3 + at);
            LENET_KEEP(w0);
            LENET_KEEP(w1);
            a0 = lenet_multiply_add(a0, a, w0);
            a1 = lenet_multiply_add(a1, a, w1);
            b0 = lenet_multiply_add(b0, b, w0);
            b1 = lenet_multiply_add(b1, b, w1);
            c0 = lenet_multiply_add(c0, c, w0);
            c1 = lenet_multiply_add(c1, c, w1);
            d0 = lenet_multiply_add(d0, d, w0);
            d1 = lenet_multiply_add(d1, d, w1);
        }
    }
    lenet_finish8(layer, a0, b0, c0, d0, filter, count, output);
    lenet_finish8(layer, a1, b1, c1, d1, filter + 8, count, output);
}

/* The same for eight channels of eight pixels: those at p0 to p3, and as many `next` values further. */
LENET_KERNEL void lenet_8_pixels(const lenet_convolution *layer, const lenet_operand *p0, const lenet_operand *p1,
                                 const lenet_operand *p2, const lenet_operand *p3, int stride, int filter, int count,
                                 uint8_t *output, int next, int next_count, uint8_t *next_output)
{
    const int lanes = (layer->kernel_width * layer->channels + LENET_LANE - 1) / LENET_LANE;
    const lenet_weight *w = layer->packed + filter * layer->kernel_height * lanes * LENET_LANE;
    lenet_sums a0 = lenet_zero_sums(), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;

    for (int y = 0; y < layer->kernel_height; y++) {
        LENET_UNROLL(16)
        for (int i = 0; i < lanes; i++, w += 8 * LENET_LANE) {
            const lenet_weights w0 = lenet_load_weights(w);
            const int at = y * stride + LENET_LANE * i;
            a0 = lenet_multiply_add(a0, lenet_broadcast(p0 + at), w0);
            b0 = lenet_multiply_add(b0, lenet_broadcast(p1 + at), w0);
            c0 = lenet_multiply_add(c0, lenet_broadcast(p2 + at), w0);
            d0 = lenet_multiply_add(d0, lenet_broadcast(p3 + at), w0);
            a1 = lenet_multiply_add(a1, lenet_broadcast(p0 + next + at), w0);
            b1 = lenet_multiply_add(b1, lenet_broadcast(p1 + next + at), w0);
            c1 = lenet_multiply_add(c1, lenet_broadcast(p2 + next + at), w0);
            d1 = lenet_multiply_add(d1, lenet_broadcast(p3 + next + at), w0);
        }
    }
    lenet_finish8(layer, a0, b0, c0, d0, filter, count, output);
    lenet_finish8(layer, a1, b1, c1, d1, filter, next_count, next_output);
}

/* `work` holds the rows of the input that one row of the output depends on. */
LENET_KERNEL void lenet_convolve(const lenet_convolution *layer, const uint8_t *input, uint8_t *output, int16_t *work)
{
    const int pooled = layer->pooling != LENET_NO_POOLING;
    const int high = pooled ? 2 : 1, wide = pooled ? 2 : 4, across = pooled ? layer->columns / 2 * 2 : layer->columns;
    const int stride = ((layer->columns - 1) * layer->stride_x + layer->kernel_width) * layer->channels + LENET_LANE - 1;
    const int step = layer->stride_x * layer->channels, down = pooled ? layer->stride_y * stride : 2 * step;
    const int count = (high - 1) * layer->stride_y + layer->kernel_height;
    const int pixels = pooled ? 1 : 4; /* that a group of four writes */
    lenet_operand *strip = (lenet_operand *)work;

    for (int y = 0; y + high <= layer->rows; y += high) {
        const int last = across - (pooled ? 2 : LENET_MIN(4, across));
        int filter = 0;
        lenet_strip(layer, input, y * layer->stride_y - layer->pad_top, count, stride, strip);
        for (; layer->filters - filter > 8; filter += 16) {
            for (int x = 0; x < across; x += wide) {
                const int at = LENET_MIN(x, last);
                const lenet_operand *p = strip + at * step;
                lenet_4_pixels(layer, p, p + step, p + down, p + down + step, stride, filter,
                               LENET_MIN(pixels, across), output + at / (pooled ? 2 : 1) * layer->filters);
            }
        }
        if (filter < layer->filters) {
            for (int x = 0; x < across; x += 2 * wide) {
                const int at = LENET_MIN(x, last), then = LENET_MIN(x + wide, last);
                const lenet_operand *p = strip + at * step;
                lenet_8_pixels(layer, p, p + step, p + down, p + down + step, stride, filter,
                               LENET_MIN(pixels, across), output + at / (pooled ? 2 : 1) * layer->filters,
                               (then - at) * step, LENET_MIN(pixels, across),
                               output + then / (pooled ? 2 : 1) * layer->filters);
            }
        }
        output += across / (pooled ? 2 : 1) * layer->filters;
    }
}

#else

#if LENET_SMALL

/* Some codes of a window's row, as they are multiplied; for the DSP extension, which widens them, as they are. */
LENET_KERNEL void lenet_copy_row(uint8_t *to, const uint8_t *from, int count)
{
    int i = 0;

#if LENET_HELIUM
    for (; i < count; i += 16) {
        const mve_pred16_t rest = vctp8q((uint32_t)(count - i));
        vstrbq_p_u8(to + i, veorq_u8(vldrbq_z_u8(from + i, rest), vdupq_n_u8(128)), rest);
    }
#elif defined(__ARM_FEATURE_UNALIGNED)
    for (; i + 4 <= count; i += 4)
        LENET_COPY(to + i, from + i, 4);
#endif
    for (; i < count; i++)
        to[i] = from[i];
}

/* The window of output (y, x), row after row, the zero point where it leaves the input. The DSP extension takes 16-bit
 * numbers, in the order in which lenet_widen gives weights, of bytes that lie at the end of where these will be. */
LENET_KERNEL void lenet_patch(const lenet_convolution *layer, const uint8_t *input, int y, int x, lenet_operand *patch)
{
    const int length = layer->kernel_width * layer->channels;
    const int top = y * layer->stride_y - layer->pad_top, left = x * layer->stride_x - layer->pad_left;
    const int across = left >= 0 && left + layer->kernel_width <= layer->width;
    const int whole = across && top >= 0 && top + layer->kernel_height <= layer->height;
    const uint8_t *from = input + (top * layer->width + left) * layer->channels;
    uint8_t *bytes = (uint8_t *)patch + (LENET_DSP ? layer->pitch : 0), *to = bytes;

    for (int row = 0; whole && row < layer->kernel_height; row++, to += length, from += layer->width * layer->channels)
        lenet_copy_row(to, from, length);
    if (!whole) {
        const int first = LENET_MAX(0, -left) * layer->channels;
        const int last = LENET_MIN(length, (layer->width - left) * layer->channels);
        memset(to, (uint8_t)lenet_operand_of(layer->input_zero), (size_t)(layer->kernel_height * length));
        for (int row = 0; row < layer->kernel_height; row++, to += length, from += layer->width * layer->channels)
            if (top + row >= 0 && top + row < layer->height)
                lenet_copy_row(to + first, from + first, last - first);
    }
#if LENET_DSP
    lenet_widen_codes(bytes, layer->kernel_height * length, patch);
#endif
}

#else

/* The window of output (y, x) as 16-bit numbers, row after row, the zero point where it leaves the input. What follows
 * a row up to the next meets weights that are zero. */
LENET_KERNEL void lenet_patch(const lenet_convolution *layer, const uint8_t *LENET_RESTRICT input, int y, int x,
                              int16_t *LENET_RESTRICT patch)
{
    const int length = layer->kernel_width * layer->channels, end = layer->height * layer->width * layer->channels;
    const int top = y * layer->stride_y - layer->pad_top, left = x * layer->stride_x - layer->pad_left;
    const int across = left >= 0 && left + layer->kernel_width <= layer->width;

    for (int row = 0; row < layer->kernel_height; row++, patch += layer->row) {
        const int inside = top + row >= 0 && top + row < layer->height;
        const int start = ((top + row) * layer->width + left) * layer->channels;
        if (inside && across && start + layer->row <= end) {
            for (int i = 0; i < layer->row; i++)
                patch[i] = input[start + i];
            continue;
        }
        for (int i = 0; i < layer->row; i++)
            patch[i] = (int16_t)layer->input_zero;
        if (inside) {
            const int first = LENET_MAX(0, -left) * layer->channels;
            const int last = LENET_MIN(length, (layer->width - left) * layer->channels);
            for (int i = first; i < last; i++)
                patch[i] = input[start + i];
        }
    }
}

#endif

/* Sums of eight channels for one pooled pixel, or for `count` pixels of the output, to codes. */
LENET_KERNEL void lenet_finish8(const lenet_convolution *layer, int32_t sums[4][8], int filter, int count,
                                uint8_t *output)
{
    const int filters = LENET_MIN(8, layer->filters - filter);
    const float *scale = layer->scale + filter;
    uint8_t codes[4][8];

    if (layer->pooling == LENET_MAX_2X2) { /* of the sums: requantization keeps their order */
        for (int i = 0; i < LENET_TOGETHER(filters); i++) {
            const int32_t upper = LENET_MAX(sums[0][i], sums[1][i]), lower = LENET_MAX(sums[2][i], sums[3][i]);
            sums[0][i] = LENET_MAX(upper, lower);
        }
        count = 1;
    }
    for (int i = 0; i < (layer->pooling == LENET_AVERAGE_2X2 ? 4 : count); i++)
        for (int f = 0; f < LENET_TOGETHER(filters); f++)
            codes[i][f] = lenet_requantize(sums[i][f], scale[f], layer->output_zero);
    if (layer->pooling == LENET_AVERAGE_2X2) {
        const float *values = layer->values;
        for (int f = 0; f < filters; f++)
            output[filter + f] = lenet_average4(layer, values[codes[0][f]], values[codes[1][f]], values[codes[2][f]],
                                                values[codes[3][f]]);
        return;
    }
    for (int i = 0; i < count; i++, output += layer->filters)
        for (int f = 0; f < filters; f++)
            output[filter + f] = layer->table != NULL ? layer->table[codes[i][f]] : codes[i][f];
}

/* `work` holds four windows: those of one pooled pixel, or of four neighbours, share every weight that is read. */
LENET_KERNEL void lenet_convolve(const lenet_convolution *layer, const uint8_t *input, uint8_t *output, int16_t *work)
{
    const int pooled = layer->pooling != LENET_NO_POOLING;
    const int high = pooled ? 2 : 1, wide = pooled ? 2 : 4, across = pooled ? layer->columns / 2 * 2 : layer->columns;
    const int taps = layer->kernel_height * layer->row;
    lenet_operand *patches = (lenet_operand *)work;
#if LENET_WHOLE_ROWS
    const int count = (high - 1) * layer->stride_y + layer->kernel_height;
    int16_t *strip = patches + 4 * layer->pitch;
#endif

    memset(patches, 0, 4u * (size_t)layer->pitch * sizeof *patches);
    for (int y = 0; y + high <= layer->rows; y += high) {
#if LENET_WHOLE_ROWS
        if (layer->strip > 0)
            lenet_strip(layer, input, y * layer->stride_y - layer->pad_top, count, layer->strip, strip);
#endif
        for (int x = 0; x < across; x += wide) {
            const int pixels = pooled ? 1 : LENET_MIN(4, across - x);
            for (int i = 0; i < (pooled ? 4 : pixels); i++) {
                lenet_operand *patch = patches + i * layer->pitch;
#if LENET_WHOLE_ROWS
                if (layer->strip > 0) {
                    const int16_t *from = strip + i / wide * layer->stride_y * layer->strip
                                          + (x + i % wide) * layer->stride_x * layer->channels;
                    for (int row = 0; row < layer->kernel_height; row++)
                        LENET_COPY(patch + row * 8, from + row * layer->strip, 8 * sizeof *patch);
                    continue;
                }
#endif
                lenet_patch(layer, input, y + i / wide, x + i % wide, patch);
            }
            for (int filter = 0; filter < layer->filters; filter += 8) {
                int32_t sums[4][8];
                for (int f = 0; f < LENET_TOGETHER(layer->filters - filter); f++) {
                    const int32_t bias = layer->bias[filter + f];
                    int32_t four[4] = {bias, bias, bias, bias};
                    if (filter + f < layer->filters)
                        lenet_dot4(layer->weights + (filter + f) * layer->pitch, patches, taps, layer->pitch, four);
                    for (int i = 0; i < 4; i++)
                        sums[i][f] = four[i];
                }
                lenet_finish8(layer, sums, filter, pixels, output);
            }
            output += pixels * layer->filters;
        }
    }
}

#endif
