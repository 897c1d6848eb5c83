# What every call takes from the runtime: a snapshot of the settings.

from fastseq._kernels.contract cimport fs_context, fs_kernels


ctypedef struct Snapshot:
    const fs_kernels *kernels
    fs_context context


# The settings as they are now. A function takes them once: a setting that changes later, in another
# thread, cannot make the size of its scratch and its call disagree.
cdef Snapshot snapshot() noexcept

# How often this process was forked: a claim of an earlier process is void in its child.
cdef unsigned long fork_count() noexcept
