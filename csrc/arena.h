/* arena.h — a bump allocator for arrays in the caller's scratch or cache. */
#ifndef FS_ARENA_H
#define FS_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "lanes.h"

/* With memory NULL it only counts the floats. */
typedef struct {
    float *memory;
    ptrdiff_t used;
} arena;

static float *arena_allocate(arena *from, ptrdiff_t floats) {
    float *taken = from->memory ? from->memory + from->used : NULL;
    from->used += round_up(floats, FS_LANES);
    return taken;
}

static double *arena_allocate_doubles(arena *from, ptrdiff_t count) {
    return (void *)arena_allocate(from, count * (ptrdiff_t)(sizeof(double) / sizeof(float)));
}

static float *arena_rest(const arena *from) {
    return from->memory ? from->memory + from->used : NULL;
}

/* Aligns memory to a cache line, for fast vector loads and for structures. The caller's memory is
 * aligned for floats only, and must be ALIGNMENT_FLOATS larger. */
#define CACHE_LINE_BYTES 64
#define ALIGNMENT_FLOATS (CACHE_LINE_BYTES / 4 - 1)

static float *align_to_cache_line(float *memory) {
    const uintptr_t past = (uintptr_t)memory % CACHE_LINE_BYTES;
    return past ? memory + (CACHE_LINE_BYTES - past) / sizeof(float) : memory;
}

#endif
