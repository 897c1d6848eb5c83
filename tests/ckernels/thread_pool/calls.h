/* calls.h — every chunk is computed once; ranks are unique; barriers order memory. */
#ifndef THREAD_POOL_CALLS_H
#define THREAD_POOL_CALLS_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* ---- chunks ---- */

typedef struct {
    int times[FS_MAX_CHUNKS];   /* atomic: number of times that the chunk was computed */
    int written[FS_MAX_CHUNKS]; /* not atomic: read by the caller */
    int scratch[FS_MAX_THREADS][INTS_PER_LINE]; /* not atomic: one per rank */
    int in_use[FS_MAX_THREADS];                 /* atomic: 1 while a thread has the rank */
    int threads, bad_ranks;
} chunk_record;

static void record_chunk(void *argument, int chunk, int rank) {
    chunk_record *record = argument;
    if (rank < 0 || rank >= record->threads ||
        __atomic_exchange_n(&record->in_use[rank], 1, __ATOMIC_RELAXED)) {
        __atomic_store_n(&record->bad_ranks, 1, __ATOMIC_RELAXED);
        return;
    }
    ++record->scratch[rank][0];
    record->written[chunk] += chunk + 1;
    __atomic_fetch_add(&record->times[chunk], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&record->in_use[rank], 0, __ATOMIC_RELAXED);
}

/* Whether each of `rounds` calls computed every chunk once, with unique ranks. */
static int chunks_are_computed_once(fs_thread_pool *pool, int threads, int chunks, int rounds) {
    chunk_record *record = calloc(1, sizeof *record);
    record->threads = threads;
    for (int i = 0; i < rounds; ++i) {
        fs_thread_pool_run(pool, threads, chunks, record_chunk, record);
    }
    int right = !record->bad_ranks;
    for (int i = 0; i < FS_MAX_CHUNKS; ++i) {
        const int times = i < chunks ? rounds : 0;
        right = right && record->times[i] == times && record->written[i] == times * (i + 1);
    }
    int computed = 0;
    for (int i = 0; i < FS_MAX_THREADS; ++i) {
        computed += record->scratch[i][0];
    }
    right = right && computed == rounds * chunks;
    free(record);
    return right;
}

static void check_chunks(void) {
    static const int THREADS[] = {1, 2, 3, 4, 8};
    static const int CHUNKS[] = {0, 1, 2, 3, 7, 64, 1000, FS_MAX_CHUNKS};
    fs_thread_pool *pool = fs_thread_pool_create();
    for (size_t i = 0; i < sizeof THREADS / sizeof THREADS[0]; ++i) {
        for (size_t j = 0; j < sizeof CHUNKS / sizeof CHUNKS[0]; ++j) {
            const int rounds = CHUNKS[j] < 100 ? 400 : 40;
            expect(chunks_are_computed_once(pool, THREADS[i], CHUNKS[j], rounds),
                   "every chunk is computed once, with unique ranks");
        }
    }
    expect(chunks_are_computed_once(pool, 2, 8, 20000),
           "every chunk is computed once, in many short calls");
    expect(chunks_are_computed_once(pool, FS_MAX_THREADS, FS_MAX_CHUNKS, 2),
           "every chunk is computed once, with FS_MAX_THREADS");
    expect(chunks_are_computed_once(pool, 2, 1000, 40),
           "every chunk is computed once, with few of many workers");
    fs_thread_pool_destroy(pool);
}

/* ---- teams ---- */

#define BARRIERS 60

typedef struct {
    fs_thread_pool *pool;
    int slots[FS_MAX_THREADS][INTS_PER_LINE]; /* not atomic: ordered by the barrier */
    int bad_slots, bad_ranks, max_ranks;
    int seen[FS_MAX_THREADS]; /* atomic: 1 if the rank took part */
    int threads;
} team_record;

