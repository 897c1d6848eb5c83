/* vmath.h — exp, tanh and sigmoid against the double precision of libm. */
#ifndef CHECK_VMATH_H
#define CHECK_VMATH_H

#include "check.h"

#ifndef MAX_ULP
#define MAX_ULP 3.0 /* documented in csrc/vmath.h */
#endif
#define FLOATS_AT_ONCE 1024
#ifndef FLOAT_STRIDE
#define FLOAT_STRIDE 16381 /* a prime, so that all values of the low bits occur */
#endif

typedef void (*elementwise)(float *y, const float *x, ptrdiff_t n);

static double oracle_sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}

/* In units of the float spacing at `exact`; infinite where only one is NaN or infinite. */
static double ulp_error(float actual, double exact) {
    const float rounded = (float)exact;
    if (!isfinite(actual) || !isfinite(rounded)) {
        const int same = actual == rounded || (isnan(actual) && isnan(rounded));
        return same ? 0.0 : INFINITY;
    }
    int exponent = -200;
    if (exact != 0) {
        frexp(exact, &exponent);
    }
    return fabs(actual - exact) / ldexp(1.0, exponent - 24 > -149 ? exponent - 24 : -149);
}

static void expect_within_ulps(const float *y, const float *x, ptrdiff_t n,
                               double (*exact)(double)) {
    double worst = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
        worst = fmax(worst, ulp_error(y[i], exact(x[i])));
    }
    current->unit = "ULP";
    note_error(worst, MAX_ULP);
    expect(worst <= MAX_ULP, "the error is below MAX_ULP");
}

/* Every FLOAT_STRIDE-th float, denormals, infinities and NaN among them. */
static void check_all_floats(const char *name, elementwise function, double (*exact)(double)) {
    uint64_t bits = 0;
    snprintf(situation, sizeof situation, "a stride through all floats");
    while (bits < (uint64_t)1 << 32) {
        float *x = new_floats(FLOATS_AT_ONCE);
        float *y = new_floats(FLOATS_AT_ONCE);
        for (int i = 0; i < FLOATS_AT_ONCE; ++i) {
            const uint32_t pattern = (uint32_t)bits;
            memcpy(&x[i], &pattern, sizeof pattern);
            bits += FLOAT_STRIDE;
        }
        function(y, x, FLOATS_AT_ONCE);
        ran(name);
        expect_within_ulps(y, x, FLOATS_AT_ONCE, exact);
        free_arrays_from(0);
    }
}

static void check_elementwise(const char *name, elementwise function, double (*exact)(double)) {
    check_all_floats(name, function, exact);
    for (ptrdiff_t n = 0; n <= 65; ++n) {
        snprintf(situation, sizeof situation, "%d elements", (int)n);
        float *x = new_uniform(n, 10);
        float *y = new_floats(n);
        float *alone = new_floats(n);
        function(y, x, n);
        ran(name);
        expect_within_ulps(y, x, n, exact);
        for (ptrdiff_t i = 0; i < n; ++i) {
            function(alone + i, x + i, 1);
        }
        expect(same_bits(y, alone, n), "a value does not depend on its lane");
        function(x, x, n);
        ran(name);
        expect(same_bits(y, x, n), "y may be x");
        if (n > 0) {
            x[n / 2] = NAN;
            function(y, x, n);
            expect(isnan(y[n / 2]) && (n == 1 || !isnan(y[n / 2 - 1])), "NaN stays in its lane");
        }
        free_arrays_from(0);
    }
    const float x = 1.0f;
    float y;
    function(&y, &x, 1);
    expect(ulp_error(y, exact(x) * (1 + 16 * FLT_EPSILON)) > MAX_ULP, "a wrong value is detected");
}

static void check_special_values(const fs_kernels *k) {
    const struct {
        const char *name;
        elementwise function;
        float x, y;
    } cases[] = {
        {"exp", SLOT(k, exp), 0.0f, 1.0f},
        {"exp", SLOT(k, exp), -0.0f, 1.0f},
        {"exp", SLOT(k, exp), INFINITY, INFINITY},
        {"exp", SLOT(k, exp), -INFINITY, 0.0f},
        {"exp", SLOT(k, exp), 89.0f, INFINITY},
        {"exp", SLOT(k, exp), -103.9f, 0x1p-149f}, /* the smallest denormal */
        {"exp", SLOT(k, exp), -104.1f, 0.0f},
        {"tanh", SLOT(k, tanh), 0.0f, 0.0f},
        {"tanh", SLOT(k, tanh), -0.0f, -0.0f},
        {"tanh", SLOT(k, tanh), INFINITY, 1.0f},
        {"tanh", SLOT(k, tanh), -INFINITY, -1.0f},
        {"tanh", SLOT(k, tanh), -0x1p-149f, -0x1p-149f},
        {"sigmoid", SLOT(k, sigmoid), 0.0f, 0.5f},
        {"sigmoid", SLOT(k, sigmoid), -0.0f, 0.5f},
        {"sigmoid", SLOT(k, sigmoid), INFINITY, 1.0f},
        {"sigmoid", SLOT(k, sigmoid), -INFINITY, 0.0f},
        {"sigmoid", SLOT(k, sigmoid), -103.9f, 0x1p-149f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        float y;
        snprintf(situation, sizeof situation, "x = %g", (double)cases[i].x);
        cases[i].function(&y, &cases[i].x, 1);
        ran(cases[i].name);
        expect(same_bits(&y, &cases[i].y, 1), "the special value");
    }
}

static void check_vmath(const fs_kernels *k) {
    check_elementwise("exp", SLOT(k, exp), exp);
    check_elementwise("tanh", SLOT(k, tanh), tanh);
    check_elementwise("sigmoid", SLOT(k, sigmoid), oracle_sigmoid);
    check_special_values(k);
}

#endif
