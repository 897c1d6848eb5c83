/* tile/bf16.h — the register tile of bfloat16 operands, summed in float32 by vdpbf16ps.
 *
 * Each element of C is `start`, then for each pair (k, k + 1) in ascending order the product of
 * k + 1 and that of k, rounded after each: the order of the instruction (Intel's manual, volume 2,
 * VDPBF16PS), for any shape of tile. Denormals are zeros. */
#ifndef FS_TILE_BF16_H
#define FS_TILE_BF16_H

#define DEPTH_STEP 2
/* Rows of A that are converted at once: a multiple of those of a tile; and without padding. */
#define LEFT_ROWS 24
#define LEFT_STEP 1

#include "pairs.h"

/* Of A and B pairs, whose rows, strides and depth count pairs. */
static inline __attribute__((always_inline)) void tile_body(const panel_product *product,
                                                            const int rows, const int vectors) {
    vf sum[MAX_TILE_ROWS][PANEL_VECTORS];
    start_sums(sum, product, rows, vectors);
    const float *a = product->a, *b = product->b;
    const ptrdiff_t a_row = product->a_row, b_row = product->b_row;
    for (ptrdiff_t pair = product->depth; pair > 0; --pair) {
        __m512bh column[PANEL_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            column[v] = (__m512bh)vf_load(b + v * FS_LANES);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const __m512bh a_rk = (__m512bh)vf_set(a[r * a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], a_rk, column[v]);
            }
        }
        ++a;
        b += b_row;
    }
    store_sums(product, sum, rows, vectors);
}

#include "register_tiles.h"

static void multiply_rows(const panel_product *part, ptrdiff_t count) {
    multiply_panel(*part, count);
}

static void compute_panel(panel_product product, ptrdiff_t rows) {
    multiply_converted(product, rows, multiply_rows);
}

static inline int begin_tiles(void) {
    return 0;
}

static inline void end_tiles(int state) {
    (void)state;
}

#endif
