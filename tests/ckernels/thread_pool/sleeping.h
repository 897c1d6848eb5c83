/* sleeping.h — sleeping threads are woken, idle threads use no CPU time, late workers delay no
 * call. */
#ifndef THREAD_POOL_SLEEPING_H
#define THREAD_POOL_SLEEPING_H

#include <pthread.h>
#include <signal.h>

#include "calls.h"

/* ---- two threads at the same time ---- */

typedef struct {
    fs_thread_pool *pool;
    int arrived, alone; /* atomic */
    int sleeper;        /* the rank that sleeps */
    pthread_t worker;
    int signals, stack_touches;
} threads_record;

static void wait_for_second_thread(void *argument, int chunk, int rank) {
    (void)chunk;
    (void)rank;
    threads_record *record = argument;
    add(&record->arrived, 1);
    if (!wait_for(&record->arrived, 2)) {
        store(&record->alone, 1);
    }
}

/* Two chunks that wait for each other: they need two threads. */
static int two_threads_join(fs_thread_pool *pool) {
    threads_record record = {.pool = pool};
    fs_thread_pool_run(pool, 2, 2, wait_for_second_thread, &record);
    return !record.alone;
}

/* ---- sleeping and waking ---- */

static void one_sleeps_after_joining(void *argument, int chunk, int rank) {
    threads_record *record = argument;
    wait_for_second_thread(argument, chunk, rank);
    if (rank == record->sleeper) {
        sleep_ms(100);
    }
}

static void one_sleeps_before_the_barrier(void *argument, int rank, int ranks) {
    threads_record *record = argument;
    if (rank == record->sleeper && ranks == 2) {
        sleep_ms(100);
    }
    fs_thread_pool_barrier(record->pool, ranks);
    if (rank == 0) {
        record->arrived = ranks;
    }
}

static void check_sleeping(void) {
    fs_thread_pool *pool = fs_thread_pool_create();
    expect(two_threads_join(pool), "two chunks at the same time");
    for (int i = 0; i < 20; ++i) {
        sleep_ms(2);
        expect(two_threads_join(pool), "a sleeping worker is woken");
    }
    int woken = 1;
    for (int i = 0; i < 1000 && woken; ++i) {
        const double end = seconds() + 1e-6 * (40 + i % 30);
        while (seconds() < end) {
            /* until about the end of the worker's spinning */
        }
        woken = two_threads_join(pool);
    }
    expect(woken, "no call is missed by a worker that is about to sleep");
    sleep_ms(5);
    double before = cpu_seconds();
    sleep_ms(300);
    expect(cpu_seconds() - before < 0.005, "an idle pool uses no CPU time");

    threads_record record = {.pool = pool, .sleeper = 1};
    two_threads_join(pool);
    before = cpu_seconds();
    fs_thread_pool_run(pool, 2, 2, one_sleeps_after_joining, &record);
    expect(!record.alone && cpu_seconds() - before < 0.05, "a caller sleeps in a long wait");
    for (int sleeper = 0; sleeper < 2; ++sleeper) {
        double used = 1;
        record = (threads_record){.pool = pool, .sleeper = sleeper};
        for (int i = 0; i < 1000 && record.arrived != 2; ++i) {
            before = cpu_seconds();
            fs_thread_pool_run_team(pool, 2, one_sleeps_before_the_barrier, &record);
            used = cpu_seconds() - before;
        }
        expect(record.arrived == 2 && used < 0.05, "a rank sleeps in a long wait at a barrier");
    }
    fs_thread_pool_destroy(pool);
}

/* ---- a late worker ---- */

static int held, released; /* atomic */

/* Simulates a busy core: the idle worker is held here until it is released. */
static void hold(int signal_number) {
    (void)signal_number;
    store(&held, 1);
    wait_for(&released, 1);
    store(&held, 0);
}

static void join_and_record_worker(void *argument, int chunk, int rank) {
    threads_record *record = argument;
    if (rank == 1) {
        record->worker = pthread_self();
    }
    wait_for_second_thread(argument, chunk, rank);
}

static void check_late_worker(void) {
    fs_thread_pool *pool = fs_thread_pool_create();
    threads_record record = {.pool = pool};
    fs_thread_pool_run(pool, 2, 2, join_and_record_worker, &record);
    if (!record.alone) {
        sleep_ms(2);
        struct sigaction action = {.sa_handler = hold};
        struct sigaction former;
        sigaction(SIGFPE, &action, &former);
        pthread_kill(record.worker, SIGFPE);
        expect(wait_for(&held, 1), "the worker is held");
        int right = 1;
        for (int i = 0; i < 10; ++i) {
            right = right && chunks_are_computed_once(pool, 2, 8, 1) && team_of(pool, 2, 1) == 1;
        }
        expect(right && load(&held), "a worker that has not begun delays no call");
        store(&released, 1);
        expect(two_threads_join(pool), "a released worker joins calls again");
        sigaction(SIGFPE, &former, NULL);
    }
    fs_thread_pool_destroy(pool);
    expect(!record.alone, "the worker joined a call before it was held");
}

#endif
