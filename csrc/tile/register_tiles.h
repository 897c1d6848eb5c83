/* tile/register_tiles.h — the shapes of the tiles whose accumulators are vector registers, made
 * from the including header's tile_body. */
#ifndef FS_TILE_REGISTER_TILES_H
#define FS_TILE_REGISTER_TILES_H

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

/* All rows of a panel, tile by tile. */
static void multiply_panel(panel_product product, ptrdiff_t rows) {
    const int vectors = product.vectors;
    const ptrdiff_t max_rows = tile_rows(vectors);
    if (product.packed_left) {
        product.a_row = 1;
    }
    for (ptrdiff_t r = 0, tile; r < rows; r += tile) {
        tile = next_tile_size(rows - r, max_rows);
        if (product.packed_left) {
            product.a_depth = tile;
        }
        select_tile(tile, vectors)(&product);
        product.a += tile * (product.packed_left ? product.depth : product.a_row);
        product.c += tile * product.c_row;
        if (product.start) {
            product.start += tile * product.start_row;
        }
        if (product.next_depth > 0) {
            product.next_a += tile * product.next_row;
        }
    }
}

#endif
