/* arena.h — a caller's scratch or cache, handed out piece by piece. */
#ifndef FS_ARENA_H
#define FS_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "lanes.h"

/* With no memory it only counts what would be used. */
typedef struct {
    float *memory;
    ptrdiff_t used;
} arena;

static float *arena_allocate(arena *from, ptrdiff_t floats) {
    float *taken = from->memory ? from->memory + from->used : NULL;
    from->used += round_up(floats, FS_LANES);
    return taken;
}

static float *arena_rest(const arena *from) {
    return from->memory ? from->memory + from->used : NULL;
}

/* Memory on a cache line, where loads of vectors are fastest and structures may lie; the caller's
 * is aligned for floats only, and must have ALIGNMENT_FLOATS more. */
#define CACHE_LINE_BYTES 64
#define ALIGNMENT_FLOATS (CACHE_LINE_BYTES / 4 - 1)

static float *align_to_cache_line(float *memory) {
    const uintptr_t past = (uintptr_t)memory % CACHE_LINE_BYTES;
    return past ? memory + (CACHE_LINE_BYTES - past) / sizeof(float) : memory;
}

#endif
