/* thread_pool.c — the pool: workers join a call through one atomic word, the ticket.
 *
 * Claim.   A caller claims the workers with the flag `claimed`; a caller that finds it set computes
 *          alone. Only the owner of the claim writes the job.
 *
 * Ticket.  The owner fills in the job, then stores an open ticket: the call's generation, how many
 *          threads may join, and how many have joined (the owner is the first). A worker joins by a
 *          compare-and-swap that increments the joined threads; their number before is its rank.
 *          The swap fails if the ticket has changed since the worker read it, so a late worker
 *          joins the current call or none, and it reads the job only after it has joined.
 *
 * Close.   When all chunks are claimed (or, for a team, when the time to join has passed) the owner
 *          clears the ticket's open bit; the same atomic operation returns the number of joined
 *          threads. The owner waits only for these: a worker that has not woken, on a busy core,
 *          delays no call.
 *
 * Finish.  A worker that is done increments `finished` and no longer reads the job. When all joined
 *          workers have finished, the owner clears the claim and returns.
 *
 * Sleep.   A wait spins for SPIN_NANOSECONDS, then sleeps in one of two queues: `idle` for workers
 *          without a call, `busy` for threads inside one. A thread about to sleep increments the
 *          queue's sleepers, then reads the awaited word again; a thread that changes the word
 *          reads the sleepers afterwards. All four accesses are sequentially consistent: at least
 *          one of the threads sees what the other wrote, so no wakeup is lost, and a change without
 *          sleepers needs no system call. */
#define _GNU_SOURCE /* for system_threads.h: POSIX and Linux affinity functions under -std=c11 */

#include "thread_pool.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system_threads.h"

/* ---- the pool ---- */

/* The bit fields of the ticket; its high half is the generation. */
#define JOINED ((uint64_t)0xFFFF) /* threads that have joined */
#define LIMIT_SHIFT 16            /* threads that may join, 14 bits */
#define LIMIT ((uint64_t)0x3FFF << LIMIT_SHIFT)
#define STOP ((uint64_t)1 << 30) /* makes the workers end */
#define OPEN ((uint64_t)1 << 31)
#define GENERATION_SHIFT 32

#define CACHE_LINE 128 /* x86 fetches lines of 64 bytes in pairs; Apple's have 128 */

typedef struct {
    condition_variable changed;
    int sleepers;
} wait_queue;

typedef struct {
    fs_thread_pool *pool;
    thread handle;
    int index; /* its index in `workers` */
} worker;

/* A call: one of the two tasks, the other NULL. */
typedef struct {
    fs_team_task team_task;
    fs_chunk_task chunk_task;
    void *argument;
    int threads, chunks;
} call;

/* Words that different threads write in one call are on different cache lines (no false
 * sharing). */
struct fs_thread_pool {
    uint64_t ticket;
    char after_ticket[CACHE_LINE];
    int finished; /* workers */
    char after_finished[CACHE_LINE];
    uint64_t barrier; /* high half: the phase; low half: the number of ranks that arrived */
    char after_barrier[CACHE_LINE];
    mutex lock; /* held only to sleep and to wake */
    wait_queue idle, busy;
    char after_queues[CACHE_LINE];
    int claimed;
    call job;
    int worker_count, max_workers;
    int avoided_core, workers_with_affinity; /* see avoid_core */
    int imbalanced_calls;                    /* see record_balance */
    worker workers[FS_MAX_THREADS];          /* the first is unused: index 0 is the caller */
    int chunk_claimed[FS_MAX_CHUNKS];        /* whether a thread has begun the chunk */
};

/* ---- waiting ---- */

#define SPIN_NANOSECONDS 50000
#define PAUSES_PER_CLOCK 64 /* between readings of the clock, each as slow as several pauses */

typedef int (*condition)(const fs_thread_pool *pool, uint64_t value);

/* Returns 0 if the condition does not hold within SPIN_NANOSECONDS. */
static int spin_until(const fs_thread_pool *pool, condition holds, uint64_t value) {
    int64_t deadline = 0;
    for (unsigned pauses = 1; !holds(pool, value); ++pauses) {
        if (pauses % PAUSES_PER_CLOCK == 0) {
            const int64_t now = nanoseconds();
            if (deadline == 0) {
                deadline = now + SPIN_NANOSECONDS;
            } else if (now >= deadline) {
                return 0;
            }
        }
        cpu_relax();
    }
    return 1;
}

