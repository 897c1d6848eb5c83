/* arrays.h — the driver's arrays, of random numbers or of NaN, between guard bytes. */
#ifndef CHECK_ARRAYS_H
#define CHECK_ARRAYS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef GUARD_PAGES
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "fastseq.h"

/* Bytes before and after every array. They and the array itself start as 0xFF: NaN, read as float
 * or double. With the address sanitizer 0, since it detects accesses past the
 * ends, most reads too. */
#ifndef GUARD_BYTES
#define GUARD_BYTES 256
#endif
#define MAX_ARRAYS 512

/* With GUARD_PAGES, an array ends where its page does, and the next page cannot be accessed: a load
 * past the end stops the program. Guard bytes show stores alone, and the address sanitizer sees no
 * load with a mask. */
typedef struct {
    unsigned char *memory, *array, *end;
} allocation;

static allocation allocations[MAX_ARRAYS];
static int allocation_count;

#ifdef GUARD_PAGES
static size_t page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Freed memory, its guard page as it was: to protect a page takes longer than most checks. */
#define MAX_FREED 2048

static allocation freed[MAX_FREED];
static int freed_count;

/* Memory of so many bytes that was freed, or new. */
static int take(allocation *a, size_t whole) {
    for (int i = freed_count; i-- > 0;) {
        if ((size_t)(freed[i].end - freed[i].memory) == whole) {
            *a = freed[i];
            freed[i] = freed[--freed_count];
            return 1;
        }
    }
    a->memory = aligned_alloc(page_size(), whole + page_size());
    if (a->memory == NULL) {
        return 0;
    }
    a->end = a->memory + whole;
    return mprotect(a->end, page_size(), PROT_NONE) == 0;
}

static int allocate(allocation *a, size_t size) {
    const size_t page = page_size(), whole = (size + page - 1) / page * page;
    if (!take(a, whole)) {
        return 0;
    }
    memset(a->memory, 0xFF, whole);
    return 1;
}

static void release(const allocation *a) {
    if (freed_count < MAX_FREED) {
        freed[freed_count++] = *a;
    } else {
        mprotect(a->end, page_size(), PROT_READ | PROT_WRITE); /* free may use it */
        free(a->memory);
    }
}
#else
static int allocate(allocation *a, size_t size) {
    const size_t whole = size + GUARD_BYTES;
    a->memory = malloc(whole > 0 ? whole : 1);
    if (a->memory == NULL) {
        return 0;
    }
    memset(a->memory, 0xFF, whole);
    a->end = a->memory + size;
    return 1;
}

static void release(const allocation *a) {
    free(a->memory);
}
#endif

static void *new_array(ptrdiff_t bytes, size_t skip) {
    allocation a;
    if (allocation_count == MAX_ARRAYS || !allocate(&a, GUARD_BYTES + skip + (size_t)bytes)) {
        fputs("driver: out of memory\n", stderr);
        exit(2);
    }
    a.array = a.end - bytes;
    allocations[allocation_count++] = a;
    return a.array;
}

/* Without GUARD_PAGES, floats start 4 bytes after malloc's alignment: no kernel needs an aligned
 * array. */
static float *new_floats(ptrdiff_t n) {
    return new_array(n * (ptrdiff_t)sizeof(float), sizeof(float));
}

static double *new_doubles(ptrdiff_t n) {
    return new_array(n * (ptrdiff_t)sizeof(double), 0);
}

static int64_t *new_ids(ptrdiff_t n) {
    return new_array(n * (ptrdiff_t)sizeof(int64_t), 0);
}

static double *new_zeros(ptrdiff_t n) {
    double *zeros = new_doubles(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        zeros[i] = 0.0;
    }
    return zeros;
}

static double *new_widened(const float *x, ptrdiff_t n) {
    double *wide = new_doubles(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        wide[i] = x[i];
    }
    return wide;
}

static float *new_copy(const float *x, ptrdiff_t n) {
    float *copy = new_floats(n);
    memcpy(copy, x, (size_t)n * sizeof(float));
    return copy;
}

static uint32_t random_state = 20240229u;

/* The next of a fixed sequence (xorshift: Marsaglia 2003), uniform in [-scale, scale]. */
static float next_uniform(double scale) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (float)(scale * (random_state / 2147483648.0 - 1.0));
}

static float *new_uniform(ptrdiff_t n, double scale) {
    float *x = new_floats(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        x[i] = next_uniform(scale);
    }
    return x;
}

/* The memory layout of a weight matrix; gaps between padded rows are NaN. */
enum layout { CONTIGUOUS, PADDED, TRANSPOSED, REVERSED, LAYOUTS };
static const char *const LAYOUT_NAMES[LAYOUTS] = {"contiguous", "padded", "transposed", "reversed"};
static enum layout weights_layout;

static fs_matrix new_matrix(ptrdiff_t rows, ptrdiff_t columns, double scale) {
    const ptrdiff_t width = weights_layout == PADDED ? columns + 3 : columns;
    const ptrdiff_t floats = rows * width;
    float *memory = new_floats(floats);
    fs_matrix W = {memory, width, 1};
    if (weights_layout == TRANSPOSED) {
        W = (fs_matrix){memory, 1, rows};
    }
    if (weights_layout == REVERSED && floats > 0) {
        W = (fs_matrix){memory + floats - 1, -columns, -1};
    }
    for (ptrdiff_t i = 0; i < rows; ++i) {
        for (ptrdiff_t j = 0; j < columns; ++j) {
            memory[W.data - memory + i * W.row + j * W.column] = next_uniform(scale);
        }
    }
    return W;
}

static double element(fs_matrix W, ptrdiff_t i, ptrdiff_t j) {
    return W.data[i * W.row + j * W.column];
}

static int guards_intact(void) {
    unsigned char guard[GUARD_BYTES + 1];
    memset(guard, 0xFF, sizeof guard);
    for (int i = 0; i < allocation_count; ++i) {
        if (memcmp(allocations[i].array - GUARD_BYTES, guard, GUARD_BYTES) != 0) {
            return 0;
        }
#ifndef GUARD_PAGES
        if (memcmp(allocations[i].end, guard, GUARD_BYTES) != 0) {
            return 0;
        }
#endif
    }
    return 1;
}

/* Frees all arrays from this index on. */
static void free_arrays_from(int count) {
    while (allocation_count > count) {
        release(&allocations[--allocation_count]);
    }
}

#endif
