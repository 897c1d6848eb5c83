/* simd/avx512.h — the vector operations on AVX-512 F/DQ registers: 16 floats, 32 registers.
 *
 * The contract of every operation is written once, in simd/generic.h. */
#ifndef FS_SIMD_H
#define FS_SIMD_H

#include <immintrin.h>
#include <stddef.h>

#define FS_LANES 16
#define FS_TILE_ROWS 6 /* 6 x 4 accumulators + 4 columns + 1 broadcast = 29 of 32 registers */

typedef __m512 vf;
typedef __mmask16 vmask;

static inline __mmask16 first_lanes(ptrdiff_t n) {
    return n >= FS_LANES ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1u);
}

static inline vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline vf vf_keep(vf x) {
#ifndef FS_SIMULATED /* by tests/ckernels/simulated, where vectors are in memory */
    __asm__("" : "+v"(x));
#endif
    return x;
}
static inline vf vf_load_first(const float *p, ptrdiff_t n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
static inline void vf_store(float *p, vf x) {
    _mm512_storeu_ps(p, x);
}
static inline void vf_store_first(float *p, vf x, ptrdiff_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), x);
}
static inline vf vf_set(float x) {
    return _mm512_set1_ps(x);
}
static inline vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) {
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vf vf_sqrt(vf x) {
    return _mm512_sqrt_ps(x);
}
static inline vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
static inline vf vf_abs(vf x) {
    return _mm512_abs_ps(x);
}
static inline vf vf_copysign(vf magnitude, vf sign) {
    const __m512i sign_bit = _mm512_set1_epi32((int)0x80000000u);
    /* 0xCA is the truth table of (mask ? sign : magnitude) */
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(sign_bit, _mm512_castps_si512(sign),
                                                         _mm512_castps_si512(magnitude), 0xCA));
}
static inline vmask vf_less(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vf vf_select(vmask mask, vf yes, vf no) {
    return _mm512_mask_blend_ps(mask, no, yes);
}
static inline vf vf_power2(vf shifted) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
}
static inline float vf_reduce_add(vf x) {
    return _mm512_reduce_add_ps(x);
}
static inline void vf_reduce_add4(float *to, vf a, vf b, vf c, vf d) {
    /* halves, then quarters, as vf_reduce_add adds them; each quarter then has the sums of one
     * vector */
    const __m512 ab =
        _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
    const __m512 cd =
        _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xEE));
    __m512 sum =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
    sum = _mm512_add_ps(sum, _mm512_permute_ps(sum, 0x4E));
    sum = _mm512_add_ps(sum, _mm512_movehdup_ps(sum));
    const __m512i firsts = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    _mm_storeu_ps(to, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, sum)));
}
static inline float vf_reduce_max(vf x) {
    return _mm512_reduce_max_ps(x);
}

#ifdef __AVX512BF16__
#define HAS_BFLOAT16_ROUNDING
static inline vf vf_round_to_bfloat16(vf x) {
    const __m512i upper_half = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(upper_half, 16));
}
#endif

#endif
