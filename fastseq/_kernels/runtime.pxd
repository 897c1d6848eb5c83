# A snapshot of the settings, for every call.

from fastseq._kernels.contract cimport fs_context, fs_kernels


ctypedef struct Snapshot:
    const fs_kernels *kernels
    fs_context context


# The current settings. A function reads them once: if another thread changes a setting later, the
# size of the scratch still fits the call.
cdef Snapshot snapshot() noexcept

# The number of forks up to this process: a claim made in a parent process is void in its child.
cdef unsigned long fork_count() noexcept