/* Spins again after each sleep: a worker woken too late for one call is awake for the next. */
static void wait_until(fs_thread_pool *pool, wait_queue *queue, condition holds, uint64_t value) {
    while (!spin_until(pool, holds, value)) {
        mutex_lock(&pool->lock);
        __atomic_fetch_add(&queue->sleepers, 1, __ATOMIC_SEQ_CST);
        if (!holds(pool, value)) {
            condition_wait(&queue->changed, &pool->lock);
        }
        __atomic_fetch_sub(&queue->sleepers, 1, __ATOMIC_SEQ_CST);
        mutex_unlock(&pool->lock);
    }
}

static int sleepers(const wait_queue *queue) {
    return __atomic_load_n(&queue->sleepers, __ATOMIC_SEQ_CST);
}

/* Wakes up to `limit` sleeping threads, after a change of the condition that they wait for. */
static void wake(fs_thread_pool *pool, wait_queue *queue, int limit) {
    if (limit <= 0 || sleepers(queue) == 0) {
        return;
    }
    mutex_lock(&pool->lock);
    for (int i = 0; i < limit && i < sleepers(queue); ++i) {
        condition_signal(&queue->changed);
    }
    mutex_unlock(&pool->lock);
}

static uint64_t ticket_of(const fs_thread_pool *pool) {
    return __atomic_load_n(&pool->ticket, __ATOMIC_SEQ_CST);
}

/* A worker joins a call at most once: `generation` is that of the last call it joined. */
static int is_joinable(uint64_t ticket, uint64_t generation) {
    return (ticket & OPEN) && (ticket & JOINED) < (ticket & LIMIT) >> LIMIT_SHIFT &&
           ticket >> GENERATION_SHIFT != generation;
}

static int is_joinable_or_stopped(const fs_thread_pool *pool, uint64_t generation) {
    const uint64_t ticket = ticket_of(pool);
    return is_joinable(ticket, generation) || (ticket & STOP);
}

static int have_joined(const fs_thread_pool *pool, uint64_t threads) {
    return (ticket_of(pool) & JOINED) == threads;
}

static int is_closed(const fs_thread_pool *pool, uint64_t unused) {
    (void)unused;
    return !(ticket_of(pool) & OPEN);
}

static int have_finished(const fs_thread_pool *pool, uint64_t workers) {
    return (uint64_t)__atomic_load_n(&pool->finished, __ATOMIC_SEQ_CST) == workers;
}

static int is_past_phase(const fs_thread_pool *pool, uint64_t phase) {
    return __atomic_load_n(&pool->barrier, __ATOMIC_SEQ_CST) >> 32 != phase;
}

/* ---- a thread's part of a call ---- */

/* Each thread tries the chunks in cyclic order from its own first chunk on, the same in every call:
 * its core's cache may hold the data of the previous call. The flags need no memory order: the
 * ticket orders memory at the start of the call, `finished` at its end. Returns the number of
 * chunks that this thread computed. */
static int compute_chunks(fs_thread_pool *pool, int index, int rank) {
    const call *job = &pool->job;
    int computed = 0;
    int chunk = index % job->threads * job->chunks / job->threads;
    for (int i = 0; i < job->chunks; ++i) {
        int *claimed = &pool->chunk_claimed[chunk];
        if (!__atomic_load_n(claimed, __ATOMIC_RELAXED) &&
            !__atomic_exchange_n(claimed, 1, __ATOMIC_RELAXED)) {
            job->chunk_task(job->argument, chunk, rank);
            ++computed;
        }
        chunk = chunk + 1 < job->chunks ? chunk + 1 : 0;
    }
    return computed;
}

static void compute_as_worker(fs_thread_pool *pool, int index, int rank) {
    if (pool->job.team_task) {
        wait_until(pool, &pool->busy, is_closed, 0);
        pool->job.team_task(pool->job.argument, rank, (int)(ticket_of(pool) & JOINED));
    } else {
        compute_chunks(pool, index, rank);
    }
}

