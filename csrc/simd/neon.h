/* simd/neon.h — the vector operations on AArch64 NEON registers: 4 floats, 32 registers.
 *
 * The contract of every operation is written once, in simd/generic.h. */
#ifndef FS_SIMD_H
#define FS_SIMD_H

#include <arm_neon.h>
#include <stddef.h>

#define FS_LANES 4
#define FS_TILE_ROWS 6 /* 6 x 4 accumulators + 4 columns + 1 broadcast = 29 of 32 registers */

typedef float32x4_t vf;
typedef uint32x4_t vmask;

static inline vf vf_load(const float *p) {
    return vld1q_f32(p);
}
static inline vf vf_keep(vf x) {
    __asm__("" : "+w"(x));
    return x;
}
static inline vf vf_load_first(const float *p, ptrdiff_t n) {
    float lane[FS_LANES] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (ptrdiff_t i = 0; i < n && i < FS_LANES; ++i) {
        lane[i] = p[i];
    }
    return vld1q_f32(lane);
}
static inline void vf_store(float *p, vf x) {
    vst1q_f32(p, x);
}
static inline void vf_store_first(float *p, vf x, ptrdiff_t n) {
    float lane[FS_LANES];
    vst1q_f32(lane, x);
    for (ptrdiff_t i = 0; i < n && i < FS_LANES; ++i) {
        p[i] = lane[i];
    }
}
static inline vf vf_set(float x) {
    return vdupq_n_f32(x);
}
static inline vf vf_add(vf a, vf b) {
    return vaddq_f32(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return vsubq_f32(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return vmulq_f32(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return vdivq_f32(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) {
    return vfmaq_f32(c, a, b);
}
static inline vf vf_fnma(vf a, vf b, vf c) {
    return vfmsq_f32(c, a, b);
}
static inline vf vf_sqrt(vf x) {
    return vsqrtq_f32(x);
}
static inline vf vf_min(vf a, vf b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
static inline vf vf_max(vf a, vf b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
static inline vf vf_abs(vf x) {
    return vabsq_f32(x);
}
static inline vf vf_copysign(vf magnitude, vf sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude);
}
static inline vmask vf_less(vf a, vf b) {
    return vcltq_f32(a, b);
}
static inline vf vf_select(vmask mask, vf yes, vf no) {
    return vbslq_f32(mask, yes, no);
}
static inline vf vf_power2(vf shifted) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23));
}
static inline float vf_reduce_add(vf x) {
    return vaddvq_f32(x);
}
static inline void vf_reduce_add4(float *to, vf a, vf b, vf c, vf d) {
    to[0] = vf_reduce_add(a);
    to[1] = vf_reduce_add(b);
    to[2] = vf_reduce_add(c);
    to[3] = vf_reduce_add(d);
}
static inline float vf_reduce_max(vf x) {
    return vmaxvq_f32(x);
}

#endif
