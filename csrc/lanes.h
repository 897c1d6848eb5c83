/* lanes.h — arithmetic on sizes, and loads and stores of a possibly partial vector. */
#ifndef FS_LANES_H
#define FS_LANES_H

#include <stddef.h>

static inline ptrdiff_t min_size(ptrdiff_t a, ptrdiff_t b) {
    return a < b ? a : b;
}

static inline ptrdiff_t max_size(ptrdiff_t a, ptrdiff_t b) {
    return a > b ? a : b;
}

static inline ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* The next vector of a row with `remaining` elements left; lanes past its end are 0 or not
 * stored. */
static inline vf load_lanes(const float *p, ptrdiff_t remaining) {
    return remaining >= FS_LANES ? vf_load(p) : vf_load_first(p, remaining);
}

/* The same with the value `rest` in the lanes past the row's end. */
static inline vf load_lanes_or(const float *p, ptrdiff_t remaining, float rest) {
    static const float number[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (remaining >= FS_LANES) {
        return vf_load(p);
    }
    return vf_select(vf_less(vf_load(number), vf_set((float)remaining)),
                     vf_load_first(p, remaining), vf_set(rest));
}

static inline void store_lanes(float *p, vf x, ptrdiff_t remaining) {
    if (remaining >= FS_LANES) {
        vf_store(p, x);
    } else {
        vf_store_first(p, x, remaining);
    }
}

/* to += from */
static inline void add_floats(float *to, const float *from, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        store_lanes(to + i, vf_add(load_lanes(to + i, n - i), load_lanes(from + i, n - i)), n - i);
    }
}

#endif
