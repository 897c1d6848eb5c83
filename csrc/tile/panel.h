/* tile/panel.h — what the tiles of every precision share: the geometry of a panel, and the
 * arguments of its product.
 *
 * A product  C = start + A B  is split into panels of up to four vectors of columns of B. A packed
 * panel stores these vectors contiguously, row after row of B: a tile reads it sequentially. A tile
 * is a few rows of A times one panel; its accumulators are registers:
 *
 *                    B panel
 *                 v0   v1   v2   v3        one k step: load 4 vectors of B, broadcast each
 *          a0k  [ c00  c01  c02  c03 ]     a_rk once, FS_TILE_ROWS x 4 fused multiply-adds
 *          a1k  [ c10  c11  c12  c13 ]
 *           :
 *
 * The header of each precision defines
 *
 * PACKS_ALWAYS     whether B is read from packed panels only
 * packed_depth     rows of floats that `depth` packed rows of B take
 * packed_offset    the first of them that holds row k of B, a multiple of 2
 * pack_rows        packs rows of a panel
 * finish_panel     zeros what a tile reads past the last row
 * compute_panel    the product of a panel, for any number of rows
 * pack_left        packs a transposed A, rows and depth of it, for many panels
 * left_floats      the memory that takes
 * convert_left     where PACKS_ALWAYS: converts A once for many panels; convert_row: a row of it
 * begin_tiles      before a thread's first product, and end_tiles after its last */
#ifndef FS_TILE_PANEL_H
#define FS_TILE_PANEL_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "../lanes.h"
#include "../operand.h"

#define PANEL_VECTORS 4
#define PANEL_COLUMNS (PANEL_VECTORS * FS_LANES)

/* packed[k][lane] = b[k b_row + lane b_column] for `rows` rows of one vector, zeros in the lanes
 * past the last column. Where a column of B is contiguous, as in a transposed matrix, whole vectors
 * of it are loaded: neighbouring columns are pages apart and would evict each other from the
 * cache. */
static void pack_transposed_block(float *packed, ptrdiff_t width, const float *b, ptrdiff_t b_row,
                                  ptrdiff_t b_column, ptrdiff_t rows, ptrdiff_t valid) {
    float columns[FS_LANES][FS_LANES];
    for (ptrdiff_t lane = 0; lane < FS_LANES; ++lane) {
        const float *from = b + lane * b_column;
        if (lane >= valid) {
            vf_store(columns[lane], vf_set(0.0f));
        } else if (b_row == 1) {
            vf_store(columns[lane], load_lanes(from, rows));
        } else {
            for (ptrdiff_t k = 0; k < rows; ++k) {
                columns[lane][k] = from[k * b_row];
            }
        }
    }
    for (ptrdiff_t k = 0; k < rows; ++k) {
#pragma GCC unroll 16
        for (int lane = 0; lane < FS_LANES; ++lane) {
            packed[k * width + lane] = columns[lane][k];
        }
    }
}

#define MAX_TILE_ROWS 6
_Static_assert(FS_TILE_ROWS == 2 || FS_TILE_ROWS == 3 || FS_TILE_ROWS == 6,
               "wide_tiles has these numbers of rows");

/* The product of one panel, for any number of rows. Strides are in floats.
 *
 * c      (rows, vectors)  out; row r, vector v at c + r c_row + v c_vector
 * start  same shape, the initial values of the accumulators; may be c itself, a bias (start_row =
 *        0), or NULL for zeros
 * a      (rows, blocks x depth)  element (r, j depth + k) at a + r a_row + j a_block + k a_depth
 * packed_left  A was packed by pack_left, with a_row = packed_depth(depth), or by convert_row or
 *        convert_left; one block, and no next_a
 * next_a (rows, next_depth)  more columns of A, with contiguous rows: C = start + [a next_a] B
 * b      (blocks x depth + next_depth, vectors)  row k, vector v at b + k b_row + v b_vector
 * lanes  valid columns: vector v of c and start has lanes - v lane_step of them, the others are
 *        neither read nor written. b must be readable in full. */
typedef struct {
    float *c;
    ptrdiff_t c_row, c_vector;
    const float *start;
    ptrdiff_t start_row, start_vector;
    const float *a;
    ptrdiff_t a_row, a_depth, a_block;
    int packed_left;
    ptrdiff_t depth, blocks;
    const float *next_a;
    ptrdiff_t next_row, next_depth;
    const float *b;
    ptrdiff_t b_row, b_vector;
    int vectors;
    ptrdiff_t lanes, lane_step;
} panel_product;

static inline int last_vector_is_whole(const panel_product *product, const int vectors) {
    return product->lanes - (vectors - 1) * product->lane_step >= FS_LANES;
}

/* The sums of a tile before the first product. */
static inline __attribute__((always_inline)) void start_sums(vf sum[MAX_TILE_ROWS][PANEL_VECTORS],
                                                             const panel_product *product,
                                                             const int rows, const int vectors) {
    const float *start = product->start;
    const ptrdiff_t start_row = product->start_row, start_vector = product->start_vector;
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            /* C is often not in cache: prefetch that of the next tile while this one computes */
            __builtin_prefetch(product->c + (rows + r) * product->c_row + v * product->c_vector, 1);
            sum[r][v] = vf_set(0.0f);
        }
    }
    if (start == NULL) {
        return;
    }
    if (last_vector_is_whole(product, vectors)) {
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                sum[r][v] = vf_load(start + r * start_row + v * start_vector);
            }
        }
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
        const ptrdiff_t lanes = min_size(FS_LANES, product->lanes - v * product->lane_step);
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            sum[r][v] = vf_load_first(start + r * start_row + v * start_vector, lanes);
        }
    }
}

/* C, from the sums of a tile. */
static inline __attribute__((always_inline)) void store_sums(const panel_product *product,
                                                             vf sum[MAX_TILE_ROWS][PANEL_VECTORS],
                                                             const int rows, const int vectors) {
    float *c = product->c;
    const ptrdiff_t c_row = product->c_row, c_vector = product->c_vector;
    if (last_vector_is_whole(product, vectors)) {
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                vf_store(c + r * c_row + v * c_vector, sum[r][v]);
            }
        }
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
        const ptrdiff_t lanes = min_size(FS_LANES, product->lanes - v * product->lane_step);
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            vf_store_first(c + r * c_row + v * c_vector, sum[r][v], lanes);
        }
    }
}

/* The number of rows (or columns) of the next tile, at most max_tile_size. The last two tiles split
 * the remaining rows evenly: a small tile has too few independent sums to hide their latency. */
static inline ptrdiff_t next_tile_size(ptrdiff_t remaining, ptrdiff_t max_tile_size) {
    return remaining >= 2 * max_tile_size ? max_tile_size
           : remaining > max_tile_size    ? (remaining + 1) / 2
                                          : remaining;
}

#endif
