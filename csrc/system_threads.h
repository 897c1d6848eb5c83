/* system_threads.h — the system functions of the thread pool: threads, mutex, condition variable,
 * monotonic clock and CPU affinity, for POSIX threads, for Windows, and for systems without threads
 * (FS_NO_THREADS), where no thread starts and nothing waits. */
#ifndef FS_SYSTEM_THREADS_H
#define FS_SYSTEM_THREADS_H

#include <stddef.h>
#include <stdint.h>

#define NO_CORE (-1)
#define STACK_BYTES ((size_t)2 << 20) /* musl's default is 128 KB; a kernel's task uses 64 KB */

#if defined(FS_NO_THREADS)

#include <time.h>

typedef char mutex, condition_variable, thread;
typedef void *thread_result;

#define THREAD_CALL
#define mutex_init(m) ((void)(m))
#define mutex_destroy(m) ((void)(m))
#define mutex_lock(m) ((void)(m))
#define mutex_unlock(m) ((void)(m))
#define condition_init(c) ((void)(c))
#define condition_destroy(c) ((void)(c))
#define condition_wait(c, m) ((void)(c))
#define condition_signal(c) ((void)(c))
#define cpu_relax() ((void)0)
#define current_core() NO_CORE
#define thread_start(t, body, argument) ((void)(body), 0)
#define thread_join(t) ((void)(t))
#define thread_avoid_core(t, core, others) ((void)0)

static int64_t nanoseconds(void) {
    return (int64_t)((double)clock() * (1e9 / CLOCKS_PER_SEC));
}

#elif defined(_WIN32)

#include <windows.h>
#include <process.h>

typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition_variable;
typedef HANDLE thread;
typedef unsigned thread_result;

#define THREAD_CALL __stdcall
#define mutex_init(m) InitializeSRWLock(m)
#define mutex_destroy(m) ((void)(m)) /* holds no resources */
#define mutex_lock(m) AcquireSRWLockExclusive(m)
#define mutex_unlock(m) ReleaseSRWLockExclusive(m)
#define condition_init(c) InitializeConditionVariable(c)
#define condition_destroy(c) ((void)(c)) /* holds no resources */
#define condition_wait(c, m) SleepConditionVariableSRW(c, m, INFINITE, 0)
#define condition_signal(c) WakeConditionVariable(c)
#define cpu_relax() YieldProcessor()
#define current_core() NO_CORE
#define thread_avoid_core(t, core, others) ((void)0)

static int thread_start(thread *t, thread_result(THREAD_CALL *body)(void *), void *argument) {
    *t = (HANDLE)_beginthreadex(NULL, (unsigned)STACK_BYTES, body, argument,
                                STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return *t != NULL;
}

static void thread_join(thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

static int64_t nanoseconds(void) {
    LARGE_INTEGER count, per_second;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&per_second);
    return (int64_t)((double)count.QuadPart * (1e9 / (double)per_second.QuadPart));
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition_variable;
typedef pthread_t thread;
typedef void *thread_result;
#define THREAD_CALL
#define mutex_init(m) pthread_mutex_init(m, NULL)
#define mutex_destroy(m) pthread_mutex_destroy(m)
#define mutex_lock(m) pthread_mutex_lock(m)
#define mutex_unlock(m) pthread_mutex_unlock(m)
#define condition_init(c) pthread_cond_init(c, NULL)
#define condition_destroy(c) pthread_cond_destroy(c)
#define condition_wait(c, m) pthread_cond_wait(c, m)
#define condition_signal(c) pthread_cond_signal(c)

/* A new thread inherits the signal mask of its creator. All signals are blocked in it, so that
 * Ctrl-C reaches the main thread, except the synchronous ones: if blocked, they would end the
 * process without calling its handler (Python's faulthandler). */
static int thread_start(thread *t, thread_result (*body)(void *), void *argument) {
    static const int unblocked[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof unblocked / sizeof unblocked[0]; ++i) {
        sigdelset(&blocked, unblocked[i]);
    }
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return 0;
    }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const int error = pthread_create(t, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static void thread_join(thread t) {
    pthread_join(t, NULL);
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#if defined(__linux__)

static int current_core(void) {
    return sched_getcpu();
}

/* Sets a thread's affinity to that of the calling thread without `core`, if that leaves at least
 * `others` cores; with NO_CORE, to all of it. */
static void thread_avoid_core(thread t, int core, int others) {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) {
        return;
    }
    if (core != NO_CORE && CPU_COUNT(&cores) > others) {
        CPU_CLR(core, &cores);
    }
    pthread_setaffinity_np(t, sizeof cores, &cores);
}

#else

#define current_core() NO_CORE
#define thread_avoid_core(t, core, others) ((void)0)

#endif

static void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

#endif

#endif
