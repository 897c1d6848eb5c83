/* tile/amx.h — the tiles of AMX: 16 rows times 16 columns, bfloat16 operands summed in float32.
 *
 * Each element of C is `start`; then for every 32 k, ascending, the sum of the products of the even
 * k plus that of the odd ones is added to it: the order of the instruction (Intel's manual, volume
 * 2, TDPBF16PS). Denormals are zeros. Tiles of fewer rows or columns are computed in full in a
 * buffer, whose other rows and columns are zeros. */
#ifndef FS_TILE_AMX_H
#define FS_TILE_AMX_H

#define DEPTH_STEP 32
#define AMX_ROWS 16
/* Rows of A that are converted at once: two tiles of them share the tiles of B. */
#define LEFT_ROWS (2 * AMX_ROWS)
#define LEFT_STEP AMX_ROWS

#include "pairs.h"

#define AMX_PAIRS 16 /* of k in a tile */

/* Intel's manual, volume 1, 18.3.2: palette 1, and the shape of each of its 8 tiles. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_in_row[16];
    uint8_t rows[16];
} tile_configuration;

/* Configures the thread's tiles, unless an outer task has; the result is for end_tiles. */
static inline int begin_tiles(void) {
    tile_configuration current;
    _tile_storeconfig(&current);
    if (current.palette == 1) {
        return 1;
    }
    tile_configuration whole = {.palette = 1};
    for (int tile = 0; tile < 8; ++tile) {
        whole.bytes_in_row[tile] = AMX_PAIRS * sizeof(float);
        whole.rows[tile] = AMX_ROWS;
    }
    /* GCC's intrinsic says that it reads 8 bytes: the others might not be written */
    __asm__ volatile("" : : "r"(&whole) : "memory");
    _tile_loadconfig(&whole);
    return 0;
}

/* Tiles that are in use make every switch of threads save 8 KiB. */
static inline void end_tiles(int state) {
    if (!state) {
        _tile_release();
    }
}

#define BYTES(floats) ((long)((floats) * (ptrdiff_t)sizeof(float)))

#define LOAD_SUM(TILE, R, V)                                                                       \
    if (start) {                                                                                   \
        _tile_loadd(TILE, start + (R) * start_row + (V) * start_vector, BYTES(start_row));         \
    } else {                                                                                       \
        _tile_zero(TILE);                                                                          \
    }
#define STORE_SUM(TILE, R, V) _tile_stored(TILE, c + (R) * c_row + (V) * c_vector, BYTES(c_row))

/* One vector of columns, or two, for 16 rows or 32. */
static __attribute__((noinline)) void amx_tiles(const panel_product *product, int first_vector,
                                                int two_vectors, int more_rows) {
    const ptrdiff_t c_row = product->c_row, c_vector = product->c_vector;
    const ptrdiff_t start_row = product->start_row, start_vector = product->start_vector;
    float *c = product->c + first_vector * c_vector;
    const float *start = product->start ? product->start + first_vector * start_vector : NULL;
    const float *a = product->a, *b = product->b + first_vector * FS_LANES;
    const long a_row = BYTES(product->a_row), b_row = BYTES(product->b_row);
    LOAD_SUM(0, 0, 0)
    if (two_vectors) {
        LOAD_SUM(1, 0, 1)
    }
    if (more_rows) {
        LOAD_SUM(2, AMX_ROWS, 0)
    }
    if (two_vectors && more_rows) {
        LOAD_SUM(3, AMX_ROWS, 1)
    }
    for (ptrdiff_t pair = 0; pair < product->depth; pair += AMX_PAIRS) {
        _tile_loadd(4, a + pair, a_row);
        _tile_loadd(6, b + pair * product->b_row, b_row);
        _tile_dpbf16ps(0, 4, 6);
        if (more_rows) {
            _tile_loadd(5, a + AMX_ROWS * product->a_row + pair, a_row);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (two_vectors) {
            _tile_loadd(7, b + pair * product->b_row + FS_LANES, b_row);
            _tile_dpbf16ps(1, 4, 7);
            if (more_rows) {
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    STORE_SUM(0, 0, 0);
    if (two_vectors) {
        STORE_SUM(1, 0, 1);
    }
    if (more_rows) {
        STORE_SUM(2, AMX_ROWS, 0);
    }
    if (two_vectors && more_rows) {
        STORE_SUM(3, AMX_ROWS, 1);
    }
}

/* All vectors of the panel; A and B are pairs. */
static void multiply_tiles(const panel_product *product, int more_rows) {
    for (int v = 0; v < product->vectors; v += 2) {
        amx_tiles(product, v, v + 1 < product->vectors, more_rows);
    }
}

/* The same where the tiles are larger than C: in a buffer, the valid part copied. */
static void multiply_edge(panel_product product, ptrdiff_t rows) {
    _Alignas(64) float buffer[LEFT_ROWS * PANEL_COLUMNS];
    float *const c = product.c;
    const ptrdiff_t c_row = product.c_row, c_vector = product.c_vector;
    if (product.start) {
        memset(buffer, 0, sizeof buffer);
        for (ptrdiff_t r = 0; r < rows; ++r) {
            for (int v = 0; v < product.vectors; ++v) {
                const float *from =
                    product.start + r * product.start_row + v * product.start_vector;
                vf_store(buffer + r * PANEL_COLUMNS + v * FS_LANES,
                         load_lanes(from, product.lanes - v * product.lane_step));
            }
        }
        product.start = buffer;
        product.start_row = PANEL_COLUMNS;
        product.start_vector = FS_LANES;
    }
    product.c = buffer;
    product.c_row = PANEL_COLUMNS;
    product.c_vector = FS_LANES;
    multiply_tiles(&product, rows > AMX_ROWS);
    for (ptrdiff_t r = 0; r < rows; ++r) {
        for (int v = 0; v < product.vectors; ++v) {
            store_lanes(c + r * c_row + v * c_vector,
                        vf_load(buffer + r * PANEL_COLUMNS + v * FS_LANES),
                        product.lanes - v * product.lane_step);
        }
    }
}

static void multiply_rows(const panel_product *part, ptrdiff_t count) {
    if (last_vector_is_whole(part, part->vectors) && count % AMX_ROWS == 0) {
        multiply_tiles(part, count > AMX_ROWS);
    } else {
        multiply_edge(*part, count);
    }
}

static void compute_panel(panel_product product, ptrdiff_t rows) {
    multiply_converted(product, rows, multiply_rows);
}

#endif
