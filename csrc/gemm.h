/* gemm.h — the register tile, and products made of it: the only tile loop in the project.
 *
 * A product  C = start + A B  is cut into panels of up to four vectors of columns of B. In a packed
 * panel the vectors of one row of B lie side by side, row after row. A tile is a few rows of A
 * times one panel; its accumulators live in registers:
 *
 *                    B panel
 *                 v0   v1   v2   v3        one k step: load 4 vectors of B, broadcast each
 *          a0k  [ c00  c01  c02  c03 ]     a_rk once, FS_TILE_ROWS x 4 fused multiply-adds
 *          a1k  [ c10  c11  c12  c13 ]
 *           :
 *
 * Each element of C is `start`, then one multiply-add for each k in ascending order, whatever the
 * tile's shape: a row's result does not depend on which rows it is computed with. */
#ifndef FS_GEMM_H
#define FS_GEMM_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "packing.h"
#include "parallel.h"

#define MAX_TILE_ROWS 6
_Static_assert(FS_TILE_ROWS == 2 || FS_TILE_ROWS == 3 || FS_TILE_ROWS == 6,
               "wide_tiles has these heights");

/* Rows of B (or of the sum over time) taken at once: blocks of A and of a panel stay in cache. */
#define DEPTH_BLOCK 256
/* So few rows of B lie in cache whether packed or not. */
#define SHALLOW_DEPTH 64
/* Rows of B that a product of few rows takes at once. */
#define STREAM_DEPTH 4

/* One panel's product, for any number of rows. Strides count floats.
 *
 * c      (rows, vectors)  out; row r, vector v at c + r c_row + v c_vector
 * start  same form, what the accumulators start from; may be c itself, a bias (start_row = 0),
 *        or NULL for zeros
 * a      (rows, blocks x depth)  element (r, j depth + k) at a + r a_row + j a_block + k a_depth
 * b      (blocks x depth, vectors)  row k, vector v at b + k b_row + v b_vector
 * lanes  columns that exist: vector v of c and start has lanes - v lane_step of them, the others
 *        are neither read nor written. b must be readable in full. */
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
            /* results often lie in memory not touched lately: fetch it while the tile computes */
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

/* Each tile shape is a function of its own, never inlined: arithmetic beside the loop would take
 * its registers. */
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

static inline tile_function tile_for(ptrdiff_t rows, int vectors) {
    assert(vectors == 1 || vectors == 2 || vectors == PANEL_VECTORS);
    assert(rows >= 1 && rows <= tile_rows(vectors));
    return vectors == PANEL_VECTORS ? wide_tiles[rows - 1] : narrow_tiles[vectors - 1][rows - 1];
}

/* A tile some of whose columns do not exist: computed in a buffer, the existing part copied. */
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
    tile_for(rows, product->vectors)(&whole);
    for (ptrdiff_t r = 0; r < rows; ++r) {
        for (int v = 0; v < product->vectors; ++v) {
            const vf x = vf_load(buffer + r * PANEL_COLUMNS + v * FS_LANES);
            float *to = product->c + r * product->c_row + v * product->c_vector;
            vf_store_first(to, x, product->lanes - v * product->lane_step);
        }
    }
}

/* How many of `left` items the next tile takes, `most` at the most. The last two share what is
 * left: a tile of few has too few sums to keep the machine busy. */
static inline ptrdiff_t next_tile(ptrdiff_t left, ptrdiff_t most) {
    return left >= 2 * most ? most : left > most ? (left + 1) / 2 : left;
}

