/* instructions.c — one call of each of the main kernels, for callgrind to count its instructions.
 *
 *     instructions            one size of each kernel
 *     instructions sweeps     sizes that grow in one dimension
 *
 * instructions.py compiles it with the AVX2 tables and runs it. It is deterministic: fixed data, one
 * thread. Sizes are small and not multiples of a vector, so that what is done for the last rows and
 * columns counts too. Callgrind writes one file a kernel, which bears its name; of a sweep, it ends
 * in the dimension and its size: `lstm_forward_T_16`. Exit status: 0, or 1 if this CPU does not run
 * the tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "fastseq.h"

static const fs_kernels *table = &fs_kernels_avx2;
static const fs_context one_thread_context = {.threads = 1};
static const fs_context *const context = &one_thread_context;

/* The first call is not counted: in it the linker binds the functions of the C library. */
#define COUNT(kernel, ...) COUNT_AS(#kernel, kernel, __VA_ARGS__)
#define COUNT_AS(name, kernel, ...)                                                                \
    do {                                                                                           \
        table->kernel(__VA_ARGS__);                                                                \
        CALLGRIND_TOGGLE_COLLECT;                                                                  \
        table->kernel(__VA_ARGS__);                                                                \
        CALLGRIND_TOGGLE_COLLECT;                                                                  \
        CALLGRIND_DUMP_STATS_AT(name);                                                             \
    } while (0)

