/* driver.c — checks every kernel of every table of this build that this CPU supports.
 *
 *     driver [--only TOPIC] [NAME ...]      only these tables; of bfloat16 products NAME:bfloat16
 *
 * Each kernel is compared with plain loops in double precision, for shapes on both sides of the
 * width of every vector register, and empty ones. Inputs, results, cache and scratch are surrounded
 * by guard bytes and have exactly the size documented in csrc/fastseq.h; elements that a kernel
 * does not write stay NaN. Exit status: 0 if every check passed, 1 if not, 2 for an unknown
 * table. */

/* For a slow tool: fewer shapes, layouts and repetitions, the same kernels and threads. */
#ifdef QUICK
#define CHECKED_LAYOUTS 1
#define TEAM_REPEATS 2
#define FEW_STEPS 3
#else
#define CHECKED_LAYOUTS LAYOUTS
#define TEAM_REPEATS 10
#define FEW_STEPS 16
#endif

#include "affine.h"
#include "attention.h"
#include "decoding/decoding.h"
#include "embedding.h"
#include "hard_attention.h"
#include "recurrent/gru.h"
#include "recurrent/gru_reset_after.h"
#include "recurrent/lstm.h"
#include "optim.h"
#include "recurrent/threads.h"
#include "recurrent/rnn.h"
#include "softmax.h"
#include "vmath.h"

#define MAX_DIMENSIONS 4

typedef void (*shape_check)(const fs_kernels *k, const ptrdiff_t *shape);

static const recurrent_layer *const layers[FS_CELLS] = {
    [FS_RNN] = &rnn,
    [FS_GRU] = &gru,
    [FS_GRU_RESET_AFTER] = &gru_reset_after,
    [FS_LSTM] = &lstm,
};

/* "avx2", or "avx2:bfloat16": a CPU has one table of a name for each precision. */
static const char *label_of(const fs_kernels *k) {
    static char label[32];
    snprintf(label, sizeof label, "%s%s", k->name, k->precision == FS_BFLOAT16 ? ":bfloat16" : "");
    return label;
}

static void check_shape(const fs_kernels *k, shape_check check, const ptrdiff_t *shape) {
    snprintf(situation, sizeof situation, "%s, shape %td %td %td %td, weights %s", label_of(k),
             shape[0], shape[1], shape[2], shape[3], LAYOUT_NAMES[weights_layout]);
    form[0] = '\0';
    result_count = 0;
    check(k, shape);
    free_arrays_from(0);
}

/* A shape large enough for several threads; results must not depend on their number. */
static void check_large_shape(const fs_kernels *k, shape_check check, const ptrdiff_t *shape) {
    const int threads[] = {THREADS, 1, THREADS + 1};
    const uint32_t inputs = random_state;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; ++i) {
        random_state = inputs;
        test_context.threads = threads[i];
        is_repeated = i > 0;
        check_shape(k, check, shape);
    }
    test_context.threads = THREADS;
    is_repeated = 0;
}

/* A small shape with each dimension varied, then a large shape, with several blocks of depth (see
 * csrc/gemm.h). */
static void check_shapes(const fs_kernels *k, shape_check check, int dimensions,
                         const ptrdiff_t large[MAX_DIMENSIONS]) {
#ifdef QUICK
    const ptrdiff_t sizes[] = {1, 17};
#else
    const ptrdiff_t sizes[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
#endif
    for (int i = 0; i < dimensions; ++i) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; ++j) {
            ptrdiff_t shape[MAX_DIMENSIONS] = {5, 3, 6, 7};
            shape[i] = sizes[j];
            check_shape(k, check, shape);
        }
    }
    check_large_shape(k, check, large);
}

/* In every form: few rows of one and of many steps, and more rows, at once and step by step. */
static void check_forms(const fs_kernels *k) {
    const ptrdiff_t shapes[][MAX_DIMENSIONS] = {{1, 2, 6, 7},  {5, 3, 6, 7},  {1, 16, 6, 17},
                                                {6, 4, 5, 37}, {20, 3, 3, 9}, {65, 2, 6, 7}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; ++i) {
        check_shape(k, check_recurrent_forms, shapes[i]);
    }
}

static void check_layers(const fs_kernels *k) {
    for (fs_cell cell = 0; cell < FS_CELLS; ++cell) {
        layer = layers[cell];
        const ptrdiff_t H = 41 + 64 / fs_cells[cell].gates;
        check_shapes(k, check_recurrent, 4, (ptrdiff_t[MAX_DIMENSIONS]){35, 16, 9, H});
        check_forms(k);
    }
}

/* One row with few and with many steps; and at least as many rows as threads. */
static void check_threads(const fs_kernels *k) {
    for (fs_cell cell = 0; cell < FS_CELLS; ++cell) {
        layer = layers[cell];
        check_shape(k, check_recurrent_threads, (ptrdiff_t[MAX_DIMENSIONS]){1, FEW_STEPS, 5, 401});
        check_shape(k, check_recurrent_threads, (ptrdiff_t[MAX_DIMENSIONS]){1, 20, 5, 401});
        check_shape(k, check_recurrent_threads, (ptrdiff_t[MAX_DIMENSIONS]){4, 4, 5, 401});
    }
}

/* Requires that every function of the table was called by a check. */
static void check_slots(const fs_kernels *k) {
    form[0] = '\0';
    for (size_t slot = offsetof(fs_kernels, exp) / sizeof k->exp; slot < MAX_SLOTS; ++slot) {
        snprintf(situation, sizeof situation, "%s, slot %zu", label_of(k), slot);
        ran("(table)");
        expect(slot_is_called[slot], "every function of the table is checked");
    }
}

