/* parallel.h — splits a range over the threads of a context's pool.
 *
 * A task computes items [begin, end). Its results must not depend on how the range is split, nor on
 * which rank computes a chunk. The caller computes small ranges alone, without waking a thread. */
#ifndef FS_PARALLEL_H
#define FS_PARALLEL_H

#include <stddef.h>

#include "fastseq.h"
#include "float_mode.h"
#include "tile/tile.h"

/* The minimum of floating-point operations per thread, about 5 us: waking and joining a thread
 * takes one or two. */
#define MIN_OPERATIONS_PER_THREAD 5.0e5

/* rank < parallel_ranks(...) of the call: an index for per-thread memory. */
typedef void (*range_task)(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank);

/* The number of threads to use for `items` items that take `operations` in all. */
static inline int parallel_ranks(const fs_context *context, ptrdiff_t items, double operations) {
    int ranks = context->pool ? context->threads : 1;
    const double affordable = operations / MIN_OPERATIONS_PER_THREAD;
    if (affordable < ranks) {
        ranks = (int)affordable;
    }
    if (items < ranks) {
        ranks = (int)items;
    }
    return ranks < 1 ? 1 : ranks;
}

/* The same settings with one thread, for calls inside a task. */
static inline fs_context single_threaded(const fs_context *context) {
    fs_context single = *context;
    single.threads = 1;
    single.pool = NULL;
    single.interrupt = NULL;
    return single;
}

/* The operations after which a call checks whether to end early, if it has more: tens of
 * milliseconds. */
#define OPERATIONS_AT_ONCE 1.0e9

/* The interrupt of a call of so many operations; NULL if it is short. */
static inline fs_interrupt *interrupt_of(const fs_context *context, double operations) {
    return operations > OPERATIONS_AT_ONCE ? context->interrupt : NULL;
}

/* Checks in the calling thread, which has rank 0, whether the call ends before a step, and tells
 * the other threads. Returns whether it ends. */
static inline int ends_at_step(fs_interrupt *interrupt, int rank, ptrdiff_t step,
                               ptrdiff_t end_step) {
    if (!interrupt) {
        return 0;
    }
    if (rank == 0 && __atomic_load_n(&interrupt->end_step, __ATOMIC_RELAXED) == FS_NEVER &&
        interrupt->requested(interrupt)) {
        __atomic_store_n(&interrupt->end_step, end_step, __ATOMIC_RELAXED);
    }
    return step >= __atomic_load_n(&interrupt->end_step, __ATOMIC_RELAXED);
}

/* The same for work without steps. */
static inline int is_interrupted(fs_interrupt *interrupt, int rank) {
    return ends_at_step(interrupt, rank, FS_NEVER - 1, 0);
}

typedef struct {
    range_task task;
    void *argument;
    ptrdiff_t items;
    int chunks;
} parallel_range;

/* The state of a thread that a task changes. */
typedef struct {
    uint64_t float_mode;
    int tiles;
} thread_state;

static inline thread_state begin_task(void) {
    return (thread_state){begin_zero_denormals(), begin_tiles()};
}

static inline void end_task(thread_state before) {
    end_tiles(before.tiles);
    restore_float_mode(before.float_mode);
}

static inline void run_range(range_task task, void *argument, ptrdiff_t begin, ptrdiff_t end,
                             int rank) {
    if (begin < end) {
        const thread_state before = begin_task();
        task(argument, begin, end, rank);
        end_task(before);
    }
}

static void range_chunk(void *argument, int chunk, int rank) {
    const parallel_range *range = argument;
    run_range(range->task, range->argument, range->items * chunk / range->chunks,
              range->items * (chunk + 1) / range->chunks, rank);
}

/* Computes [0, items), `operations` in all, in chunks of nearly equal length. */
static inline void parallel_for(const fs_context *context, ptrdiff_t items, double operations,
                                range_task task, void *argument) {
    const int ranks = parallel_ranks(context, items, operations);
    if (ranks == 1) {
        run_range(task, argument, 0, items, 0); /* a direct call, which the compiler can inline */
        return;
    }
    const int chunks = fs_thread_pool_chunks(context->pool, ranks);
    parallel_range range = {task, argument, items, items < chunks ? (int)items : chunks};
    fs_thread_pool_run(context->pool, ranks, range.chunks, range_chunk, &range);
}

typedef struct {
    range_task task;
    void *argument;
    ptrdiff_t items_at_once;
    fs_interrupt *interrupt;
} interruptible_range;

static void interruptible_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const interruptible_range *range = argument;
    while (begin < end && !is_interrupted(range->interrupt, rank)) {
        const ptrdiff_t left = end - begin;
        const ptrdiff_t items = left < range->items_at_once ? left : range->items_at_once;
        range->task(range->argument, begin, begin + items, rank);
        begin += items;
    }
}

/* The same, in parts between which a long call may end early. */
static inline void interruptible_for(const fs_context *context, ptrdiff_t items, double operations,
                                     range_task task, void *argument) {
    fs_interrupt *interrupt = interrupt_of(context, operations);
    if (!interrupt) {
        parallel_for(context, items, operations, task, argument);
        return;
    }
    const double at_once = OPERATIONS_AT_ONCE / operations * (double)items;
    interruptible_range range = {task, argument, at_once < 1.0 ? 1 : (ptrdiff_t)at_once, interrupt};
    parallel_for(context, items, operations, interruptible_task, &range);
}

/* Threads that run one task concurrently and synchronize at barriers. */
typedef struct {
    int rank, ranks;
    fs_thread_pool *pool;
} parallel_team;

static const parallel_team team_of_one = {0, 1, NULL};

typedef void (*team_task)(void *argument, parallel_team team);

typedef struct {
    team_task task;
    void *argument;
    fs_thread_pool *pool;
} team_call;

static void run_rank(void *argument, int rank, int ranks) {
    const team_call *call = argument;
    const thread_state before = begin_task();
    call->task(call->argument, (parallel_team){rank, ranks, call->pool});
    end_task(before);
}

/* Calls the task on up to `threads` threads concurrently. */
static inline void run_team(const fs_context *context, int threads, team_task task,
                            void *argument) {
    team_call call = {task, argument, context->pool};
    if (threads > 1 && context->pool) {
        fs_thread_pool_run_team(context->pool, threads, run_rank, &call);
    } else {
        run_rank(&call, 0, 1);
    }
}

/* Waits until every rank of the team has called it. */
static inline void barrier(parallel_team team) {
    if (team.ranks > 1) {
        fs_thread_pool_barrier(team.pool, team.ranks);
    }
}

#endif
