/* peaks.c — this machine's peaks, and what fraction of them the loops of csrc reach.
 *
 * peaks.py compiles it with one table's own source and the flags of setup.py, so that the static
 * functions of csrc can be timed one by one. Each line is the best of many repetitions on one
 * thread, but for the barrier of two. */
#include FS_ISA_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define ROWS 126 /* whole tiles of any table */
#define DEPTH 256
#define PEAK_SUMS 12 /* enough to hide an operation's latency, and they fit any register file */
#define PEAK_STEPS 1000
#define FAR_FLOATS (1 << 25)
#define PAGES 1024
#define PAGE 4096
#define BARRIERS 100

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* best: the fewest seconds that one run of the statement took */
#define TIME(best, repetitions, statement)                                                         \
    double best = 1e9;                                                                             \
    for (int repetition = 0; repetition < (repetitions); ++repetition) {                           \
        const double start = now();                                                                \
        statement;                                                                                 \
        const double taken = now() - start;                                                        \
        best = taken < best ? taken : best;                                                        \
    }

/* Between -0.05 and 0.05. */
static float *new_floats(ptrdiff_t n) {
    float *x = aligned_alloc(64, (size_t)round_up(n, 16) * sizeof *x);
    if (x == NULL) {
        fputs("peaks: out of memory\n", stderr);
        exit(1);
    }
    for (ptrdiff_t i = 0; i < n; ++i) {
        x[i] = (float)((uint32_t)i * 2654435761u >> 8 & 1023) * 1e-4f - 0.05f;
    }
    return x;
}

static __attribute__((noinline)) void multiply_add(float *x) {
    vf sum[PEAK_SUMS];
#pragma GCC unroll 12
    for (int i = 0; i < PEAK_SUMS; ++i) {
        sum[i] = vf_load(x + i * FS_LANES);
    }
    vf a = vf_set(x[0]);
    for (int step = 0; step < PEAK_STEPS; ++step) {
        a = vf_keep(a); /* as if it were another: no step is left out */
#pragma GCC unroll 12
        for (int i = 0; i < PEAK_SUMS; ++i) {
            sum[i] = vf_fma(a, a, sum[i]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < PEAK_SUMS; ++i) {
        vf_store(x + i * FS_LANES, sum[i]);
    }
}

static panel_product product_of(const float *a, const float *b, float *c) {
    return (panel_product){.c = c,
                           .c_row = PANEL_COLUMNS,
                           .c_vector = FS_LANES,
                           .start = c,
                           .start_row = PANEL_COLUMNS,
                           .start_vector = FS_LANES,
                           .a = a,
                           .a_row = DEPTH,
                           .a_depth = 1,
                           .depth = DEPTH,
                           .blocks = 1,
                           .b = b,
                           .b_row = PANEL_COLUMNS,
                           .b_vector = FS_LANES,
                           .vectors = PANEL_VECTORS,
                           .lanes = FS_LANES};
}

/* One row times weights of DEPTH x 4 DEPTH, panels ascending at one step, descending at the next. */
static void read_weights(const float *a, const float *weights, float *c, int step) {
    const ptrdiff_t panels = 4 * DEPTH / PANEL_COLUMNS;
    for (ptrdiff_t i = 0; i < panels; ++i) {
        const ptrdiff_t p = step % 2 == 0 ? i : panels - 1 - i;
        compute_panel(product_of(a, weights + p * DEPTH * PANEL_COLUMNS, c + p * PANEL_COLUMNS), 1);
    }
}

static void pass_barriers(void *argument, parallel_team team) {
    (void)argument;
    for (int i = 0; i < BARRIERS; ++i) {
        barrier(team);
    }
}

static void touch_new_pages(void) {
    char *pages =
        mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (ptrdiff_t i = 0; pages != MAP_FAILED && i < PAGES; ++i) {
        pages[i * PAGE] = 1;
    }
    munmap(pages, PAGES * PAGE);
}

__attribute__((visibility("default"))) int measure_peaks(void) {
    float *a = new_floats(ROWS * DEPTH), *weights = new_floats(4 * DEPTH * DEPTH);
    float *c = new_floats(ROWS * 4 * DEPTH);

    TIME(peak, 1000, multiply_add(c));
    const double peak_rate = 2.0 * PEAK_SUMS * PEAK_STEPS * FS_LANES / peak;
    printf("multiply-adds in registers      %7.1f GFLOP/s: the peak of one core\n",
           1e-9 * peak_rate);

    const int tiles = begin_tiles();
    TIME(tile, 1000, compute_panel(product_of(a, weights, c), ROWS));
    const double tile_rate = 2.0 * ROWS * DEPTH * PANEL_COLUMNS / tile;
    printf("register tile, depth %d        %7.1f GFLOP/s: %.0f %% of the peak\n", DEPTH,
           1e-9 * tile_rate, 100 * tile_rate / peak_rate);

    const ptrdiff_t Te = 29, Td = 10;
    TIME(dots, 3000, dot_products(c, Te, a, Td, weights, Te, DEPTH));
    const double dot_rate = 2.0 * (double)(Te * Td) * DEPTH / dots;
    printf("dot products, %td x %td x %d    %7.1f GFLOP/s: %.0f %% of the peak\n", Td, Te, DEPTH,
           1e-9 * dot_rate, 100 * dot_rate / peak_rate);

    const double bytes = 4.0 * DEPTH * DEPTH * sizeof(float);
    TIME(row, 1000, read_weights(a, weights, c, repetition));
    end_tiles(tiles);
    printf("one row times %.0f KB of weights %7.1f GB/s: %.1f us a step\n", bytes / 1024,
           1e-9 * bytes / row, 1e6 * row);

    const size_t far = FAR_FLOATS * sizeof(float);
    float *from = new_floats(FAR_FLOATS), *to = new_floats(FAR_FLOATS);
    TIME(copy, 10, memcpy(to, from, far));
    printf("copying what no cache holds     %7.1f GB/s, read and written\n",
           2e-9 * (double)far / copy);

    TIME(exps, 3000, tanh_array(c, a, ROWS * DEPTH));
    printf("tanh of a vector                %7.1f ns\n", 1e9 * exps / (ROWS * DEPTH / FS_LANES));

    const fs_context context = {.threads = 2, .pool = fs_thread_pool_create()};
    TIME(barriers, 30, run_team(&context, 2, pass_barriers, NULL));
    printf("barrier of two threads          %7.2f us\n", 1e6 * barriers / BARRIERS);
    fs_thread_pool_destroy(context.pool);

    TIME(pages, 100, touch_new_pages());
    printf("first touch of a page           %7.2f us\n", 1e6 * pages / PAGES);
    return 0;
}
