/* parallel.h — splits a range among threads; the only place that knows OpenMP.
 *
 * A task computes items [begin, end) and is told which thread it is, 0 <= thread < threads. It must
 * give the same bits however the range is cut. Without OpenMP, or with one thread, it is called
 * once in the caller and no thread is touched: that is what makes a forked child safe. */
#ifndef FS_PARALLEL_H
#define FS_PARALLEL_H

#include <stddef.h>

#include "float_mode.h"

#ifdef _OPENMP
#include <omp.h>
#endif

typedef void (*fs_task)(void *context, ptrdiff_t begin, ptrdiff_t end, int thread);

/* Threads pay only if each gets at least this many floating-point operations (about 5 us):
 * starting and joining a team costs one or two. */
#define FS_WORK_PER_THREAD 5.0e5

/* How many of `threads` are worth starting for `items` items of `work` operations in all. */
static inline int worthwhile_threads(ptrdiff_t items, double work, int threads) {
    const double affordable = work / FS_WORK_PER_THREAD;
    if (affordable < threads) {
        threads = (int)affordable;
    }
    if (items < threads) {
        threads = (int)items;
    }
    return threads < 1 ? 1 : threads;
}

static inline void run_task(fs_task task, void *context, ptrdiff_t begin, ptrdiff_t end,
                            int thread) {
    if (begin < end) {
        const uint64_t mode = begin_zero_denormals();
        task(context, begin, end, thread);
        restore_float_mode(mode);
    }
}

/* Cuts [0, items) into `threads` runs of nearly equal length and computes them. */
static inline void parallel_for(ptrdiff_t items, int threads, fs_task task, void *context) {
#ifdef _OPENMP
    if (threads > 1 && items > 1) {
#pragma omp parallel num_threads(threads)
        {
            /* the team may come out smaller than was asked for */
            const ptrdiff_t team = omp_get_num_threads();
            const ptrdiff_t thread = omp_get_thread_num();
            run_task(task, context, items * thread / team, items * (thread + 1) / team,
                     (int)thread);
        }
        return;
    }
#else
    (void)threads;
#endif
    run_task(task, context, 0, items, 0);
}

/* A task that its threads do together, thread `share` of `shares`, waiting for each other. */
typedef void (*fs_shared_task)(void *context, int share, int shares);

static inline void run_shared(fs_shared_task task, void *context, int share, int shares) {
    const uint64_t mode = begin_zero_denormals();
    task(context, share, shares);
    restore_float_mode(mode);
}

static inline void parallel_shares(int threads, fs_shared_task task, void *context) {
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        run_shared(task, context, omp_get_thread_num(), omp_get_num_threads());
        return;
    }
#else
    (void)threads;
#endif
    run_shared(task, context, 0, 1);
}

/* Until every thread of a shared task has come here. */
static inline void wait_for_others(ptrdiff_t shares) {
    if (shares > 1) {
#ifdef _OPENMP
#pragma omp barrier
#endif
    }
}

#endif
