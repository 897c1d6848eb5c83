/* tile/f32.h — the float32 register tile and its packing: the only tile loop.
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
 * Each element of C is `start`, then one multiply-add for each k in ascending order, for any shape
 * of tile: a row's result does not depend on the rows that are computed with it. */
#ifndef FS_TILE_F32_H
#define FS_TILE_F32_H

#include <assert.h>
#include <stddef.h>

#include "../lanes.h"

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

/* Packs a panel of B: packed[k][v][lane] = b[k b_row + v b_vector + lane b_column], zeros in the
 * columns past the last. */
static void pack_panel(float *packed, const float *b, ptrdiff_t b_row, ptrdiff_t b_vector,
                       ptrdiff_t b_column, ptrdiff_t depth, int vectors, ptrdiff_t lanes,
                       ptrdiff_t lane_step) {
    const ptrdiff_t width = vectors * FS_LANES;
    const int whole = lanes - (vectors - 1) * lane_step >= FS_LANES;
    if (b_column == 1 && whole && vectors == PANEL_VECTORS) {
        for (ptrdiff_t k = 0; k < depth; ++k) {
#pragma GCC unroll 4
            for (int v = 0; v < PANEL_VECTORS; ++v) {
                vf_store(packed + k * width + v * FS_LANES, vf_load(b + k * b_row + v * b_vector));
            }
        }
        return;
    }
    if (b_column == 1) {
        for (ptrdiff_t k = 0; k < depth; ++k) {
            for (int v = 0; v < vectors; ++v) {
                vf_store(packed + k * width + v * FS_LANES,
                         load_lanes(b + k * b_row + v * b_vector, lanes - v * lane_step));
            }
        }
        return;
    }
    for (int v = 0; v < vectors; ++v) {
        const ptrdiff_t valid = min_size(FS_LANES, lanes - v * lane_step);
        for (ptrdiff_t k = 0; k < depth; k += FS_LANES) {
            pack_transposed_block(packed + k * width + v * FS_LANES, width,
                                  b + k * b_row + v * b_vector, b_row, b_column,
                                  min_size(FS_LANES, depth - k), valid);
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
 * b      (blocks x depth, vectors)  row k, vector v at b + k b_row + v b_vector
 * lanes  valid columns: vector v of c and start has lanes - v lane_step of them, the others are
 *        neither read nor written. b must be readable in full. */
typedef struct {
    float *c;
    ptrdiff_t c_row, c_vector;
    const float *start;
    ptrdiff_t start_row, start_vector;
    const float *a;
    ptrdiff_t a_row, a_depth, a_block;
    ptrdiff_t depth, blocks;
    const float *b;
    ptrdiff_t b_row, b_vector;
    int vectors;
    ptrdiff_t lanes, lane_step;
} panel_product;

static inline __attribute__((always_inline)) void tile_body(const panel_product *product,
                                                            const int rows, const int vectors) {
    vf sum[MAX_TILE_ROWS][PANEL_VECTORS];
    const float *start = product->start;
    const ptrdiff_t start_row = product->start_row, start_vector = product->start_vector;
    float *c = product->c;
    const ptrdiff_t c_row = product->c_row, c_vector = product->c_vector;
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            /* C is often not in cache: prefetch it while the tile computes */
            __builtin_prefetch(c + r * c_row + v * c_vector, 1);
            sum[r][v] = vf_set(0.0f);
        }
    }
    if (start) {
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                sum[r][v] = vf_load(start + r * start_row + v * start_vector);
            }
        }
    }
    const float *b = product->b;
    const ptrdiff_t a_row = product->a_row;
    const ptrdiff_t a_depth = product->a_depth;
    const ptrdiff_t b_row = product->b_row;
    const ptrdiff_t b_vector = product->b_vector;
    for (ptrdiff_t block = 0; block < product->blocks; ++block) {
        const float *a = product->a + block * product->a_block;
        for (ptrdiff_t k = product->depth; k > 0; --k) {
            /* The fewer of rows and vectors are held: 3 x 4 sums and 3 rows leave one of AVX2's 16
             * registers for a vector, while 4 vectors would leave none. */
            if (rows < vectors) {
                vf a_k[MAX_TILE_ROWS];
#pragma GCC unroll 6
                for (int r = 0; r < rows; ++r) {
                    a_k[r] = vf_set(a[r * a_row]);
                }
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) {
                    const vf column = vf_load(b + v * b_vector);
#pragma GCC unroll 6
                    for (int r = 0; r < rows; ++r) {
                        sum[r][v] = vf_fma(a_k[r], column, sum[r][v]);
                    }
                }
            } else {
                vf column[PANEL_VECTORS];
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) {
                    column[v] = vf_load(b + v * b_vector);
                }
#pragma GCC unroll 6
                for (int r = 0; r < rows; ++r) {
                    const vf a_rk = vf_set(a[r * a_row]);
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; ++v) {
                        sum[r][v] = vf_fma(a_rk, column[v], sum[r][v]);
                    }
                }
            }
            a += a_depth;
            b += b_row;
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            vf_store(c + r * c_row + v * c_vector, sum[r][v]);
        }
    }
}

