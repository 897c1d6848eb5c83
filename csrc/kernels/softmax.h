/* kernels/softmax.h — elementwise functions, softmax, and softmax with cross-entropy. */
#ifndef FS_SOFTMAX_H
#define FS_SOFTMAX_H

static void exp_array(float *y, const float *x, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        store_lanes(y + i, vf_exp(load_lanes(x + i, n - i)), n - i);
    }
}

static void tanh_array(float *y, const float *x, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        store_lanes(y + i, vf_tanh(load_lanes(x + i, n - i)), n - i);
    }
}

/* Denormal results are rare and double the cost: they are computed only if there are any. */
static void sigmoid_array(float *y, const float *x, ptrdiff_t n) {
    vf minimum = vf_set(0.0f);
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        minimum = vf_min(load_lanes(x + i, n - i), minimum);
    }
    const int has_denormals = vf_reduce_max(vf_sub(vf_set(0.0f), minimum)) > SIGMOID_IS_EXP;
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        const vf xs = load_lanes(x + i, n - i);
        store_lanes(y + i, has_denormals ? vf_sigmoid_to_denormals(xs) : vf_sigmoid(xs), n - i);
    }
}

static float row_maximum(const float *x, ptrdiff_t n) {
    vf maximum = vf_set(-INFINITY);
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        maximum = vf_max(maximum, load_lanes_or(x + i, n - i, -INFINITY));
    }
    return vf_reduce_max(maximum);
}

/* The index of the first maximum of x, or of the first NaN. */
static ptrdiff_t argmax(const float *x, ptrdiff_t n) {
    ptrdiff_t found = 0;
    for (ptrdiff_t i = 1; i < n && !isnan(x[found]); ++i) {
        if (!(x[i] <= x[found])) {
            found = i;
        }
    }
    return found;
}

/* y_j = exp(x_j - shift) with shift = max x; returns the sum of y. y may be x. */
static float exp_shifted(float *y, const float *x, float shift, ptrdiff_t n) {
    vf sum = vf_set(0.0f);
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        /* exp(-inf) = 0 adds nothing */
        const vf e = vf_exp(vf_sub(load_lanes_or(x + i, n - i, -INFINITY), vf_set(shift)));
        store_lanes(y + i, e, n - i);
        sum = vf_add(sum, e);
    }
    return vf_reduce_add(sum);
}

static void divide_row(float *y, float divisor, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        store_lanes(y + i, vf_div(load_lanes(y + i, n - i), vf_set(divisor)), n - i);
    }
}

/* One row; y may be x. */
static void softmax_row(float *y, const float *x, ptrdiff_t n) {
    const float sum = exp_shifted(y, x, row_maximum(x, n), n);
    divide_row(y, sum, n);
}

/* One row; y must not be x. */
static void log_softmax_row(float *y, const float *x, ptrdiff_t n) {
    const float shift = row_maximum(x, n);
    const double log_sum = log((double)exp_shifted(y, x, shift, n));
    for (ptrdiff_t i = 0; i < n; ++i) {
        y[i] = (float)((double)(x[i] - shift) - log_sum);
    }
}

/* y_j = log of the mean over k of exp(x_kj), of K rows that are `row` floats apart; of one row,
 * x. */
static void log_mean_exp_row(float *y, const float *x, ptrdiff_t row, ptrdiff_t K, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += FS_LANES) {
        float shifts[FS_LANES], sums[FS_LANES];
        vf shift = vf_set(-FLT_MAX), sum = vf_set(0.0f);
        for (ptrdiff_t k = 0; k < K; ++k) {
            shift = vf_max(shift, load_lanes(x + k * row + i, n - i));
        }
        for (ptrdiff_t k = 0; k < K; ++k) {
            sum = vf_add(sum, vf_exp(vf_sub(load_lanes(x + k * row + i, n - i), shift)));
        }
        vf_store(shifts, shift);
        vf_store(sums, sum);
        for (ptrdiff_t j = 0; j < min_size(FS_LANES, n - i); ++j) {
            y[i + j] = (float)((double)shifts[j] + log((double)sums[j] / (double)K));
        }
    }
}

typedef struct {
    float *y;
    double *losses;
    const float *x;
    const int64_t *labels;
    float scale;
    ptrdiff_t V;
} softmax_call;

/* The cost of one element of a softmax, in operations, for the number of threads. */
#define SOFTMAX_OPERATIONS 40.0

