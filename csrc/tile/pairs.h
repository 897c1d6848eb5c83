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

/* ---- A ----
 *
 * A converted row of A is packed_depth(depth) floats of pairs, and lies a_row from the next. */

/* The depth and the rows of A that are converted at once, on the stack. */
#define LEFT_DEPTH 512
#define LEFT_PAIRS (LEFT_DEPTH / 2)

/* The rows that a product may read from memory with `rows` converted ones: from any of them on,
 * LEFT_STEP at a time. */
static inline ptrdiff_t left_rows(ptrdiff_t rows) {
    return rows + LEFT_STEP - 1;
}

/* The memory of pack_left. */
static inline ptrdiff_t left_floats(ptrdiff_t rows, ptrdiff_t depth) {
    return round_up(rows, LEFT_STEP) * packed_depth(depth);
}

static inline vf join_pairs(vf low, vf high) {
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* left (pairs) <- `depth` contiguous floats of a row of A, zeros past the last. */
static inline void convert_row(float *left, const float *a, ptrdiff_t depth, ptrdiff_t pairs) {
    ptrdiff_t pair = 0;
    for (; 2 * (pair + FS_LANES) <= depth; pair += FS_LANES) {
        vf_store(left + pair, join_pairs(vf_load(a + 2 * pair), vf_load(a + 2 * pair + FS_LANES)));
    }
    for (; pair < pairs; pair += FS_LANES) {
        const ptrdiff_t rest = max_size(depth - 2 * pair, 0);
        const vf low = load_lanes(a + 2 * pair, rest);
        const vf high = load_lanes(a + 2 * pair + FS_LANES, max_size(rest - FS_LANES, 0));
        store_lanes(left + pair, join_pairs(low, high), pairs - pair);
    }
}

/* The same for `rows` rows of A that lie side by side, as in a transposed matrix: element (r, k) at
 * a + r + k a_depth. */
static void convert_transposed(float *left, ptrdiff_t left_row, const float *a, ptrdiff_t a_depth,
                               ptrdiff_t rows, ptrdiff_t depth) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i places = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)left_row));
    for (ptrdiff_t r = 0; r < rows; r += FS_LANES) {
        for (ptrdiff_t pair = 0; pair < packed_depth(depth); ++pair) {
            vf row[2] = {vf_set(0.0f), vf_set(0.0f)};
            for (ptrdiff_t j = 0; j < 2 && 2 * pair + j < depth; ++j) {
                row[j] = load_lanes(a + r + (2 * pair + j) * a_depth, rows - r);
            }
            _mm512_mask_i32scatter_ps(left + r * left_row + pair, first_lanes(rows - r), places,
                                      make_pairs(row[0], row[1]), sizeof(float));
        }
    }
}

/* left (rows, left_row) <- `depth` k of A from k on, zeros past them up to a DEPTH_STEP. Blocks, if
 * there are several, are a multiple of FS_LANES deep, and k begins one. */
static void load_left(float *left, ptrdiff_t left_row, const panel_product *product, ptrdiff_t rows,
                      ptrdiff_t k, ptrdiff_t depth) {
    if (product->a_depth != 1) {
        assert(product->a_row == 1 && product->blocks == 1);
        convert_transposed(left, left_row, product->a + k * product->a_depth, product->a_depth,
                           rows, depth);
        return;
    }
    const int one_block = product->blocks == 1;
    assert(one_block || (product->depth % FS_LANES == 0 && k % product->depth == 0));
    const ptrdiff_t block = one_block ? depth : product->depth;
    const float *a = product->a + (one_block ? k : k / product->depth * product->a_block);
    for (ptrdiff_t r = 0; r < rows; ++r) {
        for (ptrdiff_t done = 0; done < depth; done += block) {
            const int last = done + block == depth;
            convert_row(left + r * left_row + done / 2,
                        a + r * product->a_row + done / block * product->a_block, block,
                        last ? packed_depth(depth) - done / 2 : block / 2);
        }
    }
}

