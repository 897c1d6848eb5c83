/* processes.h — workers as threads of the process; forked processes; limited memory. */
#ifndef THREAD_POOL_PROCESSES_H
#define THREAD_POOL_PROCESSES_H

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sleeping.h"

/* 0 where a sanitizer does not support it: the thread sanitizer follows no thread started after a
 * fork, and the memory of the sanitizers counts against a limit of the process. */
#ifndef CAN_FORK
#define CAN_FORK 1
#endif
#ifndef CAN_LIMIT_MEMORY
#define CAN_LIMIT_MEMORY 1
#endif

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
    return count; /* 0 on systems without /proc */
}

static int threads_become(int count) {
    const double deadline = seconds() + WAIT_SECONDS;
    while (threads_of_process() != count && seconds() < deadline) {
        sleep_ms(1); /* a joined thread disappears with a delay */
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
            sleep_ms(1); /* destroyed while its workers sleep */
        }
        fs_thread_pool_destroy(pool);
    }
    expect(right, "pools are created and destroyed");
    expect(threads_become(before), "a destroyed pool leaves no threads");
}

#define STACK_TEST_BYTES (1 << 20)

static int use_stack(void) {
    volatile char bytes[STACK_TEST_BYTES];
    int sum = 0;
    for (int i = 0; i < STACK_TEST_BYTES; i += 1024) {
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
        record->stack_touches = use_stack();
    }
    wait_for_second_thread(argument, chunk, rank);
}

static void check_workers(void) {
    threads_record record = {.pool = fs_thread_pool_create()};
    fs_thread_pool_run(record.pool, 2, 2, inspect, &record);
    fs_thread_pool_destroy(record.pool);
    expect(record.signals, "a worker blocks all signals but the synchronous ones");
    expect(record.stack_touches == STACK_TEST_BYTES / 1024, "a worker has 1 MiB of stack");
}

/* ---- processes ---- */

/* A child process does not inherit its parent's alarm. */
static pid_t fork_with_alarm(void) {
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(CHECK_SECONDS / 2);
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
    expect(two_threads_join(pool), "two chunks at the same time, before the fork");
    for (int i = 0; i < 4; ++i) {
        sleep_ms(i % 2 * 2); /* the worker spins, or sleeps */
        const pid_t child = fork_with_alarm();
        if (child == 0) {
            fs_thread_pool *own = fs_thread_pool_create();
            const int right = two_threads_join(own) && chunks_are_computed_once(own, 2, 64, 50);
            fs_thread_pool_destroy(own);
            _exit(!right);
        }
        expect(child_succeeds(child), "a child process has a pool of its own");
    }
    expect(two_threads_join(pool), "the pool of the parent still computes");
    fs_thread_pool_destroy(pool);
}

/* Bytes of address space; 0 on systems without /proc. */
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

/* With memory for the records of the checks, but not for a thread's stack. The first check, because
 * the C library caches the stacks of ended threads. */
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

#endif
