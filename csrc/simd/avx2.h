/* simd/avx2.h — the vector operations on AVX2 + FMA registers: 8 floats, 16 registers.
 *
 * The contract of every operation is written once, in simd/generic.h. */
#ifndef FS_SIMD_H
#define FS_SIMD_H

#include <immintrin.h>
#include <stddef.h>

#define FS_LANES 8
#define FS_TILE_ROWS 3 /* 3 x 4 accumulators + 3 broadcasts + 1 column = 16 of 16 registers */

typedef __m256 vf;
typedef __m256 vmask;

static inline __m256i first_lanes(ptrdiff_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < FS_LANES ? (int)n : FS_LANES), lane);
}

static inline vf vf_load(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline vf vf_keep(vf x) {
    __asm__("" : "+x"(x));
    return x;
}
static inline vf vf_load_first(const float *p, ptrdiff_t n) {
    return _mm256_maskload_ps(p, first_lanes(n));
}
static inline void vf_store(float *p, vf x) {
    _mm256_storeu_ps(p, x);
}
static inline void vf_store_first(float *p, vf x, ptrdiff_t n) {
    _mm256_maskstore_ps(p, first_lanes(n), x);
}
static inline vf vf_set(float x) {
    return _mm256_set1_ps(x);
}
static inline vf vf_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return _mm256_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) {
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vf vf_sqrt(vf x) {
    return _mm256_sqrt_ps(x);
}
static inline vf vf_min(vf a, vf b) {
    return _mm256_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b) {
    return _mm256_max_ps(a, b);
}
static inline vf vf_abs(vf x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
static inline vf vf_copysign(vf magnitude, vf sign) {
    const __m256 sign_bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign_bit, magnitude), _mm256_and_ps(sign_bit, sign));
}
static inline vmask vf_less(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vf vf_select(vmask mask, vf yes, vf no) {
    return _mm256_blendv_ps(no, yes, mask);
}
static inline vf vf_power2(vf shifted) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
}
static inline float vf_reduce_add(vf x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
static inline void vf_reduce_add4(float *to, vf a, vf b, vf c, vf d) {
    /* halves, then quarters and eighths, as vf_reduce_add adds them */
    const __m256 ab =
        _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    const __m256 cd =
        _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
    __m256 sum = _mm256_add_ps(_mm256_unpacklo_ps(ab, cd), _mm256_unpackhi_ps(ab, cd));
    sum = _mm256_add_ps(sum, _mm256_permute_ps(sum, 0x4E)); /* a, c, ... and b, d, ... */
    _mm_storeu_ps(to, _mm_unpacklo_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)));
}
static inline float vf_reduce_max(vf x) {
    __m128 maximum = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    maximum = _mm_max_ps(maximum, _mm_movehl_ps(maximum, maximum));
    return _mm_cvtss_f32(_mm_max_ss(maximum, _mm_movehdup_ps(maximum)));
}

#endif
