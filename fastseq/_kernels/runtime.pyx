# cython: language_level=3
"""Settings of all calls: the table of kernels, and the threads.

On import, the table of the best instruction set that this CPU supports is selected, for products of
float32; ``FASTSEQ_ISA`` and ``FASTSEQ_PRECISION`` override it. The thread pool is created when a
call first needs it. It is not destroyed at exit: a daemon thread may still be computing.

Python runs the handlers of signals in the main thread, between its own instructions. A call of a
kernel is one of these, so the kernels of long calls check between steps: every 50 ms, if the main
thread has made the call, handlers run. If one raises, as that of Ctrl-C does, the call ends, and
raises the same.
"""

import os
import threading

cimport numpy as np
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastseq._kernels.contract cimport (
    FS_BFLOAT16,
    FS_FLOAT32,
    FS_MAX_TABLES,
    FS_MAX_THREADS,
    FS_NEVER,
    fs_interrupt,
    fs_kernels,
    fs_permit,
    fs_precision,
    fs_tables,
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

    /* The table of the calls of one thread, if it has chosen one; else NULL. */
    static _Thread_local const fs_kernels *thread_table;

    #include <time.h>

    /* Nanoseconds of a clock of any origin. */
    static int64_t fs_nanoseconds(void) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    """
    int64_t fs_nanoseconds() nogil
    const fs_kernels *thread_table
    const char *FS_COMPILER
    const char *FS_THREADS

cdef const fs_kernels *table = NULL
cdef int threads = 1
cdef fs_thread_pool *pool = NULL
cdef unsigned long forks = 0


cdef const fs_kernels *current_table() noexcept:
    return thread_table if thread_table != NULL else table


cdef Snapshot snapshot() noexcept:
    global pool
    cdef Snapshot now
    if threads > 1 and pool == NULL:
        pool = fs_thread_pool_create()  # NULL if out of memory: one thread
    now.kernels = current_table()
    now.context.threads = threads
    now.context.pool = pool if threads > 1 else NULL
    now.context.interrupt = NULL
    return now


cdef unsigned long fork_count() noexcept:
    return forks


# ---- signals during a call ----

cdef extern from "Python.h":
    int PyErr_CheckSignals()  # -1 with an exception, which stays set
    unsigned long PyThread_get_thread_ident()

cdef int64_t SIGNAL_INTERVAL = 50_000_000
cdef unsigned long main_thread = threading.main_thread().ident


cdef int requested(fs_interrupt *interrupt) noexcept nogil:
    """Run the handlers of signals, if it is time; whether one has raised."""
    cdef int64_t now = fs_nanoseconds()
    # the clock may be set back
    if interrupt.next_time - SIGNAL_INTERVAL <= now < interrupt.next_time:
        return 0
    cdef bint is_first = interrupt.next_time == 0
    interrupt.next_time = now + SIGNAL_INTERVAL
    if is_first:
        return 0
    with gil:
        return PyErr_CheckSignals()


cdef void allow_interrupt(Snapshot *now) noexcept:
    if PyThread_get_thread_ident() == main_thread:
        now.interrupt.requested = requested
        now.interrupt.next_time = 0
        now.interrupt.end_step = FS_NEVER
        now.context.interrupt = &now.interrupt


cdef int check_interrupt(Snapshot *now, list outputs) except -1:
    cdef np.ndarray output
    if now.context.interrupt == NULL or now.interrupt.end_step == FS_NEVER:
        return 0
    for output in outputs:
        if output is not None:
            memset(np.PyArray_DATA(output), 0, np.PyArray_NBYTES(output))
    return -1  # the exception is set


def _after_fork_in_child():
    # The parent's workers do not exist in the child: it creates its own pool.
    global pool, forks, main_thread
    pool = NULL
    forks += 1
    main_thread = PyThread_get_thread_ident()


# ---- instruction sets and precisions ----

cdef const fs_kernels *tables[FS_MAX_TABLES]
cdef int table_count = 0
cdef dict PRECISIONS = {"float32": FS_FLOAT32, "bfloat16": FS_BFLOAT16}
wanted_isa = None  # where it is not the best of each precision


cdef str _text(const char *characters):
    return (<bytes> characters).decode("ascii")


cdef list _isas_of(fs_precision precision):
    cdef int i
    return [_text(tables[i].name) for i in range(table_count) if tables[i].precision == precision]


def available_isas():
    return _isas_of(current_table().precision)


def bfloat16_isas():
    return _isas_of(FS_BFLOAT16)


def isa():
    return _text(current_table().name)


def set_isa(name):
    global table, wanted_isa
    table = _table_of(name, "isa", table.precision)
    # the best of a precision is no wish: that of another may have another name
    wanted_isa = None if name == _isas_of(table.precision)[-1] else name


def get_precision():
    """What the operands of matrix products are rounded to.

    Returns
    -------
    {"float32", "bfloat16"}

    Examples
    --------
    >>> import fastseq
    >>> fastseq.get_precision() in ("float32", "bfloat16")
    True
    """
    return _name_of(current_table().precision)


def set_precision(precision):
    """Set what later calls, of all layers and models, round the operands of matrix products to.

    With "bfloat16", each operand is rounded to 8 significant bits, to the nearest, and the products
    are summed in float32; arrays, gates, states and the optimizer stay float32. Processors with AMX
    or AVX512_BF16 multiply such operands faster than float32. On others the rounding is emulated,
    which is slower and there to test with: ``fastseq info`` says what this one has. Until then it
    is ``FASTSEQ_PRECISION`` of the environment, or "float32".

    Parameters
    ----------
    precision : {"float32", "bfloat16"}

    Raises
    ------
    RuntimeError
        The system refuses the process the use of AMX.
    TypeError, ValueError
        It is something else.

    Examples
    --------
    >>> import fastseq
    >>> before = fastseq.get_precision()
    >>> fastseq.set_precision("bfloat16")
    >>> fastseq.get_precision()
    'bfloat16'
    >>> fastseq.set_precision(before)
    """
    global table
    table = _best_table(precision, "precision")


def exchange_thread_precision(precision):
    global thread_table
    previous = None if thread_table == NULL else _name_of(thread_table.precision)
    thread_table = NULL if precision is None else _best_table(precision, "precision")
    return previous


cdef str _name_of(fs_precision precision):
    return "bfloat16" if precision == FS_BFLOAT16 else "float32"


cdef const fs_kernels *_best_table(object precision, str argument) except NULL:
    """That of the instruction set that was asked for, if it has the precision, else the best."""
    if not isinstance(precision, str):
        raise TypeError(f"{argument}: expected a string, got {type(precision).__name__}")
    if precision not in PRECISIONS:
        raise ValueError(f"{argument}: expected float32 or bfloat16, got {precision!r}")
    names = _isas_of(PRECISIONS[precision])
    name = wanted_isa if wanted_isa in names else names[-1]
    return _table_of(name, "isa", PRECISIONS[precision])


cdef const fs_kernels *_table_of(
    object name, str argument, fs_precision precision
) except NULL:
    cdef int i
    cdef const fs_kernels *found = NULL
    if not isinstance(name, str):
        raise TypeError(f"{argument}: expected a string, got {type(name).__name__}")
    names = _isas_of(precision)
    if name not in names:
        raise ValueError(
            f"{argument}: expected one of {', '.join(names)} "
            f"(in this build and supported by this CPU, for {_name_of(precision)}), got {name!r}"
        )
    for i in range(table_count):
        if tables[i].precision == precision and _text(tables[i].name) == name:
            found = tables[i]
    if not fs_permit(found):
        raise RuntimeError(
            f"{argument}: the system refuses this process the use of {name}; "
            f"FASTSEQ_ISA={names[names.index(name) - 1]} does without"
        )
    return found


# ---- threads ----


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
    global table, table_count, threads, wanted_isa
    table_count = fs_tables(tables)
    precision = os.environ.get("FASTSEQ_PRECISION") or "float32"
    wanted_isa = os.environ.get("FASTSEQ_ISA") or None
    table = _best_table(precision, "FASTSEQ_PRECISION")
    if wanted_isa is not None:
        table = _table_of(wanted_isa, "FASTSEQ_ISA", table.precision)
    threads = min(default_threads(os.environ), FS_MAX_THREADS)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


_initialize()
