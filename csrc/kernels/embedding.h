/* kernels/embedding.h — embedding look-up, and the sum of its gradients by id. */
#ifndef FS_EMBEDDING_H
#define FS_EMBEDDING_H

typedef struct {
    float *ys;
    fs_matrix W;
    const int64_t *ids;
    ptrdiff_t D;
} embedding_gather;

static void embedding_forward_rows(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const embedding_gather *g = argument;
    (void)rank;
    for (ptrdiff_t r = begin; r < end; ++r) {
        assert(g->ids[r] >= 0);
        const float *from = g->W.data + g->ids[r] * g->W.row;
        float *to = g->ys + r * g->D;
        if (g->W.column == 1) {
            memcpy(to, from, (size_t)g->D * sizeof *to);
            continue;
        }
        for (ptrdiff_t d = 0; d < g->D; ++d) {
            to[d] = from[d * g->W.column];
        }
    }
}

static void embedding_forward(float *ys, fs_matrix W, const int64_t *ids, ptrdiff_t R, ptrdiff_t D,
                              const fs_context *context) {
    embedding_gather gather = {.ys = ys, .W = W, .ids = ids, .D = D};
    const double operations = (double)R * (double)D;
    parallel_for(context, R, operations, embedding_forward_rows, &gather);
}

typedef struct {
    float *dW;
    const float *dys;
    const int64_t *ids;
    ptrdiff_t R, D;
} embedding_scatter;

// forward was: ys_r = W[ids_r], so dW[ids_r] += dys_r. Each thread sums the rows of a range of ids,
// in ascending order, so that sums do not depend on the number of threads.
static void embedding_backward_ids(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const embedding_scatter s = *(const embedding_scatter *)argument;
    const ptrdiff_t D = s.D;
    (void)rank;
    memset(s.dW + begin * D, 0, (size_t)((end - begin) * D) * sizeof *s.dW);
    for (ptrdiff_t r = 0; r < s.R; ++r) {
        const ptrdiff_t id = s.ids[r];
        if (id < begin || id >= end) {
            continue;
        }
        add_floats(s.dW + id * D, s.dys + r * D, D);
    }
}

static void embedding_backward(float *dW, const float *dys, const int64_t *ids, ptrdiff_t R,
                               ptrdiff_t V, ptrdiff_t D, const fs_context *context) {
    embedding_scatter scatter = {.dW = dW, .dys = dys, .ids = ids, .R = R, .D = D};
    const double operations = (double)(R + V) * (double)D;
    parallel_for(context, V, operations, embedding_backward_ids, &scatter);
}

#endif
