/* packing.h — a panel of a matrix B, up to four vectors of its columns, row after row: what a tile
 * reads straight through. */
#ifndef FS_PACKING_H
#define FS_PACKING_H

#include "lanes.h"

#define PANEL_VECTORS 4
#define PANEL_COLUMNS (PANEL_VECTORS * FS_LANES)

/* packed[k][lane] = b[k b_row + lane b_column] for `rows` rows of one vector, zeros in the lanes
 * that do not exist. Where a column of B is contiguous, as in a transposed matrix, it is read as it
 * lies: its neighbours are pages away, and would drive each other out of the cache. */
static void pack_transposed_square(float *packed, ptrdiff_t width, const float *b, ptrdiff_t b_row,
                                   ptrdiff_t b_column, ptrdiff_t rows, ptrdiff_t exist) {
    float columns[FS_LANES][FS_LANES];
    for (ptrdiff_t lane = 0; lane < FS_LANES; ++lane) {
        const float *from = b + lane * b_column;
        if (lane >= exist) {
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
 * columns that do not exist. */
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
        const ptrdiff_t exist = smaller(FS_LANES, lanes - v * lane_step);
        for (ptrdiff_t k = 0; k < depth; k += FS_LANES) {
            pack_transposed_square(packed + k * width + v * FS_LANES, width,
                                   b + k * b_row + v * b_vector, b_row, b_column,
                                   smaller(FS_LANES, depth - k), exist);
        }
    }
}

#endif