static void write_and_read_all(void *argument, int rank, int ranks) {
    team_record *record = argument;
    if (rank < 0 || rank >= ranks || ranks > record->threads || add(&record->seen[rank], 1) != 1) {
        store(&record->bad_ranks, 1);
    }
    for (int round = 0; round < BARRIERS; ++round) {
        record->slots[rank][0] = round * FS_MAX_THREADS + rank;
        fs_thread_pool_barrier(record->pool, ranks);
        for (int other = 0; other < ranks; ++other) {
            if (record->slots[other][0] != round * FS_MAX_THREADS + other) {
                store(&record->bad_slots, 1);
            }
        }
        fs_thread_pool_barrier(record->pool, ranks);
    }
    if (rank == 0) {
        record->max_ranks = ranks > record->max_ranks ? ranks : record->max_ranks;
    }
}

/* The maximum number of ranks of a call; 0 if a check failed. */
static int team_of(fs_thread_pool *pool, int threads, int rounds) {
    team_record *record = calloc(1, sizeof *record);
    record->pool = pool;
    record->threads = threads;
    for (int i = 0; i < rounds; ++i) {
        memset(record->seen, 0, sizeof record->seen);
        fs_thread_pool_run_team(pool, threads, write_and_read_all, record);
    }
    const int ranks = record->bad_slots || record->bad_ranks ? 0 : record->max_ranks;
    free(record);
    return ranks;
}

static void check_teams(void) {
    fs_thread_pool *pool = fs_thread_pool_create();
    expect(team_of(pool, 1, 10) == 1, "a team of one");
    int ranks = 1;
    for (int i = 0; i < 100 && ranks == 1; ++i) { /* on busy cores, few calls have two */
        ranks = team_of(pool, 2, 50);
    }
    expect(ranks == 2, "a team of two, ordered by barriers");
    expect(team_of(pool, 4, 30) > 0, "a team of four, ordered by barriers");
    fs_thread_pool_destroy(pool);
}

/* ---- several callers, calls inside calls ---- */

static void *run_often(void *argument) {
    intptr_t right = 1;
    for (int i = 0; i < 200; ++i) {
        right = right && chunks_are_computed_once(argument, 2 + i % 2, 5, 3);
        right = right && (i % 10 != 0 || team_of(argument, 2, 1) > 0);
    }
    return (void *)right;
}

static void check_callers(void) {
    enum { CALLERS = 4 };
    pthread_t callers[CALLERS];
    fs_thread_pool *pool = fs_thread_pool_create();
    for (int i = 0; i < CALLERS; ++i) {
        pthread_create(&callers[i], NULL, run_often, pool);
    }
    for (int i = 0; i < CALLERS; ++i) {
        void *right = NULL;
        pthread_join(callers[i], &right);
        expect(right != NULL, "several callers of one pool");
    }
    fs_thread_pool_destroy(pool);
}

typedef struct {
    fs_thread_pool *pool;
    int right;
} nested_record;

static void call_again(void *argument, int chunk, int rank) {
    (void)chunk;
    (void)rank;
    nested_record *record = argument;
    if (chunks_are_computed_once(record->pool, 1 + chunk % 3, 9, 1) &&
        team_of(record->pool, 2, 1) == 1) {
        add(&record->right, 1);
    }
}

static void call_again_with_barrier(void *argument, int rank, int ranks) {
    nested_record *record = argument;
    call_again(argument, rank, rank);
    fs_thread_pool_barrier(record->pool, ranks);
    if (rank == 0) {
        add(&record->right, -ranks);
    }
}

static void check_nested_calls(void) {
    nested_record record = {fs_thread_pool_create(), 0};
    fs_thread_pool_run(record.pool, 2, 50, call_again, &record);
    expect(record.right == 50, "a nested call of a chunk uses one thread");
    record.right = 0;
    for (int i = 0; i < 20; ++i) {
        fs_thread_pool_run_team(record.pool, 2, call_again_with_barrier, &record);
    }
    expect(record.right == 0, "a nested call of a team uses one thread");
    fs_thread_pool_destroy(record.pool);
}

#endif
