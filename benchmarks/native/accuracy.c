/* accuracy.c — the errors of exp, tanh and sigmoid over all of float32, in each table of float32.
 *
 *     accuracy STRIDE FIRST      every STRIDE-th bit pattern from FIRST on; 1 0: all
 *
 * The exact value is that of libm in double. Prints a line for each function of each table: name of the
 * table, function, the mean error in ULP, the largest error and its argument, the same of results
 * below 2^-126, and the number of results that are NaN or infinite where the exact one is not, or the
 * other way round. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastseq.h"

#define BLOCK 4096
#define SMALLEST_NORMAL 0x1p-126

/* Those of float32: the others have the same functions. */
static const fs_kernels *const tables[] = {
    &fs_kernels_baseline,
#ifdef FS_HAVE_AVX2
    &fs_kernels_avx2,
#endif
#ifdef FS_HAVE_AVX512
    &fs_kernels_avx512,
#endif
#ifdef FS_HAVE_NEON
    &fs_kernels_neon,
#endif
};
#define TABLES ((int)(sizeof tables / sizeof tables[0]))

enum { EXP, TANH, SIGMOID, FUNCTIONS };

static const char *const NAMES[FUNCTIONS] = {"exp", "tanh", "sigmoid"};

typedef struct {
    double worst, sum;
    float where;
    uint64_t count;
} error_tally;

typedef struct {
    error_tally normal, denormal;
    uint64_t mismatches;
} function_tally;

/* Nine of ten floats are so small that two terms of a series are exact to 2^-40 of a result, or so
 * large that the result is that of `LARGE`: libm, which takes far longer, computes the others. */
#define SMALL 0x1p-14
#define LARGE 200.0
#define TINY 0x1p-40

static double exact(int function, double x) {
    const double z = x > LARGE ? LARGE : x < -LARGE ? -LARGE : x; /* NaN stays */
    const int is_small = fabs(z) < SMALL;
    if (function == EXP) {
        return is_small ? 1.0 + z + z * z / 2 : z == LARGE ? INFINITY : exp(z);
    }
    if (function == TANH) {
        return is_small ? z - z * z * z / 3 : fabs(z) == LARGE ? copysign(1.0, z) : tanh(z);
    }
    return is_small ? 0.5 + z / 4 - z * z * z / 48 : 1.0 / (1.0 + exp(-z));
}

/* 1 / the spacing of float32 at a finite value. */
static double spacings_in_one(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7FF) - 1023; /* 2^exponent <= |x| */
    const int unit = exponent < -126 ? -149 : exponent - 23;
    bits = (uint64_t)(1023 - unit) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static void note(error_tally *tally, float x, double error) {
    tally->sum += error;
    tally->count += 1;
    if (error > tally->worst) {
        tally->worst = error;
        tally->where = x;
    }
}

static void compare(function_tally *tally, const float *x, const float *y, const double *expected,
                    int n) {
    for (int i = 0; i < n; ++i) {
        const float rounded = (float)expected[i];
        if (!isfinite(y[i]) || !isfinite(rounded)) {
            tally->mismatches += !(y[i] == rounded || (isnan(y[i]) && isnan(rounded)));
            continue;
        }
        const int is_denormal = fabs(expected[i]) < SMALLEST_NORMAL;
        note(is_denormal ? &tally->denormal : &tally->normal, x[i],
             fabs(y[i] - expected[i]) * spacings_in_one(expected[i]));
    }
}

/* Whether all of a block are so small or so large that the exact results are less than 2^-16 of a spacing
 * from the float next to them: four of five blocks, which need no comparison in double. */
static int is_simple(const float *x, int n) {
    int small = 1, large = 1;
    for (int i = 0; i < n; ++i) {
        const float size = fabsf(x[i]);
        small &= size < TINY;
        large &= size > LARGE; /* NaN is neither */
    }
    return small || large;
}

static int all_nearest(const float *y, const double *expected, int n) {
    int equal = 1;
    for (int i = 0; i < n; ++i) {
        equal &= y[i] == (float)expected[i];
    }
    return equal;
}

static double mean(error_tally tally) {
    return tally.count > 0 ? tally.sum / (double)tally.count : 0.0;
}

int main(int argc, char **argv) {
    const uint64_t stride = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    if (stride == 0) {
        fputs("accuracy: expected a stride of at least 1, and the first bit pattern\n", stderr);
        return 2;
    }
    static function_tally tallies[TABLES][FUNCTIONS];
    static float x[BLOCK], y[BLOCK];
    static double expected[BLOCK];
    uint64_t pattern = strtoull(argv[2], NULL, 10);
    while (pattern <= UINT32_MAX) {
        int n = 0;
        for (; n < BLOCK && pattern <= UINT32_MAX; ++n, pattern += stride) {
            const uint32_t bits = (uint32_t)pattern;
            memcpy(&x[n], &bits, sizeof bits);
        }
        const int simple = is_simple(x, n);
        for (int function = 0; function < FUNCTIONS; ++function) {
            for (int i = 0; i < n; ++i) {
                expected[i] = exact(function, x[i]);
            }
            for (int table = 0; table < TABLES; ++table) {
                const fs_kernels *k = tables[table];
                (function == EXP ? k->exp : function == TANH ? k->tanh : k->sigmoid)(y, x, n);
                if (simple && all_nearest(y, expected, n)) {
                    tallies[table][function].normal.count += (uint64_t)n;
                } else {
                    compare(&tallies[table][function], x, y, expected, n);
                }
            }
        }
    }
    for (int table = 0; table < TABLES; ++table) {
        for (int function = 0; function < FUNCTIONS; ++function) {
            const function_tally t = tallies[table][function];
            printf("%s %s %.4f %.3f %.9g %.3f %.9g %llu\n", tables[table]->name, NAMES[function],
                   mean(t.normal), t.normal.worst, (double)t.normal.where, t.denormal.worst,
                   (double)t.denormal.where, (unsigned long long)t.mismatches);
        }
    }
    return 0;
}
