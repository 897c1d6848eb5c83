/* check.h — tools of the driver: comparisons with tolerances derived from rounding errors, and
 * counts for each kernel. */
#ifndef CHECK_H
#define CHECK_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrays.h"
#include "fastseq.h"

#define THREADS 2 /* for every kernel; calls of small shapes use one */

/* Created in main, for all checks. */
static fs_thread_pool *test_pool;

/* The context of all calls. */
static fs_context test_context;

static fs_context context_of(int threads) {
    return (fs_context){.threads = threads, .pool = test_pool};
}

/* ---- precisions ---- */

/* That of the checked table's products. */
static fs_precision precision;

/* An operand of a product: the nearest bfloat16, the even one of two, zero for a denormal; written
 * apart from the kernels', by arithmetic instead of bits. */
static double operand(double x) {
    if (precision == FS_FLOAT32 || isnan(x) || isinf(x)) {
        return x;
    }
    const double rounded = (float)x;
    uint64_t exponent;
    memcpy(&exponent, &rounded, sizeof exponent);
    exponent &= UINT64_C(0x7ff0000000000000);
    double power; /* of 2, up to |x| */
    memcpy(&power, &exponent, sizeof power);
    if (power < FLT_MIN) {
        return copysign(0.0, x);
    }
    const double large = power * 0x1.8p45; /* the sum's last bit is the eighth of x */
    return (rounded + large) - large;
}

/* What a comparison allows besides rounding errors of float32, relative: where operands are results
 * themselves, a small difference can round one to the next bfloat16, 2^-8 away. */
static double operand_error;

static void set_operands(int are_results) {
    operand_error = precision == FS_BFLOAT16 && are_results ? 0x1p-6 : 0.0;
}

/* ---- counts of checks ---- */

#define MAX_KERNELS 64
#define MAX_MESSAGES 20

typedef struct {
    const char *kernel, *unit;
    int passed, failed;
    double error, used; /* the maximum error, absolute and as a fraction of the tolerance */
} tally;

static tally tallies[MAX_KERNELS];
static int tally_count;
static tally *current;
static int message_count;
static char situation[96]; /* the current check: table, shape, layout */
static char form[96];      /* and its form, if a shape is checked in several */

static void expect(int holds, const char *what) {
    current->passed += holds;
    current->failed += !holds;
    if (!holds && message_count++ < MAX_MESSAGES) {
        printf("FAILED %s, %s%s: %s\n", current->kernel, situation, form, what);
#ifdef STOP_AT_FAILURE
        exit(1);
#endif
    }
}

/* Called after each call of a kernel: the following expectations are counted for it. */
static void ran(const char *kernel) {
    int i = 0;
    while (i < tally_count && strcmp(tallies[i].kernel, kernel) != 0) {
        ++i;
    }
    if (i == tally_count) {
        tallies[tally_count++] = (tally){.kernel = kernel, .unit = "relative"};
    }
    current = &tallies[i];
    expect(guards_intact(), "nothing is written outside the arrays");
}

static void note_error(double error, double allowed) {
    current->error = fmax(current->error, error);
    current->used = fmax(current->used, error / allowed);
}

static void print_tallies(const char *table) {
    for (int i = 0; i < tally_count; ++i) {
        const tally *t = &tallies[i];
        printf("%-20s %-27s %5d passed %3d failed", table, t->kernel, t->passed, t->failed);
        printf("   largest error %.2g %s, %.0f %% of the allowed\n", t->error, t->unit,
               100 * t->used);
    }
}

/* ---- the functions of a table ---- */

/* SLOT(k, name)(...) calls a function of a table, and records that it is checked. */
#define SLOT(k, name) (note_slot(offsetof(fs_kernels, name)), (k)->name)
#define MAX_SLOTS (sizeof(fs_kernels) / sizeof(void (*)(void)))

static int slot_is_called[MAX_SLOTS];

static void note_slot(size_t offset) {
    slot_is_called[offset / sizeof(void (*)(void))] = 1;
}

/* ---- the same bits with any number of threads ---- */

