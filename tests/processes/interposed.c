/* interposed.c — the system calls of writing a file, logged, and made to fail or to kill.
 *
 * Preloaded before the C library (LD_PRELOAD). `interposed_plan` is called from Python by ctypes:
 * from then on calls are counted, and the call of the given number fails with an error, or ends the
 * process by SIGKILL as a loss of power would. A write that fails or kills writes half of its bytes
 * first. `interposed_log` gives the names of the calls so far, with the file each was for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define KILL (-1)

static int counting;   /* whether a plan was made */
static int calls;      /* since then */
static int failing;    /* the number of the call that fails, from 1 on; 0: none */
static int error_code; /* an errno, or KILL */
static char log_text[1 << 16];
static size_t log_length;

void interposed_plan(int call, int error) {
    calls = 0;
    failing = call;
    error_code = error;
    log_length = 0;
    log_text[0] = 0;
    counting = 1;
}

int interposed_calls(void) {
    return calls;
}

const char *interposed_log(void) {
    return log_text;
}

/* Counts a call; returns whether it is the one that fails. */
static int fails(const char *name, const char *what) {
    if (!counting) {
        return 0;
    }
    const int room = (int)(sizeof log_text - log_length);
    const int length = snprintf(log_text + log_length, (size_t)room, "%s %s\n", name, what);
    log_length += length < room ? (size_t)length : 0;
    return ++calls == failing;
}

static int fail(void) {
    if (error_code == KILL) {
        kill(getpid(), SIGKILL);
    }
    errno = error_code;
    return -1;
}

static const char *name_of(int descriptor, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, buffer, size - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

#define NEXT(name) dlsym(RTLD_NEXT, name)

static int open_file(const char *name, const char *path, int flags, mode_t mode) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails("open", path)) {
        return fail();
    }
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))NEXT(name);
    return next(path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_file("open64", path, flags, mode);
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    char name[4096];
    ssize_t (*next)(int, const void *, size_t) =
        (ssize_t (*)(int, const void *, size_t))NEXT("write");
    if (counting && descriptor > 2 && fails("write", name_of(descriptor, name, sizeof name))) {
        next(descriptor, bytes, size / 2);
        return fail();
    }
    return next(descriptor, bytes, size);
}

int fsync(int descriptor) {
    char name[4096];
    if (counting && fails("fsync", name_of(descriptor, name, sizeof name))) {
        return fail();
    }
    int (*next)(int) = (int (*)(int))NEXT("fsync");
    return next(descriptor);
}

int fchmod(int descriptor, mode_t mode) {
    char name[4096];
    if (counting && fails("fchmod", name_of(descriptor, name, sizeof name))) {
        return fail();
    }
    int (*next)(int, mode_t) = (int (*)(int, mode_t))NEXT("fchmod");
    return next(descriptor, mode);
}

int rename(const char *old, const char *new) {
    if (fails("rename", new)) {
        return fail();
    }
    int (*next)(const char *, const char *) = (int (*)(const char *, const char *))NEXT("rename");
    return next(old, new);
}
