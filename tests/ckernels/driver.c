/* driver.c — checks every kernel of every table that this build has and this CPU runs.
 *
 *     driver [NAME ...]      only these tables
 *
 * Each kernel is compared with obvious loops in double precision, over shapes on both sides of the
 * width of every vector register, and empty ones. Inputs, results, cache and scratch lie between
 * guard bytes and have exactly the size that csrc/fastseq.h states; what a kernel does not write
 * stays NaN. Exit status: 0 if every check passed, 1 if not, 2 if a table is not there. */
#include "affine.h"
#include "attention.h"
#include "decoding.h"
#include "embedding.h"
#include "gru.h"
#include "lstm.h"
#include "optim.h"
#include "rnn.h"
#include "row_decoding.h"
#include "softmax.h"
#include "vmath.h"

#define MAX_TABLES 8
#define MAX_DIMENSIONS 4
#define SIZE_FUNCTIONS 5    /* slots that only tell the size of a cache or scratch */
#define RECURRENT_TALLIES 6 /* of the two slots that three layers share */
#define RECURRENT_SLOTS 2

typedef void (*shape_check)(const fs_kernels *k, const ptrdiff_t *shape);

static void check_shape(const fs_kernels *k, shape_check check, const ptrdiff_t *shape) {
    snprintf(situation, sizeof situation, "%s, shape %td %td %td %td, weights %s", k->name,
             shape[0], shape[1], shape[2], shape[3], LAYOUT_NAMES[weights_layout]);
    check(k, shape);
    free_arrays_from(0);
}

/* Each dimension of a small shape varied in turn, then the large shape, which crosses the blocks
 * that csrc/gemm.h cuts depth into and is worth two threads. */
static void check_shapes(const fs_kernels *k, shape_check check, int dimensions,
                         const ptrdiff_t large[MAX_DIMENSIONS]) {
    const ptrdiff_t sizes[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
    for (int i = 0; i < dimensions; ++i) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; ++j) {
            ptrdiff_t shape[MAX_DIMENSIONS] = {5, 3, 6, 7};
            shape[i] = sizes[j];
            check_shape(k, check, shape);
        }
    }
    check_shape(k, check, large);
}

static void check_table(const fs_kernels *k) {
    tally_count = 0;
    check_vmath(k);
    for (weights_layout = 0; weights_layout < LAYOUTS; ++weights_layout) {
        check_shapes(k, check_embedding, 3, (ptrdiff_t[MAX_DIMENSIONS]){70, 9, 5});
        check_shapes(k, check_affine, 3, (ptrdiff_t[MAX_DIMENSIONS]){33, 300, 257});
        check_shapes(k, check_lstm, 4, (ptrdiff_t[MAX_DIMENSIONS]){60, 5, 9, 41});
        check_shapes(k, check_rnn, 4, (ptrdiff_t[MAX_DIMENSIONS]){60, 5, 9, 105});
        check_shapes(k, check_gru, 4, (ptrdiff_t[MAX_DIMENSIONS]){60, 5, 9, 57});
        check_shapes(k, check_decoding, 4, (ptrdiff_t[MAX_DIMENSIONS]){40, 70, 9, 57});
        check_shapes(k, check_row_decoding, 4, (ptrdiff_t[MAX_DIMENSIONS]){2, 70, 9, 57});
    }
    weights_layout = CONTIGUOUS;
    check_shapes(k, check_softmax, 2, (ptrdiff_t[MAX_DIMENSIONS]){101, 1000});
    check_shapes(k, check_log_softmax, 2, (ptrdiff_t[MAX_DIMENSIONS]){101, 1000});
    check_shapes(k, check_softmax_loss, 2, (ptrdiff_t[MAX_DIMENSIONS]){101, 1000});
    check_shapes(k, check_attention, 4, (ptrdiff_t[MAX_DIMENSIONS]){4, 300, 40, 25});
    check_shapes(k, check_sgd, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_velocities, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_squares, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_adam, 1, (ptrdiff_t[MAX_DIMENSIONS]){500001});
    check_shapes(k, check_sum_and_scale, 1, (ptrdiff_t[MAX_DIMENSIONS]){250 * FS_SUM_RUN + 1});
    const size_t slots = (sizeof *k - offsetof(fs_kernels, exp)) / sizeof k->exp;
    const size_t checked =
        (size_t)tally_count - RECURRENT_TALLIES + RECURRENT_SLOTS + SIZE_FUNCTIONS;
    ran("(table)");
    expect(checked == slots, "every slot is checked");
    print_tallies(k->name);
}

static const fs_kernels *find_table(const char *name) {
    for (int i = 0; fs_table(i); ++i) {
        if (strcmp(fs_table(i)->name, name) == 0) {
            return fs_table(i);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const fs_kernels *tables[MAX_TABLES];
    int count = 0;
    for (int i = 1; i < argc && count < MAX_TABLES; ++i) {
        tables[count] = find_table(argv[i]);
        if (tables[count++] == NULL) {
            fprintf(stderr, "driver: this build has no table %s, or this CPU does not run it\n",
                    argv[i]);
            return 2;
        }
    }
    while (argc == 1 && fs_table(count)) {
        tables[count] = fs_table(count);
        ++count;
    }
    int passed = 0;
    int failed = 0;
    for (int i = 0; i < count; ++i) {
        check_table(tables[i]);
        for (int j = 0; j < tally_count; ++j) {
            passed += tallies[j].passed;
            failed += tallies[j].failed;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return passed == 0 || failed > 0;
}