/* In every layout of the weights. */
static void check_in_layouts(const fs_kernels *k, void (*check)(const fs_kernels *k)) {
    for (weights_layout = 0; weights_layout < CHECKED_LAYOUTS; ++weights_layout) {
        check(k);
    }
    weights_layout = CONTIGUOUS;
}

static void check_linear(const fs_kernels *k) {
    check_shapes(k, check_embedding, 3, (ptrdiff_t[MAX_DIMENSIONS]){400, 11, 4000});
    check_shapes(k, check_affine, 3, (ptrdiff_t[MAX_DIMENSIONS]){33, 300, 257});
}

static void check_decoders(const fs_kernels *k) {
    check_shapes(k, check_decoding, 4, (ptrdiff_t[MAX_DIMENSIONS]){40, 70, 9, 57});
}

static void check_softmaxes(const fs_kernels *k) {
    check_shapes(k, check_softmax, 2, (ptrdiff_t[MAX_DIMENSIONS]){101, 1000});
    check_shapes(k, check_log_softmax, 2, (ptrdiff_t[MAX_DIMENSIONS]){101, 1000});
    check_shapes(k, check_log_mean_exp, 3, (ptrdiff_t[MAX_DIMENSIONS]){101, 1000, 5});
    check_shapes(k, check_softmax_loss, 2, (ptrdiff_t[MAX_DIMENSIONS]){1501, 1000});
}

static void check_attentions(const fs_kernels *k) {
    set_operands(1);
    check_shapes(k, check_attention, 4, (ptrdiff_t[MAX_DIMENSIONS]){4, 300, 40, 25});
    set_operands(0);
}

static void check_hard_attentions(const fs_kernels *k) {
    check_shapes(k, check_features, 4, (ptrdiff_t[MAX_DIMENSIONS]){4, 60, 40, 25});
    check_shapes(k, check_hard_attention, 4, (ptrdiff_t[MAX_DIMENSIONS]){4, 21, 40, 31});
}

static void check_optimizers(const fs_kernels *k) {
    check_shapes(k, check_sgd, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_velocities, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_squares, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_adam, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_sum_and_scale, 1, (ptrdiff_t[MAX_DIMENSIONS]){500 * FS_SUM_RUN + 1});
}

static void check_recurrent_layers(const fs_kernels *k) {
    set_operands(1);
    check_in_layouts(k, check_layers);
    check_threads(k);
    set_operands(0);
}

static void check_linear_in_layouts(const fs_kernels *k) {
    check_in_layouts(k, check_linear);
    /* A is larger than the caches, and packed for the panels of dW */
    check_affine(k, (ptrdiff_t[MAX_DIMENSIONS]){300, 900, 270});
}

static void check_decoders_in_layouts(const fs_kernels *k) {
    check_in_layouts(k, check_decoders);
}

/* The topics of csrc/kernels, which can be checked alone. */
static const struct {
    const char *name;
    void (*check)(const fs_kernels *k);
} topics[] = {
    {"vmath", check_vmath},
    {"linear", check_linear_in_layouts},
    {"recurrent", check_recurrent_layers},
    {"decoding", check_decoders_in_layouts},
    {"softmax", check_softmaxes},
    {"attention", check_attentions},
    {"hard_attention", check_hard_attentions},
    {"optim", check_optimizers},
};
#define TOPICS (sizeof topics / sizeof topics[0])

/* All topics, or `only` one. */
static void check_table(const fs_kernels *k, const char *only) {
    tally_count = 0;
    precision = k->precision;
    memset(slot_is_called, 0, sizeof slot_is_called);
    for (size_t i = 0; i < TOPICS; ++i) {
        if (only == NULL || strcmp(only, topics[i].name) == 0) {
            topics[i].check(k);
        }
    }
    if (only == NULL) {
        check_slots(k);
    }
    print_tallies(label_of(k));
}

static const fs_kernels *find_table(const char *name) {
    const fs_kernels *tables[FS_MAX_TABLES];
    const int count = fs_tables(tables);
    for (int i = 0; i < count; ++i) {
        if (strcmp(label_of(tables[i]), name) == 0) {
            return tables[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const fs_kernels *tables[FS_MAX_TABLES];
    const char *only = NULL;
    int count = 0;
    if (argc > 2 && strcmp(argv[1], "--only") == 0) {
        only = argv[2];
        argc -= 2;
        argv += 2;
    }
    for (int i = 1; i < argc && count < FS_MAX_TABLES; ++i) {
        tables[count] = find_table(argv[i]);
        if (tables[count++] == NULL) {
            fprintf(stderr, "driver: this build has no table %s, or this CPU does not support it\n",
                    argv[i]);
            return 2;
        }
    }
    if (argc == 1) {
        count = fs_tables(tables);
    }
    test_pool = fs_thread_pool_create();
    test_context = context_of(THREADS);
    int passed = 0;
    int failed = 0;
    for (int i = 0; i < count; ++i) {
        if (!fs_permit(tables[i])) {
            fprintf(stderr, "driver: the system does not permit %s\n", label_of(tables[i]));
            return 2;
        }
        check_table(tables[i], only);
        for (int j = 0; j < tally_count; ++j) {
            passed += tallies[j].passed;
            failed += tallies[j].failed;
        }
    }
    fs_thread_pool_destroy(test_pool);
    printf("%d passed, %d failed\n", passed, failed);
    return passed == 0 || failed > 0;
}
