/* kernels/recurrent/panels.h — the vectors and panels of a gate group's arrays, see layout.h, and
 * which of them a thread computes. */
#ifndef FS_RECURRENT_PANELS_H
#define FS_RECURRENT_PANELS_H

/* Vector p of the hidden columns of `row` in an array (P, rows, gates, FS_LANES). */
static inline float *row_vector(float *array, ptrdiff_t rows, const gate_group *group, ptrdiff_t p,
                                ptrdiff_t row) {
    return array + (p * rows + row) * group->gates * FS_LANES;
}

/* The same in a group's values or gradients. */
static inline float *gate_vector(float *values, const gate_group *group, const recurrent_run *run,
                                 ptrdiff_t p, ptrdiff_t row) {
    return row_vector(values, run->value_rows, group, p, row);
}

/* One panel of a group: one vector of each gate, or, in a group of a single gate, up to four
 * vectors of it, the width of a tile. */
typedef struct {
    ptrdiff_t p;                /* its first vector of hidden columns */
    int vectors;                /* of the tile */
    ptrdiff_t W_vector;         /* stride of the vectors, in columns of W */
    ptrdiff_t lanes, lane_step; /* valid hidden columns, as in panel_product */
} gate_panel;

static ptrdiff_t count_gate_panels(const recurrent_run *run, const gate_group *group) {
    return group->gates > 1 ? run->P : count_panels(run->size.H);
}

static gate_panel gate_panel_at(const recurrent_run *run, const gate_group *group,
                                ptrdiff_t index) {
    const ptrdiff_t H = run->size.H;
    if (group->gates > 1) {
        return (gate_panel){.p = index,
                            .vectors = group->gates,
                            .W_vector = H,
                            .lanes = H - index * FS_LANES,
                            .lane_step = 0};
    }
    const panel_span span = span_of_panel(index, H);
    return (gate_panel){.p = span.first_vector,
                        .vectors = span.vectors,
                        .W_vector = FS_LANES,
                        .lanes = H - span.first_vector * FS_LANES,
                        .lane_step = FS_LANES};
}

/* The stride of a panel's vectors in an array (P, rows, gates, FS_LANES). */
static inline ptrdiff_t next_vector(const gate_group *group, ptrdiff_t rows) {
    return group->gates > 1 ? FS_LANES : rows * FS_LANES;
}

/* The panels of one part, of `count` in all: their number, and the i-th at step t. The order is
 * ascending at even steps and descending at odd ones, which so start with the weights that the
 * previous step left in the cache. */
static inline ptrdiff_t count_part(recurrent_part part, ptrdiff_t count) {
    return count * (part.team.rank + 1) / part.team.ranks -
           count * part.team.rank / part.team.ranks;
}

static inline ptrdiff_t panel_of_part(recurrent_part part, ptrdiff_t count, ptrdiff_t i,
                                      ptrdiff_t t) {
    const ptrdiff_t first = count * part.team.rank / part.team.ranks;
    return first + (t % 2 == 0 ? i : count_part(part, count) - 1 - i);
}

static ptrdiff_t count_all_panels(const recurrent_run *run) {
    ptrdiff_t panels = 0;
    for (int g = 0; g < run->groups; ++g) {
        panels += count_gate_panels(run, &run->group[g]);
    }
    return panels;
}

/* The group of the index-th panel of all groups; the index becomes that in its group. */
static const gate_group *group_of_panel(const recurrent_run *run, ptrdiff_t *index) {
    const gate_group *group = run->group;
    while (*index >= count_gate_panels(run, group)) {
        *index -= count_gate_panels(run, group);
        ++group;
    }
    return group;
}

/* The first column of a panel in W, b or their gradients. */
static ptrdiff_t panel_column(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return group->first * run->size.H + panel.p * FS_LANES;
}

#endif