/* Computes all rows of a panel, a tile at a time. */
static void compute_panel(panel_product product, ptrdiff_t rows) {
    const int vectors = product.vectors;
    const int whole = product.lanes - (vectors - 1) * product.lane_step >= FS_LANES;
    const ptrdiff_t most = tile_rows(vectors);
    for (ptrdiff_t r = 0, tile; r < rows; r += tile) {
        tile = next_tile(rows - r, most);
        if (whole) {
            tile_for(tile, vectors)(&product);
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

/* Where a panel starts and how wide it is, for `columns` columns cut into panels of 4 vectors and
 * a last few of 2 and 1: no tile computes a vector without a column in it. */
typedef struct {
    ptrdiff_t first_vector;
    int vectors;
} panel_span;

static inline ptrdiff_t count_vectors(ptrdiff_t columns) {
    return (columns + FS_LANES - 1) / FS_LANES;
}

static inline ptrdiff_t count_panels(ptrdiff_t columns) {
    const ptrdiff_t vectors = count_vectors(columns);
    const ptrdiff_t rest = vectors % PANEL_VECTORS;
    return vectors / PANEL_VECTORS + (rest & 1) + (rest >> 1);
}

static inline panel_span span_of_panel(ptrdiff_t panel, ptrdiff_t columns) {
    const ptrdiff_t vectors = count_vectors(columns);
    const ptrdiff_t whole = vectors / PANEL_VECTORS;
    const ptrdiff_t rest = vectors % PANEL_VECTORS;
    if (panel < whole) {
        return (panel_span){panel * PANEL_VECTORS, PANEL_VECTORS};
    }
    if (panel == whole && rest >= 2) {
        return (panel_span){whole * PANEL_VECTORS, 2};
    }
    return (panel_span){vectors - 1, 1};
}

/* A general product C = start + A B, any strides in A and B, columns of C and start contiguous.
 *
 * c      (rows, columns)   out; must not alias a or b
 * start  (rows, columns)   may be c itself, a bias (start_row = 0), or NULL for zeros
 * a      (rows, depth)     strides a_row, a_depth
 * b      (depth, columns)  strides b_row, b_column */
typedef struct {
    float *c;
    ptrdiff_t c_row;
    const float *start;
    ptrdiff_t start_row;
    const float *a;
    ptrdiff_t a_row, a_depth;
    const float *b;
    ptrdiff_t b_row, b_column;
    ptrdiff_t rows, depth, columns;
    int split_columns; /* threads take panels of columns, else runs of rows */
} matrix_product;

/* c (columns) += sum over k < depth of a_k b_k;  element a_k at a + k a_depth, row b_k at b + k
 * b_row. */
static inline __attribute__((always_inline)) void add_rows(float *c, const float *a,
                                                           ptrdiff_t a_depth, const float *b,
                                                           ptrdiff_t b_row, ptrdiff_t columns,
                                                           const int depth) {
    vf a_k[STREAM_DEPTH];
#pragma GCC unroll 4
    for (int k = 0; k < depth; ++k) {
        a_k[k] = vf_set(a[k * a_depth]);
    }
    ptrdiff_t j = 0;
    for (; j + FS_LANES <= columns; j += FS_LANES) {
        vf sum = vf_load(c + j);
#pragma GCC unroll 4
        for (int k = 0; k < depth; ++k) {
            sum = vf_fma(a_k[k], vf_load(b + k * b_row + j), sum);
        }
        vf_store(c + j, sum);
    }
    if (j < columns) {
        vf sum = vf_load_first(c + j, columns - j);
#pragma GCC unroll 4
        for (int k = 0; k < depth; ++k) {
            sum = vf_fma(a_k[k], vf_load_first(b + k * b_row + j, columns - j), sum);
        }
        vf_store_first(c + j, sum, columns - j);
    }
}

/* Columns [begin, end) of a product of few rows: each needs all of B, which is read where it lies
 * and as it lies, a few whole rows at a time, so that it comes as fast as the memory gives it. The
 * sums wait in C. Columns of B must be contiguous. */
static __attribute__((noinline)) void stream_product(const matrix_product *m, ptrdiff_t begin,
                                                     ptrdiff_t end) {
    assert(m->b_column == 1);
    const size_t row_size = (size_t)(end - begin) * sizeof(float);
    for (ptrdiff_t r = 0; r < m->rows; ++r) {
        float *c = m->c + r * m->c_row + begin;
        if (m->start == NULL) {
            memset(c, 0, row_size);
        } else if (m->start != m->c) {
            memcpy(c, m->start + r * m->start_row + begin, row_size);
        }
    }
    const ptrdiff_t in_blocks = m->depth - m->depth % STREAM_DEPTH;
    for (ptrdiff_t k = 0; k < m->depth; k += k < in_blocks ? STREAM_DEPTH : 1) {
        const float *b = m->b + k * m->b_row + begin;
        for (ptrdiff_t r = 0; r < m->rows; ++r) {
            float *c = m->c + r * m->c_row + begin;
            const float *a = m->a + r * m->a_row + k * m->a_depth;
            if (k < in_blocks) {
                add_rows(c, a, m->a_depth, b, m->b_row, end - begin, STREAM_DEPTH);
            } else {
                add_rows(c, a, m->a_depth, b, m->b_row, end - begin, 1);
            }
        }
    }
}

/* The first column of a panel; of the one past the last, where the columns end. */
static inline ptrdiff_t column_of_panel(ptrdiff_t panel, ptrdiff_t columns) {
    return panel < count_panels(columns) ? span_of_panel(panel, columns).first_vector * FS_LANES
                                         : columns;
}

/* Rows [row_begin, row_end) of panels [panel_begin, panel_end). */
static void compute_block(const matrix_product *m, ptrdiff_t row_begin, ptrdiff_t row_end,
                          ptrdiff_t panel_begin, ptrdiff_t panel_end) {
    _Alignas(64) float packed[DEPTH_BLOCK * PANEL_COLUMNS];
    if (row_end - row_begin <= FS_TILE_ROWS && m->b_column == 1) {
        matrix_product few = *m;
        few.rows = row_end - row_begin;
        few.c += row_begin * m->c_row;
        few.a += row_begin * m->a_row;
        if (m->start) {
            few.start += row_begin * m->start_row;
        }
        stream_product(&few, column_of_panel(panel_begin, m->columns),
                       column_of_panel(panel_end, m->columns));
        return;
    }
    for (ptrdiff_t panel = panel_begin; panel < panel_end; ++panel) {
        const panel_span span = span_of_panel(panel, m->columns);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        const ptrdiff_t lanes = m->columns - column;
        const int whole = lanes >= span.vectors * FS_LANES;
        /* too shallow to miss the packing: read B where it lies */
        const int in_place = whole && m->b_column == 1 && m->depth <= SHALLOW_DEPTH;
        ptrdiff_t k = 0;
        do { /* once even for depth 0: C = start */
            const ptrdiff_t depth = smaller(DEPTH_BLOCK, m->depth - k);
            const float *b = m->b + k * m->b_row + column * m->b_column;
            if (!in_place) {
                pack_panel(packed, b, m->b_row, FS_LANES * m->b_column, m->b_column, depth,
                           span.vectors, lanes, FS_LANES);
            }
            float *c = m->c + row_begin * m->c_row + column;
            const float *start = m->start ? m->start + row_begin * m->start_row + column : NULL;
            compute_panel(
                (panel_product){
                    .c = c,
                    .c_row = m->c_row,
                    .c_vector = FS_LANES,
                    .start = k == 0 ? start : c,
                    .start_row = k == 0 ? m->start_row : m->c_row,
                    .start_vector = FS_LANES,
                    .a = m->a + row_begin * m->a_row + k * m->a_depth,
                    .a_row = m->a_row,
                    .a_depth = m->a_depth,
                    .depth = depth,
                    .blocks = 1,
                    .b = in_place ? b : packed,
                    .b_row = in_place ? m->b_row : span.vectors * FS_LANES,
                    .b_vector = FS_LANES,
                    .vectors = span.vectors,
                    .lanes = lanes,
                    .lane_step = FS_LANES,
                },
                row_end - row_begin);
            k += depth;
        } while (k < m->depth);
    }
}

static void matrix_product_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const matrix_product *m = context;
    (void)thread;
    if (m->split_columns) {
        compute_block(m, 0, m->rows, begin, end);
    } else {
        compute_block(m, begin, end, 0, count_panels(m->columns));
    }
}

static void compute_product(matrix_product product, int threads) {
    assert(product.rows >= 0 && product.depth >= 0 && product.columns >= 0);
    const ptrdiff_t panels = count_panels(product.columns);
    const double work =
        2.0 * (double)product.rows * (double)product.depth * (double)product.columns;
    /* columns first: then each panel is packed by one thread only */
    product.split_columns = panels >= 2 * threads;
    const ptrdiff_t items = product.split_columns ? panels : product.rows;
    parallel_for(items, worthwhile_threads(items, work, threads), matrix_product_task, &product);
}

#endif
