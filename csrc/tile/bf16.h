/* tile/bf16.h — the register tile of bfloat16 operands, summed in float32 by vdpbf16ps.
 *
 * Each element of C is `start`, then for each pair (k, k + 1) in ascending order the product of
 * k + 1 and that of k, rounded after each: the order of the instruction (Intel's manual, volume 2,
 * VDPBF16PS), for any shape of tile. Denormals are zeros. */
#ifndef FS_TILE_BF16_H
#define FS_TILE_BF16_H

#define DEPTH_STEP 2

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

/* Rows of A that are converted at once: a multiple of those of a tile. */
#define LEFT_ROWS 24

static void compute_panel(panel_product product, ptrdiff_t rows) {
    _Alignas(64) float left[LEFT_ROWS * LEFT_PAIRS];
    const ptrdiff_t depth = product.depth * product.blocks;
    for (ptrdiff_t r = 0; r < rows; r += LEFT_ROWS) {
        const ptrdiff_t count = min_size(LEFT_ROWS, rows - r);
        ptrdiff_t k = 0;
        do { /* once even for depth 0: C = start */
            panel_product part = product;
            const ptrdiff_t part_depth = min_size(LEFT_DEPTH, depth - k);
            load_left(left, &product, count, k, part_depth);
            part.a = left;
            part.a_row = LEFT_PAIRS;
            part.depth = packed_depth(part_depth);
            part.b = product.b + packed_offset(k) * product.b_row;
            if (k > 0) {
                part.start = product.c;
                part.start_row = product.c_row;
                part.start_vector = product.c_vector;
            }
            multiply_panel(part, count);
            k += part_depth;
        } while (k < depth);
        product.a += count * product.a_row;
        product.c += count * product.c_row;
        if (product.start) {
            product.start += count * product.start_row;
        }
    }
}

static inline int begin_tiles(void) {
    return 0;
}

static inline void end_tiles(int state) {
    (void)state;
}

#endif
