/* tile/tile.h — the tile of the table that is compiled: float32, unless its file names another. */
#ifndef FS_TILE
#define FS_TILE "f32.h"
#endif

#include FS_TILE
