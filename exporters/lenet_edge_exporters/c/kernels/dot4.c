#if !LENET_EIGHT

/* sums[i] += weights * patch i, for four patches of `pitch` values, of which the first `taps` count. What follows them
 * is zero in the weights. */
LENET_KERNEL void lenet_dot4(const lenet_weight *weights, const lenet_operand *patches, int taps, int pitch,
                             int32_t sums[4])
{
    const lenet_operand *p0 = patches, *p1 = p0 + pitch, *p2 = p1 + pitch, *p3 = p2 + pitch;

#if LENET_NEON
    int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0;

    for (int i = 0; i < taps; i += 8) {
        const int16x8_t w = vmovl_s8(vld1_s8(weights + i));
        s0 = lenet_multiply_add(s0, vld1q_s16(p0 + i), w);
        s1 = lenet_multiply_add(s1, vld1q_s16(p1 + i), w);
        s2 = lenet_multiply_add(s2, vld1q_s16(p2 + i), w);
        s3 = lenet_multiply_add(s3, vld1q_s16(p3 + i), w);
    }
    sums[0] += lenet_total(s0);
    sums[1] += lenet_total(s1);
    sums[2] += lenet_total(s2);
    sums[3] += lenet_total(s3);
#elif LENET_HELIUM
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

    for (int i = 0; i < taps; i += 16) {
        const int8x16_t w = vldrbq_s8(weights + i);
        s0 = lenet_multiply_add(s0, p0 + i, w);
        s1 = lenet_multiply_add(s1, p1 + i, w);
        s2 = lenet_multiply_add(s2, p2 + i, w);
        s3 = lenet_multiply_add(s3, p3 + i, w);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
#elif LENET_DSP
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

    LENET_UNROLL(2)
    for (int i = 0; i < taps; i += 4) {
        uint32_t even, odd;
        lenet_widen(weights + i, &even, &odd);
        s0 = lenet_multiply_add4(s0, p0 + i, even, odd);
        s1 = lenet_multiply_add4(s1, p1 + i, even, odd);
        s2 = lenet_multiply_add4(s2, p2 + i, even, odd);
        s3 = lenet_multiply_add4(s3, p3 + i, even, odd);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
#elif LENET_WASM
    v128_t s0 = wasm_i32x4_splat(0), s1 = s0, s2 = s0, s3 = s0;

    for (int i = 0; i < taps; i += 8) {
        const v128_t w = wasm_v128_load(weights + i);
        s0 = lenet_multiply_add(s0, wasm_v128_load(p0 + i), w);
        s1 = lenet_multiply_add(s1, wasm_v128_load(p1 + i), w);
        s2 = lenet_multiply_add(s2, wasm_v128_load(p2 + i), w);
        s3 = lenet_multiply_add(s3, wasm_v128_load(p3 + i), w);
    }
    sums[0] += lenet_total(s0);
    sums[1] += lenet_total(s1);
    sums[2] += lenet_total(s2);
    sums[3] += lenet_total(s3);
#else
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

    LENET_BY_EIGHT
    for (int i = 0; i < taps; i++) {
        const int16_t w = weights[i];
        s0 += w * p0[i];
        s1 += w * p1[i];
        s2 += w * p2[i];
        s3 += w * p3[i];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
#endif
}

#endif
