/* tile/f32.h — the register tile of float32 operands, and their packing. In a table of another
 * precision, which the CPU lacks, the operands are rounded to it when they are read.
 *
 * Each element of C is `start`, then one multiply-add for each k in ascending order, for any shape
 * of tile: a row's result does not depend on the rows that are computed with it. */
#ifndef FS_TILE_F32_H
#define FS_TILE_F32_H

#include "panel.h"

#define PACKS_ALWAYS 0

static inline ptrdiff_t packed_depth(ptrdiff_t depth) {
    return depth;
}

static inline ptrdiff_t packed_offset(ptrdiff_t k) {
    return k;
}

/* Packs rows of a panel of B: packed[k][v][lane] = b[k b_row + v b_vector + lane b_column], zeros
 * in the columns past the last. */
static void pack_rows(float *packed, const float *b, ptrdiff_t b_row, ptrdiff_t b_vector,
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
        for (int v = 0; v < vectors; ++v) {
            const ptrdiff_t valid = lanes - v * lane_step;
            for (ptrdiff_t k = 0; k < depth; ++k) {
                vf_store(packed + k * width + v * FS_LANES,
                         load_lanes(b + k * b_row + v * b_vector, valid));
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

/* sum += A B for one block of A; returns the row of B after the last. */
static inline __attribute__((always_inline)) const float *
add_product(vf sum[MAX_TILE_ROWS][PANEL_VECTORS], const float *a, ptrdiff_t a_row,
            ptrdiff_t a_depth, ptrdiff_t depth, const float *b, ptrdiff_t b_row, ptrdiff_t b_vector,
            const int rows, const int vectors) {
    for (ptrdiff_t k = depth; k > 0; --k) {
        /* The fewer of rows and vectors are held: 3 x 4 sums and 3 rows leave one of AVX2's 16
         * registers for a vector, while 4 vectors would leave none. */
        if (rows < vectors) {
            vf a_k[MAX_TILE_ROWS];
#pragma GCC unroll 6
            for (int r = 0; r < rows; ++r) {
                a_k[r] = operand(vf_set(a[r * a_row]));
            }
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                const vf column = operand(vf_load(b + v * b_vector));
#pragma GCC unroll 6
                for (int r = 0; r < rows; ++r) {
                    sum[r][v] = vf_fma(a_k[r], column, sum[r][v]);
                }
            }
        } else {
            vf column[PANEL_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                column[v] = operand(vf_load(b + v * b_vector));
            }
#pragma GCC unroll 6
            for (int r = 0; r < rows; ++r) {
                const vf a_rk = operand(vf_set(a[r * a_row]));
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) {
                    sum[r][v] = vf_fma(a_rk, column[v], sum[r][v]);
                }
            }
        }
        a += a_depth;
        b += b_row;
    }
    return b;
}

static inline __attribute__((always_inline)) void tile_body(const panel_product *product,
                                                            const int rows, const int vectors) {
    vf sum[MAX_TILE_ROWS][PANEL_VECTORS];
    start_sums(sum, product, rows, vectors);
    const float *b = product->b;
    const ptrdiff_t b_row = product->b_row, b_vector = product->b_vector;
    for (ptrdiff_t block = 0; block < product->blocks; ++block) {
        b = add_product(sum, product->a + block * product->a_block, product->a_row,
                        product->a_depth, product->depth, b, b_row, b_vector, rows, vectors);
    }
    add_product(sum, product->next_a, product->next_row, 1, product->next_depth, b, b_row, b_vector,
                rows, vectors);
    store_sums(product, sum, rows, vectors);
}

#include "register_tiles.h"

static inline void convert_left(panel_product *product, ptrdiff_t rows, float *memory) {
    (void)product;
    (void)rows;
    (void)memory;
}

static inline ptrdiff_t left_rows(ptrdiff_t rows) {
    return rows;
}

static inline ptrdiff_t left_floats(ptrdiff_t rows, ptrdiff_t depth) {
    return rows * depth;
}

/* One tile of pack_left. */
static inline __attribute__((always_inline)) void pack_left_tile(float *packed, const float *a,
                                                                 ptrdiff_t a_depth, ptrdiff_t depth,
                                                                 const ptrdiff_t tile) {
    for (ptrdiff_t k = 0; k < depth; ++k) {
        for (ptrdiff_t r = 0; r < tile; ++r) {
            packed[k * tile + r] = a[k * a_depth + r];
        }
    }
}

/* Packs A (rows, depth) whose columns are contiguous, element (r, k) at a + r + k a_depth, for a
 * product with panels of `vectors`: tile after tile, each in the order in which it is read. Read in
 * its own layout by one panel after the other, A takes a cache line for each k of a tile. */
static void pack_left(float *packed, const float *a, ptrdiff_t a_depth, ptrdiff_t rows,
                      ptrdiff_t depth, int vectors) {
    const ptrdiff_t max_rows = tile_rows(vectors);
    for (ptrdiff_t r = 0, tile; r < rows; r += tile) {
        tile = next_tile_size(rows - r, max_rows);
        if (tile == FS_TILE_ROWS) {
            pack_left_tile(packed + r * depth, a + r, a_depth, depth, FS_TILE_ROWS);
        } else if (tile == MAX_TILE_ROWS) {
            pack_left_tile(packed + r * depth, a + r, a_depth, depth, MAX_TILE_ROWS);
        } else {
            pack_left_tile(packed + r * depth, a + r, a_depth, depth, tile);
        }
    }
}

static inline void finish_panel(float *packed, ptrdiff_t depth, int vectors) {
    (void)packed;
    (void)depth;
    (void)vectors;
}

static void compute_panel(panel_product product, ptrdiff_t rows) {
    multiply_panel(product, rows);
}

static inline int begin_tiles(void) {
    return 0;
}

static inline void end_tiles(int state) {
    (void)state;
}

#endif
