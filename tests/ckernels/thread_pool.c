/* thread_pool.c — the thread pool by itself: that every chunk is computed once, that ranks and
 * barriers keep threads apart, that sleeping threads are woken and idle ones use no CPU time.
 *
 *   gcc -std=c11 -O2 -Icsrc tests/ckernels/thread_pool.c csrc/thread_pool.c -pthread
 *
 * Data that the pool has to order is written without atomics, so that the thread sanitizer sees
 * what a plain build would only get wrong now and then (run_thread_pool.sh). A check that would wait
 * for ever gives up after a while; an alarm ends the program if it still hangs. POSIX only. */
#define _GNU_SOURCE

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "thread_pool.h"

#define INTS_APART 32 /* two on different cache lines */
#define PATIENCE 5.0  /* seconds until a wait for another thread is a failure */
#ifndef HANGS_AFTER
#define HANGS_AFTER 60 /* seconds that a group of checks may take */
#endif

/* 0 where a sanitizer cannot: the thread sanitizer follows no thread started after a fork, and the
 * memory of the sanitizers counts against a limit of the process. */
#ifndef CAN_FORK
#define CAN_FORK 1
#endif
#ifndef CAN_LIMIT_MEMORY
#define CAN_LIMIT_MEMORY 1
#endif

/* ---- what the checks share ---- */

static int passed, failed;

static void expect(int holds, const char *what) {
    if (holds) {
        ++passed;
    } else {
        ++failed;
        printf("FAILED: %s\n", what);
    }
}

static int load(const int *word) {
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(int *word, int value) {
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static int add(int *word, int value) {
    return __atomic_add_fetch(word, value, __ATOMIC_SEQ_CST);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void sleep_ms(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Whether the word reached the value before patience ran out. */
static int wait_for(const int *word, int value) {
    const double deadline = seconds() + PATIENCE;
    while (load(word) < value) {
        if (seconds() > deadline) {
            return 0;
        }
        sched_yield();
    }
    return 1;
}

/* ---- chunks ---- */

typedef struct {
    int times[FS_MAX_CHUNKS];                /* atomic: how often the chunk was computed */
    int written[FS_MAX_CHUNKS];              /* not atomic: read by the caller */
    int scratch[FS_MAX_THREADS][INTS_APART]; /* not atomic: each rank's own */
    int in_use[FS_MAX_THREADS];              /* atomic: 1 while a thread has the rank */
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

/* Whether `rounds` calls computed every chunk that often, with ranks of their own. */
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
                   "every chunk is computed once, by a rank of its own");
        }
    }
    expect(chunks_are_computed_once(pool, 2, 8, 20000), "every chunk is computed once, at speed");
    expect(chunks_are_computed_once(pool, FS_MAX_THREADS, FS_MAX_CHUNKS, 2),
           "every chunk is computed once, by the most threads");
    expect(chunks_are_computed_once(pool, 2, 1000, 40),
           "every chunk is computed once, by few of many workers");
    fs_thread_pool_destroy(pool);
}

/* ---- teams ---- */

#define BARRIERS 60

typedef struct {
    fs_thread_pool *pool;
    int slots[FS_MAX_THREADS][INTS_APART]; /* not atomic: ordered by the barrier */
    int bad_slots, bad_ranks, most_ranks;
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
        record->most_ranks = ranks > record->most_ranks ? ranks : record->most_ranks;
    }
}

/* The most ranks that a call had; 0 if anything was wrong. */
static int team_of(fs_thread_pool *pool, int threads, int rounds) {
    team_record *record = calloc(1, sizeof *record);
    record->pool = pool;
    record->threads = threads;
    for (int i = 0; i < rounds; ++i) {
        memset(record->seen, 0, sizeof record->seen);
        fs_thread_pool_run_team(pool, threads, write_and_read_all, record);
    }
    const int ranks = record->bad_slots || record->bad_ranks ? 0 : record->most_ranks;
    free(record);
    return ranks;
}

