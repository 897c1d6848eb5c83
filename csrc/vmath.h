/* vmath.h — exp, tanh and the logistic function on vectors.
 *
 * All three reduce the argument as z = n ln 2 + t with integral n and |t| <= ln 2 / 2, so that
 *
 *     exp(z) = 2^n exp(t),        expm1(t) = t + t^2 Q(t).
 *
 * n ln 2 is subtracted in two parts (Cody & Waite 1980): LN2_HIGH has enough trailing zeros that
 * n LN2_HIGH is exact. Q is the degree-4 minimax polynomial of the relative error of expm1 on
 * |t| <= 0.347 (weighted Lawson iteration in float64): 1.8e-8.
 *
 * Maximum error over all of float32: below 3 ULP for each, on every instruction set; measured
 * against float64 by tests/kernels/test_vmath.py, and for every float32 value by the slow test of
 * tests/kernels/test_ckernels.py. exp(-inf) = 0, exp(inf) = inf, tanh(+-inf) = +-1, sigmoid(-inf) =
 * 0, sigmoid(inf) = 1, tanh(-0) = -0; NaN gives NaN; results below 2^-126 are rounded to denormals,
 * except by vf_sigmoid, which returns 0. */
#ifndef FS_VMATH_H
#define FS_VMATH_H

#define LOG2_E 1.44269504088896341f
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.42860682030941723e-6f
/* 1.5 2^23 + 127. Added to a small number it rounds to the nearest integer n, ties to even, and
 * leaves n + 127, a biased exponent, in the low bits: the unit in the last place of 1.5 2^23 is
 * 1. */
#define EXPONENT_SHIFT 12583039.0f

/* shifted <- round(z / ln 2) + EXPONENT_SHIFT; returns expm1(t) of the reduced argument t. */
static inline vf vf_expm1_reduced(vf z, vf *shifted) {
    *shifted = vf_fma(z, vf_set(LOG2_E), vf_set(EXPONENT_SHIFT));
    const vf n = vf_sub(*shifted, vf_set(EXPONENT_SHIFT));
    vf t = vf_fnma(n, vf_set(LN2_HIGH), z);
    t = vf_fnma(n, vf_set(LN2_LOW), t);
    vf q = vf_set(0.00138825073f);
    q = vf_fma(q, t, vf_set(0.00836659595f));
    q = vf_fma(q, t, vf_set(0.0416672006f));
    q = vf_fma(q, t, vf_set(0.166665435f));
    q = vf_fma(q, t, vf_set(0.49999997f));
    return vf_fma(vf_mul(t, t), q, t);
}

/* exp(x). The clamp keeps 2^n in range: exp(-104) rounds to 0, exp(89) overflows to inf. The
 * product with 2^n is made in two factors, the first of which gives a normal number: only the
 * second product rounds. */
static inline vf vf_exp(vf x) {
    const vf z = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x));
    vf shifted;
    const vf expm1_t = vf_expm1_reduced(z, &shifted);
    const vf n = vf_sub(shifted, vf_set(EXPONENT_SHIFT));
    const vf part = vf_max(vf_set(-100.0f), vf_min(vf_set(100.0f), n));
    const vf scaled =
        vf_mul(vf_add(expm1_t, vf_set(1.0f)), vf_power2(vf_add(part, vf_set(EXPONENT_SHIFT))));
    return vf_mul(scaled, vf_power2(vf_add(vf_sub(n, part), vf_set(EXPONENT_SHIFT))));
}

/* sigmoid(x) = 1 / (1 + e) for x >= 0 and e / (1 + e) for x < 0, with e = exp(-|x|) <= 1: no
 * overflow, and full relative accuracy in the left tail down to 2^-126. Below that it is 0, since
 * vf_power2 gives 0 for 2^-127: a gate needs no denormals. */
static inline vf vf_sigmoid(vf x) {
    const vf one = vf_set(1.0f);
    const vf z = vf_max(vf_set(-88.0f), vf_sub(vf_set(0.0f), vf_abs(x)));
    vf shifted;
    const vf expm1_t = vf_expm1_reduced(z, &shifted);
    const vf power = vf_power2(shifted);
    const vf e = vf_fma(power, expm1_t, power);
    return vf_div(vf_select(vf_less(x, vf_set(0.0f)), e, one), vf_add(one, e));
}

/* For x < -SIGMOID_IS_EXP, sigmoid(x) equals exp(x) up to rounding. */
#define SIGMOID_IS_EXP 87.0f

/* sigmoid(x), with denormal results. */
static inline vf vf_sigmoid_to_denormals(vf x) {
    return vf_select(vf_less(x, vf_set(-SIGMOID_IS_EXP)), vf_exp(x), vf_sigmoid(x));
}

/* tanh(x) = -m / (m + 2) with m = expm1(-2|x|) = 2^n expm1(t) + (2^n - 1), and the sign of x.
 * expm1 rather than exp: for small |x| the result is m / 2, which exp(z) - 1 would cancel away.
 * tanh(20) already rounds to 1. */
static inline vf vf_tanh(vf x) {
    const vf one = vf_set(1.0f);
    const vf z = vf_max(vf_set(-40.0f), vf_mul(vf_set(-2.0f), vf_abs(x)));
    vf shifted;
    const vf expm1_t = vf_expm1_reduced(z, &shifted);
    const vf power = vf_power2(shifted);
    const vf m = vf_fma(power, expm1_t, vf_sub(power, one));
    return vf_copysign(vf_div(m, vf_add(m, vf_set(2.0f))), x);
}

#endif