/* A shape is checked again with other numbers of threads and the same inputs, and a hash of each
 * result is compared with that of the first time. */
#define MAX_RESULTS 4096

static uint64_t first_results[MAX_RESULTS];
static int result_count;
static int is_repeated;

/* FNV-1a, word by word; all NaN are equal. */
static uint64_t hash_of(const double *x, ptrdiff_t n) {
    uint64_t hash = 14695981039346656037u;
    for (ptrdiff_t i = 0; i < n; ++i) {
        uint64_t bits = 0;
        if (!isnan(x[i])) {
            memcpy(&bits, &x[i], sizeof bits);
        }
        hash = (hash ^ bits) * 1099511628211u;
        hash ^= hash >> 32;
    }
    return hash;
}

static void expect_first_result(const double *x, ptrdiff_t n) {
    const uint64_t hash = hash_of(x, n);
    if (result_count == MAX_RESULTS) {
        fputs("driver: more results than MAX_RESULTS\n", stderr);
        exit(2);
    }
    if (is_repeated) {
        expect(hash == first_results[result_count], "no bit depends on the number of threads");
    }
    first_results[result_count++] = hash;
}

/* ---- comparisons ---- */

/* The maximum of |a - b|; 0 for two NaN, infinite for one. */
static double largest_difference(const double *a, const double *b, ptrdiff_t n) {
    double largest = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double difference = fabs(a[i] - b[i]);
        if (isnan(a[i]) != isnan(b[i])) {
            return INFINITY;
        }
        largest = fmax(largest, difference);
    }
    return largest;
}

/* Requires `actual` to equal `expected` up to rounding, and the comparison to detect a wrong value.
 *
 * Rounding errors of a sum are modelled as a random walk: with unit roundoff u = FLT_EPSILON / 2
 * the error of a sum of `length` terms is below 6 sqrt(length) u sum|terms| except with a
 * probability of 3e-8 length (Higham & Mary 2019). The tolerance is twice that, as the terms are
 * rounded too, plus 6 FLT_EPSILON for exp, tanh and sigmoid. sum|terms| is estimated by the maximum
 * of |expected|, or by `term`, the magnitude of one term, if cancellation may make the result
 * smaller. */
static void expect_close_doubles(const char *what, const double *actual, const double *expected,
                                 ptrdiff_t n, ptrdiff_t length, double term) {
    expect_first_result(actual, n);
    double magnitude = term;
    for (ptrdiff_t i = 0; i < n; ++i) {
        magnitude = fmax(magnitude, fabs(expected[i]));
    }
    const double allowed = (6 * sqrt((double)length) + 6) * FLT_EPSILON + operand_error;
    const double difference = largest_difference(actual, expected, n);
    expect(difference <= allowed * magnitude, what);
    if (n > 0 && magnitude > 0) {
        note_error(difference / magnitude, allowed);
        double *broken = new_doubles(n);
        memcpy(broken, expected, (size_t)n * sizeof(double));
        broken[n / 2] =
            isnan(broken[n / 2]) ? 0 : broken[n / 2] + (1e-3 + 2 * operand_error) * magnitude;
        expect(largest_difference(actual, broken, n) > allowed * magnitude,
               "a wrong value is detected");
    }
}

static void expect_close(const char *what, const float *actual, const double *expected, ptrdiff_t n,
                         ptrdiff_t length, double term) {
    expect_close_doubles(what, new_widened(actual, n), expected, n, length, term);
}

static int same_bits(const float *a, const float *b, ptrdiff_t n) {
    return memcmp(a, b, (size_t)n * sizeof(float)) == 0;
}

/* `dirty` was computed as `clean`, but with NaN in the first row of an input: the whole first row
 * of the result must be NaN, and the other rows must have the same bits. */
static void expect_nan_in_first_row(const float *dirty, const float *clean, ptrdiff_t rows,
                                    ptrdiff_t width) {
    int holds = same_bits(dirty + width, clean + width, (rows - 1) * width);
    for (ptrdiff_t i = 0; i < width; ++i) {
        holds &= isnan(dirty[i]) != 0;
    }
    expect(holds, "NaN fills its row and no other");
}

#endif