/* Memory is aligned, so that no count depends on where it lies; the program's end frees it. */
static void *new_array(ptrdiff_t bytes) {
    void *memory = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
    if (memory == NULL) {
        fputs("instructions: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* Uniform in [-1, 1): a linear congruential sequence (Numerical Recipes, section 7.1). */
static float *new_floats(ptrdiff_t n) {
    static uint32_t state = 1;
    float *x = new_array(n * (ptrdiff_t)sizeof(float));
    for (ptrdiff_t i = 0; i < n; ++i) {
        state = 1664525u * state + 1013904223u;
        x[i] = (float)(state / 2147483648.0 - 1.0);
    }
    return x;
}

static int64_t *new_ids(ptrdiff_t n, ptrdiff_t count) {
    int64_t *ids = new_array(n * (ptrdiff_t)sizeof(int64_t));
    for (ptrdiff_t i = 0; i < n; ++i) {
        ids[i] = i * 7 % count;
    }
    return ids;
}

static fs_matrix new_matrix(ptrdiff_t rows, ptrdiff_t columns) {
    return (fs_matrix){new_floats(rows * columns), columns, 1};
}

static void count_functions(void) {
    const ptrdiff_t n = 10007;
    const float *x = new_floats(n);
    float *y = new_floats(n);
    COUNT(exp, y, x, n);
    COUNT(tanh, y, x, n);
    COUNT(sigmoid, y, x, n);
}

static void count_softmax_loss(void) {
    const ptrdiff_t R = 61;
    const ptrdiff_t V = 139;
    const float *xs = new_floats(R * V);
    const int64_t *labels = new_ids(R, V);
    double *losses = new_array(R * (ptrdiff_t)sizeof(double));
    float *p = new_floats(R * V);
    float *dxs = new_floats(R * V);
    COUNT(softmax_loss_forward, p, losses, xs, labels, R, V, context);
    COUNT(softmax_loss_backward, dxs, p, labels, 0.5f, R, V, context);
}

static void count_embedding(void) {
    const ptrdiff_t R = 301;
    const ptrdiff_t V = 59;
    const ptrdiff_t D = 35;
    const fs_matrix W = new_matrix(V, D);
    const int64_t *ids = new_ids(R, V);
    float *ys = new_floats(R * D);
    float *dW = new_floats(V * D);
    COUNT(embedding_forward, ys, W, ids, R, D, context);
    COUNT(embedding_backward, dW, ys, ids, R, V, D, context);
}

static void count_affine(void) {
    const ptrdiff_t R = 101;
    const ptrdiff_t K = 67;
    const ptrdiff_t M = 59;
    const float *xs = new_floats(R * K);
    const fs_matrix W = new_matrix(K, M);
    const float *b = new_floats(M);
    float *ys = new_floats(R * M);
    float *dxs = new_floats(R * K);
    float *dW = new_floats(K * M);
    float *db = new_floats(M);
    COUNT(affine_forward, ys, xs, W, b, 0, R, K, M, context);
    COUNT(affine_backward, dxs, dW, db, ys, xs, W, R, K, M, context);
}

static void count_cell(fs_recurrent_size size, const char *forward, const char *backward) {
    const fs_cell_info *cell = &fs_cells[size.cell];
    const ptrdiff_t state = size.N * size.H;
    fs_recurrent_weights weights = {0};
    fs_recurrent_gradients gradients = {0};
    for (int i = 0; i < cell->weight_count; ++i) {
        const fs_weight_info *info = &fs_weights[cell->weights[i]];
        const ptrdiff_t columns = (info->every_gate ? cell->gates : 1) * size.H;
        const ptrdiff_t rows = info->rows == FS_VECTOR          ? 1
                               : info->rows == FS_ROW_PER_STATE ? size.H
                                                                : size.D;
        weights.array[cell->weights[i]] = new_matrix(rows, columns);
        gradients.array[cell->weights[i]] = new_floats(rows * columns);
    }
    float *cache = new_floats(table->recurrent_cache_floats(&size));
    const fs_recurrent_forward forward_call = {
        .hs = new_floats(state * size.T),
        .h = new_floats(state),
        .c = new_floats(state),
        .cache = cache,
        .scratch = new_floats(table->recurrent_forward_floats(&size, context)),
        .xs = size.V > 0 ? NULL : new_floats(size.N * size.T * size.D),
        .ids = size.V > 0 ? new_ids(size.N * size.T, size.V) : NULL,
        .E = new_matrix(size.V, size.D),
        .weights = {weights},
        .size = size,
    };
    COUNT_AS(forward, recurrent_forward, &forward_call, context);
    if (backward == NULL) {
        return;
    }
    const fs_recurrent_backward backward_call = {
        .dxs = new_floats(size.N * size.T * size.D),
        .dh0 = new_floats(state),
        .dc0 = new_floats(state),
        .scratch = new_floats(table->recurrent_backward_floats(&size, context)),
        .gradients = {gradients},
        .dhs = new_floats(state * size.T),
        .cache = cache,
        .weights = {weights},
        .size = size,
    };
    COUNT_AS(backward, recurrent_backward, &backward_call, context);
}

static void count_recurrent(void) {
    fs_recurrent_size size = {.directions = 1, .N = 21, .T = 7, .D = 19, .H = 67};
    size.cell = FS_RNN;
    count_cell(size, "rnn_forward", "rnn_backward");
    size.cell = FS_GRU;
    count_cell(size, "gru_forward", "gru_backward");
    size.cell = FS_GRU_RESET_AFTER;
    count_cell(size, "gru_reset_after_forward", "gru_reset_after_backward");
    size.cell = FS_LSTM;
    count_cell(size, "lstm_forward", "lstm_backward");
    /* few rows: weights are read where they lie; of an embedding, only the rows in use */
    size.N = 1;
    count_cell(size, "lstm_few_rows", NULL);
    size.V = 1000;
    count_cell(size, "lstm_few_rows_of_embedding", NULL);
}

/* Products of bfloat16, of a CPU that has no instructions for them. */
static void count_bfloat16(void) {
    fs_recurrent_size size = {.cell = FS_LSTM, .directions = 1, .N = 21, .T = 7, .D = 19, .H = 67};
    table = &fs_kernels_avx2_emulated;
    count_cell(size, "lstm_forward_bfloat16", "lstm_backward_bfloat16");
    size.N = 1;
    count_cell(size, "lstm_few_rows_bfloat16", NULL);
    table = &fs_kernels_avx2;
}

static void count_attention_of(fs_attention_size size, const char *forward, const char *backward) {
    const float *enc = new_floats(size.N * size.Te * size.H);
    const float *dec = new_floats(size.N * size.Td * size.H);
    const float *dout = new_floats(size.N * size.Td * size.H);
    float *out = new_floats(size.N * size.Td * size.H);
    float *weights = new_floats(size.N * size.Td * size.Te);
    float *denc = new_floats(size.N * size.Te * size.H);
    float *ddec = new_floats(size.N * size.Td * size.H);
    float *scratch = new_floats(table->attention_backward_floats(size, context));
    COUNT_AS(forward, attention_forward, out, weights, enc, dec, 1.0f, size, context);
    COUNT_AS(backward, attention_backward, denc, ddec, scratch, dout, enc, dec, weights, 1.0f, size,
             context);
}

static void count_attention(void) {
    const fs_attention_size size = {.N = 9, .Te = 29, .Td = 11, .H = 67};
    count_attention_of(size, "attention_forward", "attention_backward");
}

/* A decoder with attention: greedily, and by beam search; no row ends before its last step. */
static void count_decoding(void) {
    enum { N = 21, STEPS = 5, Te = 11, V = 59, D = 19, H = 67, BEAM = 3 };
    fs_recurrent_weights weights = {0};
    weights.array[FS_WX] = new_matrix(D, 4 * H);
    weights.array[FS_WH] = new_matrix(H, 4 * H);
    weights.array[FS_B] = new_matrix(1, 4 * H);
    const fs_decoder decoder = {
        .h = new_floats(N * H),
        .c = new_floats(N * H),
        .weights = new_floats(N * Te),
        .h0 = new_floats(N * H),
        .enc = new_floats(N * Te * H),
        .recurrent = &weights,
        .embedding = new_matrix(V, D),
        .W = new_matrix(2 * H, V),
        .b = new_floats(V),
        .cell = FS_LSTM,
        .scale = 1.0f,
        .layers = 1,
        .Te = Te,
        .D = D,
        .H = H,
    };
    fs_decode call = {
        .ids = new_ids(N * BEAM * STEPS, V),
        .taken = new_array(N * BEAM * (ptrdiff_t)sizeof(ptrdiff_t)),
        .decoders = &decoder,
        .end_id = -1,
        .N = N,
        .steps = STEPS,
        .V = V,
        .count = 1,
    };
    call.scratch = new_floats(table->decode_floats(&call, context));
    COUNT_AS("decode_greedy", decode, &call, context);
    call.beam = BEAM;
    call.n_best = BEAM;
    call.log_probabilities = new_array(N * BEAM * (ptrdiff_t)sizeof(double));
    call.scores = new_array(N * BEAM * (ptrdiff_t)sizeof(double));
    call.scratch = new_floats(table->decode_floats(&call, context));
    COUNT_AS("decode_beam", decode, &call, context);
}

static void count_adam(void) {
    const ptrdiff_t n = 10007;
    const float *g = new_floats(n);
    float *p = new_floats(n);
    float *m = new_floats(n);
    float *v = new_floats(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        v[i] *= v[i];
    }
    COUNT(adam_step, p, m, v, g, 0.001f, 0.1f, 0.001f, 1e-7f, n, context);
}

/* ---- sweeps ---- */

static const ptrdiff_t SIZES[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  12, 15,  16,
                                  17, 20, 24, 31, 32, 33, 48, 63, 64, 65, 128, 257};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

static const char *name_of(const char *kernel, char dimension, ptrdiff_t size) {
    static char name[2][64];
    static int last;
    last = !last;
    snprintf(name[last], sizeof name[last], "%s_%c_%td", kernel, dimension, size);
    return name[last];
}

/* From one row of one step, and from more rows of more steps. */
static void sweep_recurrent(void) {
    static const char *const forward[FS_CELLS] = {[FS_RNN] = "rnn_forward",
                                                  [FS_GRU] = "gru_forward",
                                                  [FS_GRU_RESET_AFTER] = "gru_reset_after_forward",
                                                  [FS_LSTM] = "lstm_forward"};
    static const char *const backward[FS_CELLS] = {[FS_RNN] = "rnn_backward",
                                                   [FS_GRU] = "gru_backward",
                                                   [FS_GRU_RESET_AFTER] =
                                                       "gru_reset_after_backward",
                                                   [FS_LSTM] = "lstm_backward"};
    for (int cell = 0; cell < FS_CELLS; ++cell) {
        for (int dimension = 0; dimension < 4; ++dimension) {
            for (int i = 0; i < SIZE_COUNT; ++i) {
                fs_recurrent_size size = {
                    .cell = cell, .directions = 1, .N = 1, .T = 3, .D = 19, .H = 67};
                ptrdiff_t *const varied[] = {&size.N, &size.T, &size.D, &size.H};
                const char letter = "NTDH"[dimension];
                *varied[dimension] = SIZES[i];
                count_cell(size, name_of(forward[cell], letter, SIZES[i]),
                           name_of(backward[cell], letter, SIZES[i]));
            }
        }
        /* of an embedding: its rows are multiplied by Wx where they are used, or all of them */
        for (ptrdiff_t V = 3; V <= 3000; V *= 10) {
            fs_recurrent_size size = {
                .cell = cell, .directions = 1, .N = 1, .T = 1, .D = 19, .H = 67, .V = V};
            count_cell(size, name_of(forward[cell], 'V', V), NULL);
        }
        for (int i = 0; i < SIZE_COUNT; ++i) {
            fs_recurrent_size size = {
                .cell = cell, .directions = 1, .N = 2, .T = SIZES[i], .D = 19, .H = 67, .V = 100};
            char name[32];
            snprintf(name, sizeof name, "%s_of_ids", forward[cell]);
            count_cell(size, name_of(name, 'T', SIZES[i]), NULL);
        }
    }
}

static void sweep_affine(void) {
    for (int dimension = 0; dimension < 3; ++dimension) {
        for (int i = 0; i < SIZE_COUNT; ++i) {
            ptrdiff_t size[] = {7, 67, 59};
            size[dimension] = SIZES[i];
            const ptrdiff_t R = size[0], K = size[1], M = size[2];
            const float *xs = new_floats(R * K);
            const fs_matrix W = new_matrix(K, M);
            float *ys = new_floats(R * M);
            float *dxs = new_floats(R * K);
            float *dW = new_floats(K * M);
            float *db = new_floats(M);
            COUNT_AS(name_of("affine_forward", "RKM"[dimension], SIZES[i]), affine_forward, ys, xs,
                     W, db, 0, R, K, M, context);
            COUNT_AS(name_of("affine_backward", "RKM"[dimension], SIZES[i]), affine_backward, dxs,
                     dW, db, ys, xs, W, R, K, M, context);
        }
    }
}

static void sweep_attention(void) {
    for (int dimension = 0; dimension < 4; ++dimension) {
        for (int i = 0; i < SIZE_COUNT; ++i) {
            fs_attention_size size = {.N = 3, .Te = 11, .Td = 5, .H = 67};
            ptrdiff_t *const varied[] = {&size.N, &size.Te, &size.Td, &size.H};
            *varied[dimension] = SIZES[i];
            const char letter = "NEDH"[dimension];
            count_attention_of(size, name_of("attention_forward", letter, SIZES[i]),
                               name_of("attention_backward", letter, SIZES[i]));
        }
    }
}

int main(int argument_count, char **arguments) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        fputs("instructions: this CPU has no AVX2 and FMA\n", stderr);
        return 1;
    }
    if (argument_count == 2 && strcmp(arguments[1], "sweeps") == 0) {
        sweep_recurrent();
        sweep_affine();
        sweep_attention();
        return 0;
    }
    count_functions();
    count_softmax_loss();
    count_embedding();
    count_affine();
    count_recurrent();
    count_bfloat16();
    count_attention();
    count_decoding();
    count_adam();
    return 0;
}
