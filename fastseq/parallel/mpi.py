"""Ranks by MPI: the processes that mpiexec has started, each with mpi4py."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator, RankLost

Array = npt.NDArray[Any]

# How many processes were started: set by Open MPI, and by MPICH, Intel MPI and Slurm.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
# A message within a host takes microseconds: a nap of any length would be a multiple of that.
_SECONDS_AWAKE = 0.001
_NAP = 0.0001
# Launchers kill what is left about a second after they have told all ranks to end.
_SECONDS_TO_END = 0.5


class MPIRanks:
    """The ranks of a communicator of mpi4py.

    No call blocks in MPI: signals are heard while it waits.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        It is duplicated, so that the messages of others do not mix with these.
    """

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator.Dup()
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()
        self._deadline: float | None = None

    def exchange(self, rows: Array) -> Array:
        """As in `Communicator`."""
        received = np.empty_like(rows)
        self._wait(self._communicator.Ialltoall(rows, received))
        return received

    def collect(self, array: Array) -> Array:
        """As in `Communicator`."""
        received = np.empty((self.size, *array.shape), array.dtype)
        self._wait(self._communicator.Iallgather(array, received))
        return received

    def expect_end(self) -> None:
        """As in `Communicator`."""
        self._deadline = time.monotonic() + _SECONDS_TO_END

    def _wait(self, request: Any) -> None:
        """Wait for a request.

        Raises
        ------
        RankLost
            A rank has ended, or the job ends and one does not answer.
        """
        awake = time.monotonic() + _SECONDS_AWAKE
        while not self._is_done(request):
            now = time.monotonic()
            if self._deadline is not None and now > self._deadline:
                raise RankLost(
                    f"rank {self.rank}: the training has ended, because another rank was lost or "
                    "the job was cancelled"
                )
            if now > awake:
                time.sleep(_NAP)

    def _is_done(self, request: Any) -> bool:
        try:
            return bool(request.Test())
        except Exception as error:  # of MPI, whose module need not be imported for its name
            raise RankLost(f"rank {self.rank}: another rank was lost ({error})") from error


def ranks_of(communicator: Any) -> Communicator:
    """The ranks of what `fit` is given.

    Parameters
    ----------
    communicator : Communicator, mpi4py.MPI.Comm, or None
        None stands for one process.

    Raises
    ------
    TypeError
        It is something else.
    """
    if communicator is None:
        return SINGLE_PROCESS
    if all(hasattr(communicator, name) for name in ("exchange", "collect", "rank", "size")):
        ranks: Communicator = communicator
        return ranks
    if not all(hasattr(communicator, name) for name in ("Ialltoall", "Iallgather", "Dup")):
        kind = type(communicator).__name__
        raise TypeError(f"communicator: expected one of mpi4py, got {kind}")
    return MPIRanks(communicator) if communicator.Get_size() > 1 else SINGLE_PROCESS


def started_ranks() -> Communicator:
    """The ranks that mpiexec has started; a single process where it has started no other.

    Raises
    ------
    ImportError
        There are several, and no mpi4py.
    """
    sizes = [os.environ.get(name, "") for name in _SIZES]
    if not any(size.isdecimal() and int(size) > 1 for size in sizes):
        return SINGLE_PROCESS
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f'several processes need mpi4py: pip install "fastseq-kernels[mpi]" ({error})'
        ) from None
    return ranks_of(MPI.COMM_WORLD)
