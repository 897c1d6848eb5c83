"""Several processes that train one model together: ranks, and how they exchange arrays.

`communicator` says what training requires of ranks, `mpi` gives it by mpi4py.
"""
