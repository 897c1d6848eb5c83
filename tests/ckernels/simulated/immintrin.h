/* immintrin.h — the instructions of AVX-512, AVX512_BF16 and AMX that csrc uses, in plain C, so that
 * every CPU can check the tables that are made of them.
 *
 * Semantics: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. It is compiled
 * in place of the compiler's header; what the kernels do not use is not here. */
#ifndef SIMULATED_IMMINTRIN_H
#define SIMULATED_IMMINTRIN_H

#define FS_SIMULATED

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float __m128 __attribute__((vector_size(16)));
typedef float __m512 __attribute__((vector_size(64)));
typedef long long __m256i __attribute__((vector_size(32)));
typedef long long __m512i __attribute__((vector_size(64)));
typedef uint16_t __m256bh __attribute__((vector_size(32)));
typedef uint16_t __m512bh __attribute__((vector_size(64)));
typedef uint32_t simulated_u32 __attribute__((vector_size(64)));
typedef uint16_t simulated_u16 __attribute__((vector_size(32)));
typedef uint16_t __mmask16;

#define _CMP_LT_OQ 0x11

#define FOR_LANES(I) for (int I = 0; I < 16; ++I)

/* ---- AVX-512 ---- */

static inline __m512 _mm512_loadu_ps(const void *p) {
    __m512 x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void *p) {
    __m512 x = {0};
    FOR_LANES(i) {
        if (mask >> i & 1) {
            x[i] = ((const float *)p)[i];
        }
    }
    return x;
}
static inline void _mm512_storeu_ps(void *p, __m512 x) {
    memcpy(p, &x, sizeof x);
}
static inline void _mm512_mask_storeu_ps(void *p, __mmask16 mask, __m512 x) {
    FOR_LANES(i) {
        if (mask >> i & 1) {
            ((float *)p)[i] = x[i];
        }
    }
}
static inline void _mm512_mask_i32scatter_ps(void *p, __mmask16 mask, __m512i index, __m512 x,
                                             int scale) {
    FOR_LANES(i) {
        if (mask >> i & 1) {
            memcpy((char *)p + (ptrdiff_t)(int32_t)((simulated_u32)index)[i] * scale,
                   (float *)&x + i, sizeof(float));
        }
    }
}
static inline void _mm_storeu_ps(float *p, __m128 x) {
    memcpy(p, &x, sizeof x);
}
static inline __m512 _mm512_set1_ps(float x) {
    __m512 y;
    FOR_LANES(i) {
        y[i] = x;
    }
    return y;
}
static inline __m512i _mm512_set1_epi32(int x) {
    simulated_u32 y;
    FOR_LANES(i) {
        y[i] = (uint32_t)x;
    }
    return (__m512i)y;
}
static inline __m512i _mm512_set_epi32(int a, int b, int c, int d, int e, int f, int g, int h,
                                       int i, int j, int k, int l, int m, int n, int o, int p) {
    const int32_t last_first[16] = {p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a};
    __m512i x;
    memcpy(&x, last_first, sizeof x);
    return x;
}
static inline __m512 _mm512_add_ps(__m512 a, __m512 b) {
    return a + b;
}
static inline __m512 _mm512_sub_ps(__m512 a, __m512 b) {
    return a - b;
}
static inline __m512 _mm512_mul_ps(__m512 a, __m512 b) {
    return a * b;
}
static inline __m512 _mm512_div_ps(__m512 a, __m512 b) {
    return a / b;
}
static inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
    FOR_LANES(i) {
        c[i] = fmaf(a[i], b[i], c[i]);
    }
    return c;
}
static inline __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) {
    return _mm512_fmadd_ps(-a, b, c);
}
static inline __m512 _mm512_sqrt_ps(__m512 x) {
    FOR_LANES(i) {
        x[i] = sqrtf(x[i]);
    }
    return x;
}
/* The second of two that are not ordered, or equal. */
static inline __m512 _mm512_min_ps(__m512 a, __m512 b) {
    FOR_LANES(i) {
        b[i] = a[i] < b[i] ? a[i] : b[i];
    }
    return b;
}
static inline __m512 _mm512_max_ps(__m512 a, __m512 b) {
    FOR_LANES(i) {
        b[i] = a[i] > b[i] ? a[i] : b[i];
    }
    return b;
}
static inline __m512 _mm512_abs_ps(__m512 x) {
    return (__m512)((simulated_u32)x & 0x7FFFFFFF);
}
static inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int predicate) {
    __mmask16 mask = 0;
    FOR_LANES(i) {
        mask |= (__mmask16)((predicate == _CMP_LT_OQ && a[i] < b[i]) << i);
    }
    return mask;
}
static inline __m512 _mm512_mask_blend_ps(__mmask16 mask, __m512 no, __m512 yes) {
    FOR_LANES(i) {
        no[i] = mask >> i & 1 ? yes[i] : no[i];
    }
    return no;
}
static inline __m512i _mm512_castps_si512(__m512 x) {
    return (__m512i)x;
}
static inline __m512 _mm512_castsi512_ps(__m512i x) {
    return (__m512)x;
}
static inline __m128 _mm512_castps512_ps128(__m512 x) {
    return (__m128){x[0], x[1], x[2], x[3]};
}
static inline __m512i _mm512_or_si512(__m512i a, __m512i b) {
    return a | b;
}
static inline __m512i _mm512_slli_epi32(__m512i x, unsigned count) {
    return (__m512i)((simulated_u32)x << count);
}
static inline __m512i _mm512_mullo_epi32(__m512i a, __m512i b) {
    return (__m512i)((simulated_u32)a * (simulated_u32)b);
}
static inline __m512i _mm512_cvtepu16_epi32(__m256i x) {
    simulated_u32 wide;
    FOR_LANES(i) {
        wide[i] = ((simulated_u16)x)[i];
    }
    return (__m512i)wide;
}
/* Bit i of the table is the result where the bits of a, b, c are the binary digits of i. */
static inline __m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int table) {
    __m512i result = {0};
    for (int i = 0; i < 8; ++i) {
        if (table >> i & 1) {
            result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
        }
    }
    return result;
}
/* Quarters of a, then of b. */
static inline __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int control) {
    __m512 x;
    FOR_LANES(i) {
        const int quarter = control >> (i / 4 * 2) & 3;
        x[i] = (i < 8 ? a : b)[quarter * 4 + i % 4];
    }
    return x;
}
static inline __m512 _mm512_permute_ps(__m512 x, int control) {
    __m512 y;
    FOR_LANES(i) {
        y[i] = x[i / 4 * 4 + (control >> (i % 4 * 2) & 3)];
    }
    return y;
}
static inline __m512 _mm512_movehdup_ps(__m512 x) {
    __m512 y;
    FOR_LANES(i) {
        y[i] = x[i | 1];
    }
    return y;
}
static inline __m512 _mm512_permutexvar_ps(__m512i index, __m512 x) {
    __m512 y;
    FOR_LANES(i) {
        y[i] = x[((simulated_u32)index)[i] & 15];
    }
    return y;
}
/* Halves, then quarters, as the compilers' sequence of instructions adds. */
static inline float _mm512_reduce_add_ps(__m512 x) {
    for (int width = 8; width > 0; width /= 2) {
        for (int i = 0; i < width; ++i) {
            x[i] += x[i + width];
        }
    }
    return x[0];
}
static inline float _mm512_reduce_max_ps(__m512 x) {
    for (int width = 8; width > 0; width /= 2) {
        for (int i = 0; i < width; ++i) {
            x[i] = x[i] > x[i + width] ? x[i] : x[i + width];
        }
    }
    return x[0];
}