static void check_teams(void) {
    fs_thread_pool *pool = fs_thread_pool_create();
    expect(team_of(pool, 1, 10) == 1, "a team of one");
    int ranks = 1;
    for (int i = 0; i < 100 && ranks == 1; ++i) { /* where the cores are busy, few calls have two */
        ranks = team_of(pool, 2, 50);
    }
    expect(ranks == 2, "a team of two, apart at barriers");
    expect(team_of(pool, 4, 30) > 0, "a team of four, apart at barriers");
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

static void call_again_and_meet(void *argument, int rank, int ranks) {
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
    expect(record.right == 50, "a chunk's call of its pool computes alone");
    record.right = 0;
    for (int i = 0; i < 20; ++i) {
        fs_thread_pool_run_team(record.pool, 2, call_again_and_meet, &record);
    }
    expect(record.right == 0, "a team's call of its pool computes alone");
    fs_thread_pool_destroy(record.pool);
}

/* ---- sleeping and waking ---- */

typedef struct {
    fs_thread_pool *pool;
    int arrived, alone; /* atomic */
    int sleeper;        /* the rank that sleeps */
    pthread_t worker;
    int signals, deep;
} threads_record;

static void meet(void *argument, int chunk, int rank) {
    (void)chunk;
    (void)rank;
    threads_record *record = argument;
    add(&record->arrived, 1);
    if (!wait_for(&record->arrived, 2)) {
        store(&record->alone, 1);
    }
}

/* Two chunks that wait for each other: they need two threads. */
static int two_threads_meet(fs_thread_pool *pool) {
    threads_record record = {.pool = pool};
    fs_thread_pool_run(pool, 2, 2, meet, &record);
    return !record.alone;
}

static void meet_then_one_sleeps(void *argument, int chunk, int rank) {
    threads_record *record = argument;
    meet(argument, chunk, rank);
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
    expect(two_threads_meet(pool), "two chunks at the same time");
    for (int i = 0; i < 20; ++i) {
        sleep_ms(2);
        expect(two_threads_meet(pool), "a sleeping worker is woken");
    }
    int woken = 1;
    for (int i = 0; i < 1000 && woken; ++i) {
        const double end = seconds() + 1e-6 * (40 + i % 30);
        while (seconds() < end) {
            /* the worker's spinning ends about now */
        }
        woken = two_threads_meet(pool);
    }
    expect(woken, "a worker that is about to sleep misses no call");
    sleep_ms(5);
    double before = cpu_seconds();
    sleep_ms(300);
    expect(cpu_seconds() - before < 0.005, "an idle pool uses no CPU time");

    threads_record record = {.pool = pool, .sleeper = 1};
    two_threads_meet(pool);
    before = cpu_seconds();
    fs_thread_pool_run(pool, 2, 2, meet_then_one_sleeps, &record);
    expect(!record.alone && cpu_seconds() - before < 0.05, "a caller that waits long sleeps");
    for (int sleeper = 0; sleeper < 2; ++sleeper) {
        double used = 1;
        record = (threads_record){.pool = pool, .sleeper = sleeper};
        for (int i = 0; i < 1000 && record.arrived != 2; ++i) {
            before = cpu_seconds();
            fs_thread_pool_run_team(pool, 2, one_sleeps_before_the_barrier, &record);
            used = cpu_seconds() - before;
        }
        expect(record.arrived == 2 && used < 0.05, "a rank that waits long at a barrier sleeps");
    }
    fs_thread_pool_destroy(pool);
}

/* ---- a worker that is late ---- */

static int held, let_go; /* atomic */

/* As if another process had the core: the worker stops here, idle, until it is let go. */
static void hold(int signal_number) {
    (void)signal_number;
    store(&held, 1);
    wait_for(&let_go, 1);
    store(&held, 0);
}

static void meet_and_tell(void *argument, int chunk, int rank) {
    threads_record *record = argument;
    if (rank == 1) {
        record->worker = pthread_self();
    }
    meet(argument, chunk, rank);
}

static void check_late_worker(void) {
    fs_thread_pool *pool = fs_thread_pool_create();
    threads_record record = {.pool = pool};
    fs_thread_pool_run(pool, 2, 2, meet_and_tell, &record);
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
        store(&let_go, 1);
        expect(two_threads_meet(pool), "and takes part again later");
        sigaction(SIGFPE, &former, NULL);
    }
    fs_thread_pool_destroy(pool);
    expect(!record.alone, "the late worker has begun before");
}

/* ---- workers as threads of the process ---- */

static int threads_of_process(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        count += entry->d_name[0] != '.';
    }
    if (directory) {
        closedir(directory);
    }
    return count; /* 0 where the system tells otherwise */
}

static int threads_become(int count) {
    const double deadline = seconds() + PATIENCE;
    while (threads_of_process() != count && seconds() < deadline) {
        sleep_ms(1); /* the system forgets a thread a little after it is joined */
    }
    return threads_of_process() == count;
}

