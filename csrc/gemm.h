/* gemm.h — matrix products made of register tiles: cache blocking, and splitting over threads. */
#ifndef FS_GEMM_H
#define FS_GEMM_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "parallel.h"
#include "tile/tile.h"

/* Rows of B (or of the sum over time) in a block: blocks of A and of a panel stay in cache. */
#define DEPTH_BLOCK 256
/* With so few rows, B stays in cache without packing. */
#define SHALLOW_DEPTH 64
/* A of more floats is out of the caches when the next panel reads it. */
#define CACHED_FLOATS ((ptrdiff_t)1 << 18)
/* With fewer panels, packing a transposed A takes longer than it saves. */
#define MIN_PANELS_OF_PACKED_INPUTS 4
/* Rows of B that stream_product reads at once. */
#define STREAM_DEPTH 4

/* First vector and width of a panel. Columns are split into panels of 4 vectors, then at most one
 * of 2 and one of 1: no tile computes a vector without a valid column. */
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

/* A general product C = start + A B, with any strides in A and B; rows of C and start contiguous.
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
    float *room;       /* rows x depth floats, in which a transposed A may be packed; or NULL */
    int packed_left;   /* A was packed by pack_left */
    int split_columns; /* threads split the panels of columns, else the rows */
    fs_interrupt *interrupt; /* of a long call; else NULL */
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
        a_k[k] = operand(vf_set(a[k * a_depth]));
    }
    ptrdiff_t j = 0;
    for (; j + FS_LANES <= columns; j += FS_LANES) {
        vf sum = vf_load(c + j);
#pragma GCC unroll 4
        for (int k = 0; k < depth; ++k) {
            sum = vf_fma(a_k[k], operand(vf_load(b + k * b_row + j)), sum);
        }
        vf_store(c + j, sum);
    }
    if (j < columns) {
        vf sum = vf_load_first(c + j, columns - j);
#pragma GCC unroll 4
        for (int k = 0; k < depth; ++k) {
            sum = vf_fma(a_k[k], operand(vf_load_first(b + k * b_row + j, columns - j)), sum);
        }
        vf_store_first(c + j, sum, columns - j);
    }
}

/* Columns [begin, end) of a product with few rows, which is bound by reading B: B is read unpacked,
 * STREAM_DEPTH contiguous rows at a time, at the bandwidth of the memory. Partial sums are kept in
 * C. The rows of B must be contiguous. */
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

/* The first column of a panel; for the panel past the last, `columns`. */
static inline ptrdiff_t column_of_panel(ptrdiff_t panel, ptrdiff_t columns) {
    return panel < count_panels(columns) ? span_of_panel(panel, columns).first_vector * FS_LANES
                                         : columns;
}

/* The parts of the depth that are multiplied one after the other. */
static inline ptrdiff_t count_parts(const matrix_product *m) {
    return (m->depth + DEPTH_BLOCK - 1) / DEPTH_BLOCK;
}

/* C of rows [row_begin, row_end) and one panel: the part of DEPTH_BLOCK rows of B from row k on,
 * added to the parts before. */