/* ---- AVX512_BF16 ---- */

static inline uint16_t simulated_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    if ((bits & 0x7F800000) == 0) {
        return (uint16_t)(bits >> 16 & 0x8000);
    }
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
static inline float simulated_float(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}
static inline __m256bh _mm512_cvtneps_pbh(__m512 x) {
    __m256bh y;
    FOR_LANES(i) {
        y[i] = simulated_bf16(x[i]);
    }
    return y;
}
static inline __m512bh _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
    __m512bh y;
    FOR_LANES(i) {
        y[i] = simulated_bf16(low[i]);
        y[i + 16] = simulated_bf16(high[i]);
    }
    return y;
}
static inline __m512 _mm512_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
    FOR_LANES(i) {
        sum[i] = fmaf(simulated_float(a[2 * i + 1]), simulated_float(b[2 * i + 1]), sum[i]);
        sum[i] = fmaf(simulated_float(a[2 * i]), simulated_float(b[2 * i]), sum[i]);
    }
    return sum;
}

/* ---- AMX ---- */

/* Of each thread. A tile that is used without a configuration aborts, as the processor would. */
typedef struct {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes_in_row[16];
        uint8_t rows[16];
    } configuration;
    float tile[8][16][16];
} simulated_tiles;

static _Thread_local simulated_tiles tiles_of_thread;

static inline void _tile_loadconfig(const void *configuration) {
    memset(&tiles_of_thread, 0, sizeof tiles_of_thread);
    memcpy(&tiles_of_thread.configuration, configuration, 64);
}
static inline void _tile_storeconfig(void *configuration) {
    memcpy(configuration, &tiles_of_thread.configuration, 64);
}
static inline void _tile_release(void) {
    memset(&tiles_of_thread, 0, sizeof tiles_of_thread);
}
static inline int simulated_rows(int tile) {
    if (tiles_of_thread.configuration.palette != 1) {
        __builtin_trap();
    }
    return tiles_of_thread.configuration.rows[tile];
}
static inline size_t simulated_bytes(int tile) {
    return tiles_of_thread.configuration.bytes_in_row[tile];
}
static inline void _tile_zero(int tile) {
    (void)simulated_rows(tile);
    memset(tiles_of_thread.tile[tile], 0, sizeof tiles_of_thread.tile[tile]);
}
static inline void _tile_loadd(int tile, const void *from, long stride) {
    for (int row = 0; row < simulated_rows(tile); ++row) {
        memcpy(tiles_of_thread.tile[tile][row], (const char *)from + row * stride,
               simulated_bytes(tile));
    }
}
static inline void _tile_stored(int tile, void *to, long stride) {
    for (int row = 0; row < simulated_rows(tile); ++row) {
        memcpy((char *)to + row * stride, tiles_of_thread.tile[tile][row], simulated_bytes(tile));
    }
}
static inline void _tile_dpbf16ps(int sum, int a, int b) {
    for (int m = 0; m < simulated_rows(sum); ++m) {
        float even[16] = {0}, odd[16] = {0};
        for (int k = 0; k < simulated_rows(b); ++k) {
            uint16_t left[2], right[2];
            memcpy(left, &tiles_of_thread.tile[a][m][k], sizeof left);
            FOR_LANES(n) {
                memcpy(right, &tiles_of_thread.tile[b][k][n], sizeof right);
                even[n] = fmaf(simulated_float(left[0]), simulated_float(right[0]), even[n]);
                odd[n] = fmaf(simulated_float(left[1]), simulated_float(right[1]), odd[n]);
            }
        }
        FOR_LANES(n) {
            tiles_of_thread.tile[sum][m][n] += even[n] + odd[n];
        }
    }
}

#endif
