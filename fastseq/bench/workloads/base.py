"""What all workloads share: letters, constants, the count of operations, and the peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SEED = 1984

Operations = int | None

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
ONE_THREAD = "1 thread"


def product(m: int, k: int, n: int) -> int:
    """Operations of a product of matrices (m, k) and (k, n)."""
    return 2 * m * k * n


class Curve(NamedTuple):
    """A point of a scaling curve: the workload `of`, with the size `letter` set to `value`."""

    of: str
    letter: str
    value: int


@dataclass(frozen=True)
class Workload:
    """Something that is measured; how a backend carries it out is not part of it.

    Attributes
    ----------
    name : str
    noun : str
        The topic, which names its file in ``benchmarks/``: ``bench_<noun>.py``.
    kind : {"step", "layer", "decoding", "evaluation", "import", "scaling"}
    backends : tuple of str
        Those that are timed. All results are compared with the reference's, timed or not.
    compared : bool
        Whether there are results to compare.
    beside : bool
        Whether a busy process runs on every core while it is timed.
    precision : {"float32", "bfloat16"}
        What the operands of fastseq's and PyTorch's products are rounded to.
    """

    name: str
    precision: str = field(default=FLOAT32, kw_only=True)

    noun: ClassVar[str]
    kind: ClassVar[str]
    compared: ClassVar[bool] = True
    beside: ClassVar[bool] = False

    @property
    def backends(self) -> tuple[str, ...]:
        """Which backends can carry it out in float32."""
        return ("reference", "fastseq", "torch")

    @property
    def inference(self) -> bool:
        """Whether PyTorch can do it with weights in int8: a network answers."""
        return False

    @property
    def timed(self) -> tuple[str, ...]:
        """Which backends are timed.

        In bfloat16 those that have it, with fastseq's own float32 beside them, and PyTorch's int8
        where a network answers. What follows a backend's name replaces the precision of the
        workload, or the number of threads.
        """
        if self.precision == FLOAT32:
            return self.backends
        timed = ["fastseq", f"fastseq {FLOAT32}"]
        if "torch" in self.backends:
            timed += ["torch", f"torch {INT8}"] if self.inference else ["torch"]
        return tuple(timed)

    def numbers_of_threads(self, wanted: Sequence[int]) -> list[int]:
        """Those of `wanted` with which it is measured."""
        return list(wanted)

    @property
    def title(self) -> str:
        """What it is, in a line."""
        raise NotImplementedError

    @property
    def operations(self) -> Operations:
        """The operations of its products of matrices; None where it has none."""
        raise NotImplementedError

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes, by letter."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name[0].isupper()
        }

    @property
    def curve(self) -> Curve | None:
        """Which point of which scaling curve it is, if any."""
        return None

    @property
    def description(self) -> str:
        """Its title, and its precision where that is not float32."""
        if self.precision == FLOAT32:
            return self.title
        return f"{self.title}, products of {self.precision}"

    @property
    def shapes(self) -> str:
        """The sizes as text: ``N128 T29 D16 H256``."""
        return " ".join(f"{letter}{size}" for letter, size in self.sizes.items())


class LayerData(NamedTuple):
    """The arrays that a layer gets.

    Attributes
    ----------
    weights : tuple of arrays
        For its constructor.
    inputs : tuple of arrays
        For its ``forward``.
    upstream : tuple of arrays
        For its ``backward``: the gradient of its output, if it takes one.
    """

    weights: tuple[Array, ...]
    inputs: tuple[Array, ...]
    upstream: tuple[Array, ...]


@dataclass(frozen=True)
class Layer(Workload):
    """One layer, forward, and optionally backward.

    Attributes
    ----------
    backward : bool
    results : tuple of str
        Names of the arrays that `forward` returns, of those that `backward` returns, and of the
        weights' gradients.
    """

    backward: bool

    kind = "layer"
    results: ClassVar[tuple[str, ...]]

    @property
    def class_name(self) -> str:
        """The layer's class, of the same name in fastseq and in the reference."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """The class, the sizes, and which passes."""
        passes = "forward and backward" if self.backward else "forward"
        return f"{self.class_name} {self.shapes}, {passes}"

    @property
    def passes(self) -> int:
        """How often the operations of the forward pass count."""
        return 3 if self.backward else 1

    def data(self) -> LayerData:
        """Weights, inputs and gradients, in float32; the same in every process."""
        raise NotImplementedError


def float32(*arrays: Array) -> tuple[Array, ...]:
    """The arrays, as float32."""
    return tuple(array.astype(np.float32) for array in arrays)


@dataclass(frozen=True)
class Peak:
    """A product of two large float32 matrices: the peak rate of this machine's BLAS."""

    name: str = "peak"
    size: int = 2048

    @property
    def operations(self) -> int:
        """Operations of the product."""
        return product(self.size, self.size, self.size)