static thread_result THREAD_CALL worker_main(void *argument) {
    const worker *self = argument;
    fs_thread_pool *pool = self->pool;
    uint64_t generation = 0;
    for (;;) {
        wait_until(pool, &pool->idle, is_joinable_or_stopped, generation);
        uint64_t ticket = ticket_of(pool);
        if (ticket & STOP) {
            return 0;
        }
        if (is_joinable(ticket, generation) &&
            __atomic_compare_exchange_n(&pool->ticket, &ticket, ticket + 1, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            generation = ticket >> GENERATION_SHIFT;
            compute_as_worker(pool, self->index, (int)(ticket & JOINED));
            __atomic_fetch_add(&pool->finished, 1, __ATOMIC_SEQ_CST);
            wake(pool, &pool->busy, FS_MAX_THREADS);
        }
    }
}

/* ---- the caller's part ---- */

static void release(fs_thread_pool *pool) {
    __atomic_store_n(&pool->claimed, 0, __ATOMIC_RELEASE);
}

/* Claims the workers and starts missing ones. Returns the number of threads that may compute; the
 * claim is held only if that is more than one. */
static int claim(fs_thread_pool *pool, int threads) {
    if (threads <= 1 || __atomic_exchange_n(&pool->claimed, 1, __ATOMIC_ACQUIRE)) {
        return 1;
    }
    while (pool->worker_count < threads - 1 && pool->worker_count < pool->max_workers) {
        const int index = pool->worker_count + 1;
        worker *added = &pool->workers[index];
        added->pool = pool;
        added->index = index;
        if (thread_start(&added->handle, worker_main, added)) {
            pool->worker_count = index;
        } else {
            pool->max_workers = pool->worker_count; /* do not try again in every call */
        }
    }
    if (pool->worker_count == 0) {
        release(pool);
        return 1;
    }
    return pool->worker_count < threads - 1 ? pool->worker_count + 1 : threads;
}

/* ---- the workers' cores ---- */

/* Linux often wakes a thread on the core of the waking thread. If another program keeps the other
 * cores busy, caller and worker then stay on one core and alternate. So the workers' affinity
 * excludes the caller's core, until the caller sleeps. */
static void avoid_core(fs_thread_pool *pool, int core) {
    for (int i = 1; i <= pool->worker_count; ++i) {
        thread_avoid_core(pool->workers[i].handle, core, pool->worker_count);
    }
    pool->avoided_core = core;
    pool->workers_with_affinity = pool->worker_count;
}

static void avoid_current_core(fs_thread_pool *pool) {
    const int core = current_core();
    if (core != pool->avoided_core || pool->worker_count != pool->workers_with_affinity) {
        avoid_core(pool, core);
    }
}

/* Lets workers join, and wakes sleeping ones if too few are awake. */
static void open_ticket(fs_thread_pool *pool, const call *job) {
    avoid_current_core(pool);
    pool->job = *job;
    memset(pool->chunk_claimed, 0, (size_t)job->chunks * sizeof pool->chunk_claimed[0]);
    __atomic_store_n(&pool->finished, 0, __ATOMIC_RELAXED);
    const uint64_t generation = (ticket_of(pool) >> GENERATION_SHIFT) + 1;
    const uint64_t ticket =
        generation << GENERATION_SHIFT | OPEN | (uint64_t)job->threads << LIMIT_SHIFT | 1;
    __atomic_store_n(&pool->ticket, ticket, __ATOMIC_SEQ_CST);
    const int awake = pool->worker_count - sleepers(&pool->idle);
    wake(pool, &pool->idle, job->threads - 1 - awake);
}

/* Ends the joining; returns the number of joined threads. */
static int close_ticket(fs_thread_pool *pool) {
    const uint64_t ticket = __atomic_fetch_and(&pool->ticket, ~OPEN, __ATOMIC_SEQ_CST);
    wake(pool, &pool->busy, FS_MAX_THREADS); /* a team's workers wait for it */
    return (int)(ticket & JOINED);
}

static void finish(fs_thread_pool *pool, int joined) {
    if (!spin_until(pool, have_finished, (uint64_t)(joined - 1))) {
        avoid_core(pool, NO_CORE);
        wait_until(pool, &pool->busy, have_finished, (uint64_t)(joined - 1));
    }
}

/* ---- load balance ---- */

/* One chunk per thread reads the kernel's weights once. With a load imbalance, the faster threads
 * compute more chunks; in a short call nothing but a thread's waking makes one. */
#define CHUNKS_PER_THREAD_IF_IMBALANCED 2
#define IMBALANCED_CALLS 16 /* number of calls with more chunks after an imbalanced one */
#define WAIT_DIVISOR 8      /* imbalanced: the caller waited for 1/8 of the call or longer */
#define SHORT_CALL_NANOSECONDS 1000000 /* a call that is not imbalanced */

static void record_balance(fs_thread_pool *pool, int is_imbalanced) {
    const int remaining = __atomic_load_n(&pool->imbalanced_calls, __ATOMIC_RELAXED);
    const int now = is_imbalanced ? IMBALANCED_CALLS : remaining > 0 ? remaining - 1 : 0;
    __atomic_store_n(&pool->imbalanced_calls, now, __ATOMIC_RELAXED);
}

/* ---- the functions of thread_pool.h ---- */

int fs_thread_pool_chunks(const fs_thread_pool *pool, int threads) {
    const int imbalanced = __atomic_load_n(&pool->imbalanced_calls, __ATOMIC_RELAXED) > 0;
    return imbalanced ? threads * CHUNKS_PER_THREAD_IF_IMBALANCED : threads;
}

fs_thread_pool *fs_thread_pool_create(void) {
    fs_thread_pool *pool = calloc(1, sizeof *pool);
    if (pool) {
        pool->max_workers = FS_MAX_THREADS - 1;
        mutex_init(&pool->lock);
        condition_init(&pool->idle.changed);
        condition_init(&pool->busy.changed);
    }
    return pool;
}

void fs_thread_pool_destroy(fs_thread_pool *pool) {
    __atomic_store_n(&pool->ticket, STOP, __ATOMIC_SEQ_CST);
    wake(pool, &pool->idle, FS_MAX_THREADS);
    for (int i = 1; i <= pool->worker_count; ++i) {
        thread_join(pool->workers[i].handle);
    }
    condition_destroy(&pool->busy.changed);
    condition_destroy(&pool->idle.changed);
    mutex_destroy(&pool->lock);
    free(pool);
}

void fs_thread_pool_run(fs_thread_pool *pool, int threads, int chunks, fs_chunk_task task,
                        void *argument) {
    assert(threads >= 1 && threads <= FS_MAX_THREADS);
    assert(chunks >= 0 && chunks <= FS_MAX_CHUNKS);
    threads = claim(pool, threads < chunks ? threads : chunks);
    if (threads == 1) {
        for (int chunk = 0; chunk < chunks; ++chunk) {
            task(argument, chunk, 0);
        }
        return;
    }
    const int64_t start = nanoseconds();
    open_ticket(pool, &(call){NULL, task, argument, threads, chunks});
    const int computed = compute_chunks(pool, 0, 0);
    const int64_t ready = nanoseconds();
    finish(pool, close_ticket(pool));
    const int64_t end = nanoseconds();
    const int waited_long = (end - ready) * WAIT_DIVISOR > end - start;
    const int is_unequal = computed * threads > chunks + threads - 1 || waited_long;
    record_balance(pool, is_unequal && end - start > SHORT_CALL_NANOSECONDS);
    release(pool);
}

void fs_thread_pool_run_team(fs_thread_pool *pool, int threads, fs_team_task task, void *argument) {
    assert(threads >= 1 && threads <= FS_MAX_THREADS);
    threads = claim(pool, threads);
    if (threads == 1) {
        task(argument, 0, 1);
        return;
    }
    open_ticket(pool, &(call){.threads = threads, .team_task = task, .argument = argument});
    spin_until(pool, have_joined, (uint64_t)threads);
    const int ranks = close_ticket(pool);
    task(argument, 0, ranks);
    finish(pool, ranks);
    release(pool);
}

/* The last rank to arrive starts the next phase, with no arrivals, by a single store. */
void fs_thread_pool_barrier(fs_thread_pool *pool, int ranks) {
    if (ranks == 1) {
        return;
    }
    const uint64_t before = __atomic_fetch_add(&pool->barrier, 1, __ATOMIC_SEQ_CST);
    const uint64_t phase = before >> 32;
    if ((uint32_t)before + 1 == (uint32_t)ranks) {
        __atomic_store_n(&pool->barrier, (phase + 1) << 32, __ATOMIC_SEQ_CST);
        wake(pool, &pool->busy, FS_MAX_THREADS);
    } else {
        wait_until(pool, &pool->busy, is_past_phase, phase);
    }
}
