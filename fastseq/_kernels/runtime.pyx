# cython: language_level=3
"""Settings of all calls: the table of kernels, and the threads.

On import, the table of the best instruction set that this CPU supports is selected;
``FASTSEQ_ISA`` overrides it. The thread pool is created when a call first needs it. It is not
destroyed at exit: a daemon thread may still be computing.
"""

import os

from fastseq._kernels.contract cimport (
    FS_FLOAT32,
    FS_MAX_THREADS,
    fs_kernels,
    fs_table,
    fs_thread_pool,
    fs_thread_pool_create,
)

from fastseq._kernels.processors import default_threads

cdef extern from *:
    """
    #if defined(__clang__)
    #define FS_COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define FS_COMPILER "GCC " __VERSION__
    #else
    #define FS_COMPILER "unknown"
    #endif

    #if defined(FS_NO_THREADS)
    #define FS_THREADS "none: every call runs on one"
    #elif defined(_WIN32)
    #define FS_THREADS "Windows"
    #else
    #define FS_THREADS "POSIX"
    #endif
    """
    const char *FS_COMPILER
    const char *FS_THREADS

cdef const fs_kernels *table = NULL
cdef int threads = 1
cdef fs_thread_pool *pool = NULL
cdef unsigned long forks = 0


cdef Snapshot snapshot() noexcept:
    global pool
    cdef Snapshot now
    if threads > 1 and pool == NULL:
        pool = fs_thread_pool_create()  # NULL if out of memory: one thread
    now.kernels = table
    now.context.threads = threads
    now.context.pool = pool if threads > 1 else NULL
    now.context.precision = FS_FLOAT32
    return now


cdef unsigned long fork_count() noexcept:
    return forks


def _after_fork_in_child():
    # The parent's workers do not exist in the child: it creates its own pool.
    global pool, forks
    pool = NULL
    forks += 1


# ---- instruction sets and threads ----


cdef str _text(const char *characters):
    return (<bytes> characters).decode("ascii")


def available_isas():
    names = []
    while fs_table(len(names)) != NULL:
        names.append(_text(fs_table(len(names)).name))
    return names


def isa():
    return _text(table.name)


def set_isa(name):
    global table
    table = _table_of(name, "isa")


cdef const fs_kernels *_table_of(object name, str argument) except NULL:
    if not isinstance(name, str):
        raise TypeError(f"{argument}: expected a string, got {type(name).__name__}")
    names = available_isas()
    if name not in names:
        raise ValueError(
            f"{argument}: expected one of {', '.join(names)} "
            f"(in this build and supported by this CPU), got {name!r}"
        )
    return fs_table(names.index(name))


def get_num_threads():
    """The maximum number of threads of a call. Small calls use fewer.

    Returns
    -------
    int

    Examples
    --------
    >>> import fastseq
    >>> fastseq.get_num_threads() >= 1
    True
    """
    return threads


def set_num_threads(num_threads):
    """Set the maximum number of threads of later calls, of all layers and models.

    Results do not depend on it. Until then it is ``FASTSEQ_NUM_THREADS`` or ``OMP_NUM_THREADS``
    of the environment, or the number of processors that the process may have.

    Parameters
    ----------
    num_threads : int
        1 to 256.

    Raises
    ------
    TypeError, ValueError
        It is no integer, or out of range.

    Examples
    --------
    >>> import fastseq
    >>> before = fastseq.get_num_threads()
    >>> fastseq.set_num_threads(2)
    >>> fastseq.get_num_threads()
    2
    >>> fastseq.set_num_threads(before)
    """
    global threads
    if isinstance(num_threads, bool) or not hasattr(type(num_threads), "__index__"):
        raise TypeError(f"num_threads: expected an int, got {type(num_threads).__name__}")
    try:
        number = num_threads.__index__()
    except TypeError as error:  # the __index__ of most arrays raises
        raise TypeError(f"num_threads: {error}") from error
    if not 1 <= number <= FS_MAX_THREADS:
        valid = f"1 to {FS_MAX_THREADS}" if FS_MAX_THREADS > 1 else "1 (this build has no threads)"
        raise ValueError(f"num_threads: expected {valid}, got {number}")
    threads = number


def build_info():
    return {"compiler": _text(FS_COMPILER), "thread_api": _text(FS_THREADS)}


# ---- initialization ----


def _initialize():
    global table, threads
    name = os.environ.get("FASTSEQ_ISA") or available_isas()[-1]
    table = _table_of(name, "FASTSEQ_ISA")
    threads = min(default_threads(os.environ), FS_MAX_THREADS)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


_initialize()
