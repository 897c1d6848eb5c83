/* simd/generic.h — the vector operations on 4 floats in portable GCC/Clang vector extensions, and
 * the contract that simd/avx2.h, avx512.h and neon.h implement with intrinsics.
 *
 * FS_LANES      floats in a vector
 * FS_TILE_ROWS  rows of a register tile of FS_TILE_ROWS x 4 vectors that does not spill
 * vf, vmask     a vector; the result of a comparison
 *
 * Lane i of a result depends only on lane i of the arguments, except in the vf_reduce_* operations:
 * so a row's result is independent of its neighbours. No operation needs an aligned pointer. */
#ifndef FS_SIMD_H
#define FS_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FS_LANES 4
#define FS_TILE_ROWS 2 /* 2 x 4 accumulators + 4 columns + 2 broadcasts = 14 of SSE2's 16 */

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vmask __attribute__((vector_size(16)));

static inline vf vf_load(const float *p) {
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
/* x, kept in a register: otherwise a compiler may load it again for each operation that uses it. */
static inline vf vf_keep(vf x) {
    return x;
}
/* The first n lanes from memory, the others 0; n >= FS_LANES loads all. Reads only these floats. */
static inline vf vf_load_first(const float *p, ptrdiff_t n) {
    vf x = {0.0f, 0.0f, 0.0f, 0.0f};
    for (ptrdiff_t i = 0; i < n && i < FS_LANES; ++i) {
        x[i] = p[i];
    }
    return x;
}
static inline void vf_store(float *p, vf x) {
    memcpy(p, &x, sizeof x);
}
/* The first n lanes to memory; n >= FS_LANES stores all. Writes only these floats. */
static inline void vf_store_first(float *p, vf x, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n && i < FS_LANES; ++i) {
        p[i] = x[i];
    }
}
static inline vf vf_set(float x) {
    return (vf){x, x, x, x};
}
static inline vf vf_add(vf a, vf b) {
    return a + b;
}
static inline vf vf_sub(vf a, vf b) {
    return a - b;
}
static inline vf vf_mul(vf a, vf b) {
    return a * b;
}
static inline vf vf_div(vf a, vf b) {
    return a / b;
}
/* a b + c; rounded once where the CPU has fused multiply-add, twice in this file. */
static inline vf vf_fma(vf a, vf b, vf c) {
    return a * b + c;
}
/* c - a b */
static inline vf vf_fnma(vf a, vf b, vf c) {
    return c - a * b;
}
static inline vf vf_sqrt(vf x) {
    return (vf){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])};
}
/* yes where the mask is set, no elsewhere. */
static inline vf vf_select(vmask mask, vf yes, vf no) {
    return (vf)(((vmask)yes & mask) | ((vmask)no & ~mask));
}
/* Set where a < b; clear where either is NaN. */
static inline vmask vf_less(vf a, vf b) {
    return a < b;
}
/* Minimum and maximum; b if either is NaN: with the bound as a, NaN propagates. */
static inline vf vf_min(vf a, vf b) {
    return vf_select(a < b, a, b);
}
static inline vf vf_max(vf a, vf b) {
    return vf_select(a > b, a, b);
}
static inline vf vf_abs(vf x) {
    return (vf)((vmask)x & 0x7FFFFFFF);
}
static inline vf vf_copysign(vf magnitude, vf sign) {
    return (vf)(((vmask)magnitude & 0x7FFFFFFF) | ((vmask)sign & ~0x7FFFFFFF));
}
/* 2^n from n + 12583039, the float whose last bits are n + 127, for integral n from -126 to 127;
 * 0 for -127. */
static inline vf vf_power2(vf shifted) {
    return (vf)((vmask)shifted << 23);
}
/* The sum and the maximum of all lanes, in an order fixed for the instruction set; the sums of four
 * vectors, each with the bits of vf_reduce_add. Only these operations mix lanes. */
static inline float vf_reduce_add(vf x) {
    return (x[0] + x[2]) + (x[1] + x[3]);
}
static inline void vf_reduce_add4(float *to, vf a, vf b, vf c, vf d) {
    to[0] = vf_reduce_add(a);
    to[1] = vf_reduce_add(b);
    to[2] = vf_reduce_add(c);
    to[3] = vf_reduce_add(d);
}
static inline float vf_reduce_max(vf x) {
    const float a = x[0] > x[1] ? x[0] : x[1];
    const float b = x[2] > x[3] ? x[2] : x[3];
    return a > b ? a : b;
}

#endif
