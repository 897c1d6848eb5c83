"""What carries a workload out: fastseq, its reference, PyTorch, JAX, and the peak.

A module for each is imported only in the process that measures it.
"""

from __future__ import annotations

from typing import NamedTuple

from fastseq.bench.workloads import Peak, Workload
from fastseq.bench.workloads.base import FLOAT32, INT8, ONE_THREAD


class Backend(NamedTuple):
    """What carries a workload out.

    Attributes
    ----------
    name : str
        A key of `numpy_layers.MODULES`, or "peak"; after a space there may be a variant: another
        precision than the workload's ("fastseq float32", "torch int8"), or "1 thread".
    isa : str or None
        The instruction set of fastseq's kernels; None for every other backend.
    """

    name: str
    isa: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.isa}" if self.isa else self.name

    @property
    def library(self) -> str:
        """The name without the variant."""
        return self.name.partition(" ")[0]

    @property
    def variant(self) -> str:
        """What follows the library in the name."""
        return self.name.partition(" ")[2]

    def threads(self, wanted: int) -> int:
        """The number of threads, where a workload is measured on `wanted`."""
        return 1 if self.variant == ONE_THREAD else wanted

    def precision(self, workload: Workload | Peak) -> str:
        """What the operands of its products are rounded to."""
        if self.variant in (FLOAT32, INT8):
            return self.variant
        if self.library not in ("fastseq", "torch") or isinstance(workload, Peak):
            return FLOAT32
        return workload.precision
