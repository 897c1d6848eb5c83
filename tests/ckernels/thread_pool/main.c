/* main.c — tests of the thread pool alone.
 *
 *   gcc -std=c11 -O2 -Icsrc tests/ckernels/thread_pool/main.c csrc/thread_pool.c -pthread
 *
 * Memory that the pool has to order is written without atomics, so that the thread sanitizer
 * reports a missing order that a plain build would rarely show (run_tsan.sh). Waits have a time
 * limit, and an alarm ends the program if a check hangs. POSIX only. */
#define _GNU_SOURCE

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "processes.h"

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

static void report_hang(int signal_number) {
    (void)signal_number;
    dprintf(STDOUT_FILENO, "FAILED: %s: hangs\n%d passed, %d failed\n", current, passed,
            failed + 1);
    _exit(1);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, report_hang);
    for (size_t i = 0; i < sizeof CHECKS / sizeof CHECKS[0]; ++i) {
        current = CHECKS[i].name;
        alarm(CHECK_SECONDS);
        CHECKS[i].check();
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