static void softmax_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const softmax_call s = *(const softmax_call *)argument;
    (void)rank;
    for (ptrdiff_t r = begin; r < end; ++r) {
        softmax_row(s.y + r * s.V, s.x + r * s.V, s.V);
    }
}

static void softmax(float *y, const float *x, ptrdiff_t R, ptrdiff_t V, const fs_context *context) {
    softmax_call rows = {.y = y, .x = x, .V = V};
    const double operations = SOFTMAX_OPERATIONS * (double)R * (double)V;
    parallel_for(context, R, operations, softmax_task, &rows);
}

static void log_softmax_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const softmax_call s = *(const softmax_call *)argument;
    (void)rank;
    for (ptrdiff_t r = begin; r < end; ++r) {
        log_softmax_row(s.y + r * s.V, s.x + r * s.V, s.V);
    }
}

static void log_softmax(float *y, const float *x, ptrdiff_t R, ptrdiff_t V,
                        const fs_context *context) {
    softmax_call rows = {.y = y, .x = x, .V = V};
    const double operations = SOFTMAX_OPERATIONS * (double)R * (double)V;
    parallel_for(context, R, operations, log_softmax_task, &rows);
}

typedef struct {
    float *y;
    const float *x;
    ptrdiff_t K, R, V;
} mean_call;

static void log_mean_exp_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const mean_call s = *(const mean_call *)argument;
    (void)rank;
    for (ptrdiff_t r = begin; r < end; ++r) {
        log_mean_exp_row(s.y + r * s.V, s.x + r * s.V, s.R * s.V, s.K, s.V);
    }
}

static void log_mean_exp(float *y, const float *x, ptrdiff_t K, ptrdiff_t R, ptrdiff_t V,
                         const fs_context *context) {
    mean_call rows = {.y = y, .x = x, .K = K, .R = R, .V = V};
    const double operations = SOFTMAX_OPERATIONS * (double)K * (double)R * (double)V;
    parallel_for(context, R, operations, log_mean_exp_task, &rows);
}

/* -log p_j = log sum_k exp(x_k - shift) - (x_j - shift): finite even where p_j rounds to 0. */
static void softmax_loss_forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const softmax_call s = *(const softmax_call *)argument;
    (void)rank;
    for (ptrdiff_t r = begin; r < end; ++r) {
        const float *x = s.x + r * s.V;
        float *p = s.y + r * s.V;
        const float shift = row_maximum(x, s.V);
        const float sum = exp_shifted(p, x, shift, s.V);
        divide_row(p, sum, s.V);
        const int64_t label = s.labels[r];
        assert(label < s.V);
        s.losses[r] = label < 0 ? 0.0 : log((double)sum) - ((double)x[label] - (double)shift);
    }
}

static void softmax_loss_forward(float *p, double *losses, const float *xs, const int64_t *labels,
                                 ptrdiff_t R, ptrdiff_t V, const fs_context *context) {
    softmax_call rows = {.y = p, .losses = losses, .x = xs, .labels = labels, .V = V};
    const double operations = SOFTMAX_OPERATIONS * (double)R * (double)V;
    parallel_for(context, R, operations, softmax_loss_forward_task, &rows);
}

// forward was: p = softmax(x); loss = -log p[label]
static void softmax_loss_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const softmax_call s = *(const softmax_call *)argument;
    (void)rank;
    for (ptrdiff_t r = begin; r < end; ++r) {
        const float *p = s.x + r * s.V;
        float *dx = s.y + r * s.V;
        const int64_t label = s.labels[r];
        assert(label < s.V);
        if (label < 0) {
            memset(dx, 0, (size_t)s.V * sizeof *dx);
            continue;
        }
        for (ptrdiff_t i = 0; i < s.V; i += FS_LANES) {
            const vf scaled = vf_mul(load_lanes(p + i, s.V - i), vf_set(s.scale));
            store_lanes(dx + i, scaled, s.V - i);
        }
        dx[label] = (p[label] - 1.0f) * s.scale;
    }
}

static void softmax_loss_backward(float *dxs, const float *p, const int64_t *labels, float scale,
                                  ptrdiff_t R, ptrdiff_t V, const fs_context *context) {
    softmax_call rows = {.y = dxs, .x = p, .labels = labels, .scale = scale, .V = V};
    const double operations = (double)R * (double)V;
    parallel_for(context, R, operations, softmax_loss_backward_task, &rows);
}

#endif
