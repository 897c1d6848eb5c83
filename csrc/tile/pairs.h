/* tile/pairs.h — bfloat16 operands in pairs, as the instructions for them read them: the lower half
 * of 32 bits holds an even k, the upper half the next. For AVX-512 with AVX512_BF16.
 *
 * A packed panel has one row of floats for two rows of B: packed[k / 2][v][lane] holds
 * (b_k, b_k+1). What lies past the last row, up to DEPTH_STEP, is zero. */
#ifndef FS_TILE_PAIRS_H
#define FS_TILE_PAIRS_H

#include "panel.h"

/* B is read faster when it is packed, also once: half of the bytes, and no conversion. */
#define PACKS_ALWAYS 1

static inline ptrdiff_t packed_depth(ptrdiff_t depth) {
    return round_up(depth, DEPTH_STEP) / 2;
}

static inline ptrdiff_t packed_offset(ptrdiff_t k) {
    assert(k % 2 == 0);
    return k / 2;
}

/* Lane by lane the pair of an even and the next odd k, as the bits of floats. */
static inline vf make_pairs(vf even, vf odd) {
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

/* Packs rows of a panel of B: element (k, v, lane) is b[k b_row + v b_vector + lane b_column], zero
 * in the columns past the last, and after an odd number of rows. */
static void pack_rows(float *packed, const float *b, ptrdiff_t b_row, ptrdiff_t b_vector,
                      ptrdiff_t b_column, ptrdiff_t depth, int vectors, ptrdiff_t lanes,
                      ptrdiff_t lane_step) {
    const ptrdiff_t width = vectors * FS_LANES;
    for (int v = 0; v < vectors; ++v) {
        const ptrdiff_t valid = lanes - v * lane_step;
        for (ptrdiff_t k = 0; k < depth; k += FS_LANES) {
            const ptrdiff_t rows = min_size(FS_LANES, depth - k);
            const float *from = b + k * b_row + v * b_vector;
            float transposed[FS_LANES * FS_LANES];
            if (b_column != 1) {
                pack_transposed_block(transposed, FS_LANES, from, b_row, b_column, rows,
                                      min_size(FS_LANES, valid));
            }
            for (ptrdiff_t i = 0; i < rows; i += 2) {
                vf row[2] = {vf_set(0.0f), vf_set(0.0f)};
                for (ptrdiff_t j = 0; j < 2 && i + j < rows; ++j) {
                    row[j] = b_column == 1 ? load_lanes(from + (i + j) * b_row, valid)
                                           : vf_load(transposed + (i + j) * FS_LANES);
                }
                vf_store(packed + (k + i) / 2 * width + v * FS_LANES, make_pairs(row[0], row[1]));
            }
        }
    }
}

static void finish_panel(float *packed, ptrdiff_t depth, int vectors) {
    const ptrdiff_t width = vectors * FS_LANES, written = (depth + 1) / 2;
    memset(packed + written * width, 0,
           (size_t)((packed_depth(depth) - written) * width) * sizeof *packed);
}

/* ---- A ---- */

/* The depth and the rows of A that are converted at once, on the stack. */
#define LEFT_DEPTH 512
#define LEFT_PAIRS (LEFT_DEPTH / 2)

/* Up to FS_LANES consecutive k of a row of A, from k on, which end in one block; zeros past the
 * last. */
static inline vf left_lanes(const panel_product *product, const float *a, ptrdiff_t k) {
    const ptrdiff_t in_block = k % max_size(product->depth, 1);
    if (k >= product->depth * product->blocks) {
        return vf_set(0.0f);
    }
    return load_lanes(a + k / product->depth * product->a_block + in_block,
                      product->depth - in_block);
}

/* left (rows, LEFT_PAIRS) <- `depth` k of A from k on, zeros up to DEPTH_STEP. Blocks, if there are
 * several, are a multiple of FS_LANES deep. */
static void load_left(float *left, const panel_product *product, ptrdiff_t rows, ptrdiff_t k,
                      ptrdiff_t depth) {
    const ptrdiff_t pairs = packed_depth(depth);
    assert(product->blocks == 1 || product->depth % FS_LANES == 0);
    if (product->a_depth == 1) {
        for (ptrdiff_t r = 0; r < rows; ++r) {
            const float *a = product->a + r * product->a_row;
            for (ptrdiff_t pair = 0; pair < pairs; pair += FS_LANES) {
                const vf low = left_lanes(product, a, k + 2 * pair);
                const vf high = left_lanes(product, a, k + 2 * pair + FS_LANES);
                const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
                vf_store(left + r * LEFT_PAIRS + pair, _mm512_castsi512_ps(both));
            }
        }
        return;
    }
    /* A transposed: neighbouring rows lie side by side */
    assert(product->a_row == 1 && product->blocks == 1);
    const __m512i next_row = _mm512_set1_epi32(LEFT_PAIRS);
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i places = _mm512_mullo_epi32(lane, next_row);
    for (ptrdiff_t r = 0; r < rows; r += FS_LANES) {
        for (ptrdiff_t pair = 0; pair < pairs; ++pair) {
            vf row[2] = {vf_set(0.0f), vf_set(0.0f)};
            for (ptrdiff_t j = 0; j < 2 && 2 * pair + j < depth; ++j) {
                row[j] =
                    load_lanes(product->a + r + (k + 2 * pair + j) * product->a_depth, rows - r);
            }
            _mm512_mask_i32scatter_ps(left + r * LEFT_PAIRS + pair, first_lanes(rows - r), places,
                                      make_pairs(row[0], row[1]), sizeof(float));
        }
    }
}

/* A is converted when a product reads it, in the same order. */
static void pack_left(float *packed, const float *a, ptrdiff_t a_depth, ptrdiff_t rows,
                      ptrdiff_t depth, int vectors) {
    (void)packed;
    (void)a;
    (void)a_depth;
    (void)rows;
    (void)depth;
    (void)vectors;
}

/* The product of `count` rows of A, converted, of which those up to the next multiple of LEFT_STEP
 * are zeros. */
typedef void (*multiply_part)(const panel_product *part, ptrdiff_t count);

/* All rows of a panel without next_a: A is converted LEFT_ROWS rows and LEFT_DEPTH of the depth at a
 * time. */
static inline __attribute__((always_inline)) void
multiply_blocks(panel_product product, ptrdiff_t rows, multiply_part multiply) {
    _Alignas(64) float left[LEFT_ROWS * LEFT_PAIRS];
    const ptrdiff_t depth = product.depth * product.blocks;
    for (ptrdiff_t r = 0; r < rows; r += LEFT_ROWS) {
        const ptrdiff_t count = min_size(LEFT_ROWS, rows - r);
        const ptrdiff_t padding = round_up(count, LEFT_STEP) - count;
        memset(left + count * LEFT_PAIRS, 0, (size_t)(padding * LEFT_PAIRS) * sizeof *left);
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
            multiply(&part, count);
            k += part_depth;
        } while (k < depth);
        product.a += count * product.a_row;
        product.c += count * product.c_row;
        if (product.start) {
            product.start += count * product.start_row;
        }
    }
}

/* All rows of a panel. */
static inline __attribute__((always_inline)) void
multiply_converted(panel_product product, ptrdiff_t rows, multiply_part multiply) {
    multiply_blocks(product, rows, multiply);
    if (product.next_depth > 0) {
        product.b += packed_depth(product.blocks * product.depth) * product.b_row;
        product.start = product.c;
        product.start_row = product.c_row;
        product.start_vector = product.c_vector;
        product.a = product.next_a;
        product.a_row = product.next_row;
        product.a_depth = 1;
        product.depth = product.next_depth;
        product.blocks = 1;
        multiply_blocks(product, rows, multiply);
    }
}

#endif