static void compute_part(const matrix_product *m, ptrdiff_t row_begin, ptrdiff_t row_end,
                         ptrdiff_t panel, ptrdiff_t k) {
    _Alignas(64) float packed[DEPTH_BLOCK * PANEL_COLUMNS];
    const panel_span span = span_of_panel(panel, m->columns);
    const ptrdiff_t column = span.first_vector * FS_LANES;
    const ptrdiff_t lanes = m->columns - column;
    const ptrdiff_t depth = min_size(DEPTH_BLOCK, m->depth - k);
    const float *b = m->b + k * m->b_row + column * m->b_column;
    const int whole = lanes >= span.vectors * FS_LANES;
    /* packing would not pay: read B in place */
    const int in_place = !PACKS_ALWAYS && whole && m->b_column == 1 && m->depth <= SHALLOW_DEPTH;
    if (!in_place) {
        pack_rows(packed, b, m->b_row, FS_LANES * m->b_column, m->b_column, depth, span.vectors,
                  lanes, FS_LANES);
        finish_panel(packed, depth, span.vectors);
    }
    float *c = m->c + row_begin * m->c_row + column;
    const float *start = m->start ? m->start + row_begin * m->start_row + column : NULL;
    const int packed_left = m->packed_left && span.vectors == PANEL_VECTORS;
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = m->c_row,
            .c_vector = FS_LANES,
            .start = k == 0 ? start : c,
            .start_row = k == 0 ? m->start_row : m->c_row,
            .start_vector = FS_LANES,
            .a = packed_left ? m->room + left_floats(m->rows, k)
                             : m->a + row_begin * m->a_row + k * m->a_depth,
            .a_row = packed_left ? packed_depth(depth) : m->a_row,
            .a_depth = m->a_depth,
            .packed_left = packed_left,
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
}

/* Rows [row_begin, row_end) of panels [panel_begin, panel_end), in the thread of a rank. */
static void compute_block(const matrix_product *m, ptrdiff_t row_begin, ptrdiff_t row_end,
                          ptrdiff_t panel_begin, ptrdiff_t panel_end, int rank) {
    if (!PACKS_ALWAYS && row_end - row_begin <= FS_TILE_ROWS && m->b_column == 1) {
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
    /* once even for depth 0: C = start */
    const ptrdiff_t parts = max_size(1, count_parts(m));
    const ptrdiff_t panels = panel_end - panel_begin;
    /* Panel by panel, C stays in cache and A is read once for each; where A is the larger one, a
     * block of it stays in cache for all panels. */
    const int depth_first =
        (row_end - row_begin) * m->depth > CACHED_FLOATS && m->depth > m->columns;
    for (ptrdiff_t i = 0; i < parts * panels && !is_interrupted(m->interrupt, rank); ++i) {
        const ptrdiff_t panel = depth_first ? i % panels : i / parts;
        const ptrdiff_t part = depth_first ? i / panels : i % parts;
        compute_part(m, row_begin, row_end, panel_begin + panel, part * DEPTH_BLOCK);
    }
}

static void matrix_product_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const matrix_product *m = argument;
    if (m->split_columns) {
        compute_block(m, 0, m->rows, begin, end, rank);
    } else {
        compute_block(m, begin, end, 0, count_panels(m->columns), rank);
    }
}

/* Packs A of the parts [begin, end) of a product into its room. */
static void pack_left_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const matrix_product *m = argument;
    (void)rank;
    for (ptrdiff_t k = begin * DEPTH_BLOCK; k < min_size(end * DEPTH_BLOCK, m->depth);
         k += DEPTH_BLOCK) {
        pack_left(m->room + left_floats(m->rows, k), m->a + k * m->a_depth, m->a_depth, m->rows,
                  min_size(DEPTH_BLOCK, m->depth - k), PANEL_VECTORS);
    }
}

static void compute_product(matrix_product product, const fs_context *context) {
    assert(product.rows >= 0 && product.depth >= 0 && product.columns >= 0);
    const ptrdiff_t panels = count_panels(product.columns);
    const double operations =
        2.0 * (double)product.rows * (double)product.depth * (double)product.columns;
    /* prefer columns: each panel is then packed by one thread only */
    product.split_columns = panels >= 2 * context->threads;
    product.interrupt = interrupt_of(context, operations);
    const ptrdiff_t items = product.split_columns ? panels : product.rows;
    product.packed_left = product.room && product.a_row == 1 && product.split_columns &&
                          panels >= MIN_PANELS_OF_PACKED_INPUTS && product.depth > SHALLOW_DEPTH &&
                          left_floats(product.rows, product.depth) <= product.rows * product.depth;
    if (product.packed_left) {
        parallel_for(context, count_parts(&product), operations / (double)panels, pack_left_task,
                     &product);
    }
    parallel_for(context, items, operations, matrix_product_task, &product);
}

#endif
