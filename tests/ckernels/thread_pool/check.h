/* check.h — counts of passed and failed checks, atomics, clocks and time limits. */
#ifndef THREAD_POOL_CHECK_H
#define THREAD_POOL_CHECK_H

#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "thread_pool.h"

#define INTS_PER_LINE 32 /* elements at this distance are on different cache lines */
#define WAIT_SECONDS 5.0 /* a longer wait for another thread is a failure */
#ifndef CHECK_SECONDS
#define CHECK_SECONDS 60 /* a longer group of checks is a failure */
#endif

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

/* Waits until the word reaches the value; returns 0 after WAIT_SECONDS. */
static int wait_for(const int *word, int value) {
    const double deadline = seconds() + WAIT_SECONDS;
    while (load(word) < value) {
        if (seconds() > deadline) {
            return 0;
        }
        sched_yield();
    }
    return 1;
}

#endif
