# A snapshot of the settings, for every call.

cimport numpy as np

from fastseq._kernels.contract cimport fs_context, fs_interrupt, fs_kernels


ctypedef struct Snapshot:
    const fs_kernels *kernels
    fs_context context
    fs_interrupt interrupt


# The current settings. A function reads them once: if another thread changes a setting later, the
# size of the scratch still fits the call.
cdef Snapshot snapshot() noexcept

# Lets Ctrl-C end a call with this snapshot, a variable of the caller, before its end.
cdef void allow_interrupt(Snapshot *now) noexcept

# The exception of a signal's handler, KeyboardInterrupt after Ctrl-C, if it has ended the call. The
# outputs of the user that the call has begun to write are zero then.
cdef int check_interrupt(Snapshot *now, list outputs) except -1

# The number of forks up to this process: a claim made in a parent process is void in its child.
cdef unsigned long fork_count() noexcept