static void check_creating(void) {
    const int before = threads_of_process();
    int right = 1;
    for (int i = 0; i < 200; ++i) {
        fs_thread_pool *pool = fs_thread_pool_create();
        right = right && (i % 4 == 0 || chunks_are_computed_once(pool, 1 + i % 5, 20, 1));
        if (i % 50 == 1) {
            sleep_ms(1); /* destroyed asleep */
        }
        fs_thread_pool_destroy(pool);
    }
    expect(right, "pools are created and destroyed");
    expect(threads_become(before), "a destroyed pool leaves no threads");
}

#define DEEP (1 << 20)

static int use_stack(void) {
    volatile char bytes[DEEP];
    int sum = 0;
    for (int i = 0; i < DEEP; i += 1024) {
        bytes[i] = 1;
        sum += bytes[i];
    }
    return sum;
}

static void inspect(void *argument, int chunk, int rank) {
    threads_record *record = argument;
    if (rank == 1) {
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, NULL, &blocked);
        record->signals = sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGTERM) &&
                          !sigismember(&blocked, SIGSEGV);
        record->deep = use_stack();
    }
    meet(argument, chunk, rank);
}

static void check_workers(void) {
    threads_record record = {.pool = fs_thread_pool_create()};
    fs_thread_pool_run(record.pool, 2, 2, inspect, &record);
    fs_thread_pool_destroy(record.pool);
    expect(record.signals, "a worker takes no signals but those it causes");
    expect(record.deep == DEEP / 1024, "a worker has 1 MiB of stack");
}

/* ---- processes ---- */

/* A child process does not inherit its parent's alarm. */
static pid_t fork_with_alarm(void) {
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(HANGS_AFTER / 2);
    }
    return child;
}

static int child_succeeds(pid_t child) {
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void check_fork(void) {
    if (!CAN_FORK) {
        return;
    }
    fs_thread_pool *pool = fs_thread_pool_create();
    expect(two_threads_meet(pool), "two chunks at the same time, before the fork");
    for (int i = 0; i < 4; ++i) {
        sleep_ms(i % 2 * 2); /* the worker spins, or sleeps */
        const pid_t child = fork_with_alarm();
        if (child == 0) {
            fs_thread_pool *own = fs_thread_pool_create();
            const int right = two_threads_meet(own) && chunks_are_computed_once(own, 2, 64, 50);
            fs_thread_pool_destroy(own);
            _exit(!right);
        }
        expect(child_succeeds(child), "a child process has a pool of its own");
    }
    expect(two_threads_meet(pool), "and its parent's goes on");
    fs_thread_pool_destroy(pool);
}

/* Bytes of address space; 0 where the system tells otherwise. */
static size_t process_bytes(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lu", &pages) != 1) {
        pages = 0;
    }
    if (file) {
        fclose(file);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* With memory for the records of the checks, but not for a thread's stack. It comes before all that
 * start threads: the C library keeps the stacks of those that ended. */
static void check_without_threads(void) {
    const size_t limit = process_bytes() + (1 << 20);
    if (!CAN_LIMIT_MEMORY || limit == 1 << 20) {
        return;
    }
    const pid_t child = fork_with_alarm();
    if (child == 0) {
        fs_thread_pool *pool = fs_thread_pool_create();
        setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit});
        const int right = chunks_are_computed_once(pool, 4, 64, 3) && team_of(pool, 4, 3) == 1;
        const int alone = threads_of_process() == 1;
        fs_thread_pool_destroy(pool);
        _exit(!right + 2 * !alone);
    }
    expect(child_succeeds(child), "a pool that can start no thread computes alone");
}

/* ---- all checks ---- */

static const struct {
    const char *name;
    void (*check)(void);
} CHECKS[] = {
    {"without threads", check_without_threads}, /* the first: see there */
    {"chunks", check_chunks},
    {"teams", check_teams},
    {"callers", check_callers},
    {"nested calls", check_nested_calls},
    {"sleeping", check_sleeping},
    {"late worker", check_late_worker},
    {"creating", check_creating},
    {"workers", check_workers},
    {"fork", check_fork},
};

static const char *current;

static void hangs(int signal_number) {
    (void)signal_number;
    dprintf(STDOUT_FILENO, "FAILED: %s: hangs\n%d passed, %d failed\n", current, passed,
            failed + 1);
    _exit(1);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, hangs);
    for (size_t i = 0; i < sizeof CHECKS / sizeof CHECKS[0]; ++i) {
        current = CHECKS[i].name;
        alarm(HANGS_AFTER);
        CHECKS[i].check();
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