/* Each shape of tile is a function of its own, never inlined: surrounding code would need registers
 * and make the loop spill. */
#define DEFINE_TILE(ROWS, VECTORS)                                                                 \
    static __attribute__((noinline)) void tile_##ROWS##x##VECTORS(const panel_product *product) {  \
        tile_body(product, ROWS, VECTORS);                                                         \
    }
#define DEFINE_NARROW_TILES(ROWS) DEFINE_TILE(ROWS, 1) DEFINE_TILE(ROWS, 2)
DEFINE_NARROW_TILES(1)
DEFINE_NARROW_TILES(2)
DEFINE_NARROW_TILES(3)
DEFINE_NARROW_TILES(4)
DEFINE_NARROW_TILES(5)
DEFINE_NARROW_TILES(6)
DEFINE_TILE(1, 4)
DEFINE_TILE(2, 4)
#if FS_TILE_ROWS > 2
DEFINE_TILE(3, 4)
#endif
#if FS_TILE_ROWS > 3
DEFINE_TILE(4, 4)
DEFINE_TILE(5, 4)
DEFINE_TILE(6, 4)
#endif

typedef void (*tile_function)(const panel_product *product);

static const tile_function narrow_tiles[2][MAX_TILE_ROWS] = {
    {tile_1x1, tile_2x1, tile_3x1, tile_4x1, tile_5x1, tile_6x1},
    {tile_1x2, tile_2x2, tile_3x2, tile_4x2, tile_5x2, tile_6x2},
};
static const tile_function wide_tiles[FS_TILE_ROWS] = {
    tile_1x4, tile_2x4,
#if FS_TILE_ROWS > 2
    tile_3x4,
#endif
#if FS_TILE_ROWS > 3
    tile_4x4, tile_5x4, tile_6x4,
#endif
};

static inline ptrdiff_t tile_rows(int vectors) {
    return vectors == PANEL_VECTORS ? FS_TILE_ROWS : MAX_TILE_ROWS;
}

static inline tile_function select_tile(ptrdiff_t rows, int vectors) {
    assert(vectors == 1 || vectors == 2 || vectors == PANEL_VECTORS);
    assert(rows >= 1 && rows <= tile_rows(vectors));
    return vectors == PANEL_VECTORS ? wide_tiles[rows - 1] : narrow_tiles[vectors - 1][rows - 1];
}

/* A tile with fewer valid columns than its width: computed in a buffer, the valid part copied. */
static void edge_tile(const panel_product *product, ptrdiff_t rows) {
    float buffer[MAX_TILE_ROWS * PANEL_COLUMNS];
    panel_product whole = *product;
    whole.c = buffer;
    whole.c_row = PANEL_COLUMNS;
    whole.c_vector = FS_LANES;
    if (product->start) {
        for (ptrdiff_t r = 0; r < rows; ++r) {
            for (int v = 0; v < product->vectors; ++v) {
                const float *from =
                    product->start + r * product->start_row + v * product->start_vector;
                const vf x = vf_load_first(from, product->lanes - v * product->lane_step);
                vf_store(buffer + r * PANEL_COLUMNS + v * FS_LANES, x);
            }
        }
        whole.start = buffer;
        whole.start_row = PANEL_COLUMNS;
        whole.start_vector = FS_LANES;
    }
    select_tile(rows, product->vectors)(&whole);
    for (ptrdiff_t r = 0; r < rows; ++r) {
        for (int v = 0; v < product->vectors; ++v) {
            const vf x = vf_load(buffer + r * PANEL_COLUMNS + v * FS_LANES);
            float *to = product->c + r * product->c_row + v * product->c_vector;
            vf_store_first(to, x, product->lanes - v * product->lane_step);
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

/* Computes all rows of a panel, tile by tile. */
static void compute_panel(panel_product product, ptrdiff_t rows) {
    const int vectors = product.vectors;
    const int whole = product.lanes - (vectors - 1) * product.lane_step >= FS_LANES;
    const ptrdiff_t max_rows = tile_rows(vectors);
    for (ptrdiff_t r = 0, tile; r < rows; r += tile) {
        tile = next_tile_size(rows - r, max_rows);
        if (whole) {
            select_tile(tile, vectors)(&product);
        } else {
            edge_tile(&product, tile);
        }
        product.a += tile * product.a_row;
        product.c += tile * product.c_row;
        if (product.start) {
            product.start += tile * product.start_row;
        }
    }
}

#endif