/* Converts A of a product for all its panels into memory (left_rows(rows), packed depth). */
static void convert_left(panel_product *product, ptrdiff_t rows, float *memory) {
    const ptrdiff_t depth = product->blocks * product->depth;
    load_left(memory, packed_depth(depth), product, rows, 0, depth);
    product->a = memory;
    product->a_row = packed_depth(depth);
    product->depth = depth;
    product->blocks = 1;
    product->packed_left = 1;
}

/* Converts a transposed A, element (r, k) at a + r + k a_depth. */
static void pack_left(float *packed, const float *a, ptrdiff_t a_depth, ptrdiff_t rows,
                      ptrdiff_t depth, int vectors) {
    (void)vectors;
    convert_transposed(packed, packed_depth(depth), a, a_depth, rows, depth);
}

/* The product of `count` rows of A, converted, up to LEFT_ROWS. Rows up to the next multiple of
 * LEFT_STEP can be read. */
typedef void (*multiply_part)(const panel_product *part, ptrdiff_t count);

/* `count` rows of a panel, [A next_a] converted LEFT_DEPTH of the depth at a time. */
static inline __attribute__((always_inline)) void
convert_and_multiply(panel_product product, ptrdiff_t count, multiply_part multiply) {
    _Alignas(64) float left[LEFT_ROWS * LEFT_PAIRS];
    const ptrdiff_t a_pairs = packed_depth(product.depth * product.blocks);
    const ptrdiff_t pairs = a_pairs + packed_depth(product.next_depth);
    const panel_product next = {.a = product.next_a,
                                .a_row = product.next_row,
                                .a_depth = 1,
                                .depth = product.next_depth,
                                .blocks = 1};
    const ptrdiff_t padding = round_up(count, LEFT_STEP) - count;
    memset(left + count * LEFT_PAIRS, 0, (size_t)(padding * LEFT_PAIRS) * sizeof *left);
    ptrdiff_t pair = 0;
    do { /* once even for depth 0: C = start */
        const ptrdiff_t part_pairs = min_size(LEFT_PAIRS, pairs - pair);
        const ptrdiff_t of_a = min_size(part_pairs, max_size(a_pairs - pair, 0));
        const ptrdiff_t k = 2 * pair, next_k = 2 * max_size(pair - a_pairs, 0);
        const ptrdiff_t depth = product.depth * product.blocks - k;
        load_left(left, LEFT_PAIRS, &product, count, k, min_size(2 * of_a, max_size(depth, 0)));
        load_left(left + of_a, LEFT_PAIRS, &next, count, next_k,
                  min_size(2 * (part_pairs - of_a), next.depth - next_k));
        panel_product part = product;
        part.a = left;
        part.a_row = LEFT_PAIRS;
        part.depth = part_pairs;
        part.b = product.b + pair * product.b_row;
        if (pair > 0) {
            part.start = product.c;
            part.start_row = product.c_row;
            part.start_vector = product.c_vector;
        }
        multiply(&part, count);
        pair += part_pairs;
    } while (pair < pairs);
}

/* All rows of a panel. */
static inline __attribute__((always_inline)) void
multiply_converted(panel_product product, ptrdiff_t rows, multiply_part multiply) {
    const int is_converted = product.packed_left;
    product.packed_left = 0;
    for (ptrdiff_t r = 0; r < rows; r += LEFT_ROWS) {
        const ptrdiff_t count = min_size(LEFT_ROWS, rows - r);
        if (is_converted) {
            panel_product part = product;
            part.depth = packed_depth(product.depth);
            multiply(&part, count);
        } else {
            convert_and_multiply(product, count, multiply);
        }
        product.a += count * product.a_row;
        product.c += count * product.c_row;
        if (product.start) {
            product.start += count * product.start_row;
        }
        if (product.next_depth > 0) {
            product.next_a += count * product.next_row;
        }
    }
}

#endif
