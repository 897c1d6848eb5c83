"""Recurrent layers over a whole sequence, and how their time grows with each size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastseq._kernels import CELLS
from fastseq.bench.workloads.base import SEED, Curve, Layer, LayerData, float32, product

# The cell of each class.
CELL = {"TimeLSTM": "lstm", "TimeBiLSTM": "lstm", "TimeGRU": "gru", "TimeRNN": "rnn"}


def recurrent_operations(N: int, T: int, D: int, H: int, cell: str = "lstm") -> int:
    """Forward: ``x·Wx`` and ``h·Wh`` at every step."""
    columns = CELLS[cell].gates * H
    return T * (product(N, D, columns) + product(N, H, columns))


@dataclass(frozen=True)
class RecurrentLayer(Layer):
    """A layer of `CELL` over a sequence."""

    layer: str
    N: int
    T: int
    D: int
    H: int

    noun = "recurrent"
    results: ClassVar = ("hs", "dxs", "dWx", "dWh", "db", "dWx2", "dWh2", "db2")

    @property
    def class_name(self) -> str:
        """The layer's class."""
        return self.layer

    @property
    def backends(self) -> tuple[str, ...]:
        """PyTorch's GRU is another one: its reset gate acts after the product."""
        if self.layer == "TimeGRU":
            return ("reference", "fastseq")
        if self.layer == "TimeLSTM":
            return ("reference", "fastseq", "torch", "jax")
        return ("reference", "fastseq", "torch")

    @property
    def inference(self) -> bool:
        """PyTorch has int8 for the weights of an LSTM."""
        return self.layer == "TimeLSTM" and not self.backward

    @property
    def directions(self) -> int:
        """2 where the layer is bidirectional."""
        return 2 if self.layer == "TimeBiLSTM" else 1

    @property
    def operations(self) -> int:
        """Operations of the layer."""
        forward = recurrent_operations(self.N, self.T, self.D, self.H, CELL[self.layer])
        return self.passes * self.directions * forward

    def data(self) -> LayerData:
        """Weights Wx, Wh, b as the models draw them, input xs and gradient dhs."""
        N, T, D, H = self.N, self.T, self.D, self.H
        columns = CELLS[CELL[self.layer]].gates * H
        random = np.random.RandomState(SEED)
        weights = [
            weight
            for _ in range(self.directions)
            for weight in (
                random.randn(D, columns) / np.sqrt(D),
                random.randn(H, columns) / np.sqrt(H),
                np.zeros(columns),
            )
        ]
        xs, dhs = random.randn(N, T, D), random.randn(N, T, self.directions * H)
        return LayerData(float32(*weights), float32(xs), float32(dhs))


@dataclass(frozen=True)
class ScalingPoint(RecurrentLayer):
    """A layer of which one size takes several values while the others are constant.

    Attributes
    ----------
    of : str
        The workload that has the usual sizes.
    letter : str
        The size that varies.
    """

    of: str
    letter: str

    noun = "scaling"
    kind = "scaling"

    @property
    def backends(self) -> tuple[str, ...]:
        """Those of which the report shows a curve."""
        return ("reference", "fastseq", "torch")

    @property
    def curve(self) -> Curve:
        """The point of the curve."""
        return Curve(self.of, self.letter, self.sizes[self.letter])


def _scaling_points() -> tuple[ScalingPoint, ...]:
    usual: dict[str, Any] = {"N": 128, "T": 29, "D": 16, "H": 256}
    values = {"N": (1, 4, 16, 64, 256), "T": (1, 4, 16, 64), "H": (32, 64, 128, 256, 512)}
    return tuple(
        ScalingPoint(
            f"lstm-both-{letter}{size}",
            backward=True,
            layer="TimeLSTM",
            of="lstm-both",
            letter=letter,
            **{**usual, letter: size},
        )
        for letter, sizes in values.items()
        for size in sizes
    )


def _layer(name: str, layer: str, N: int, T: int, D: int, H: int) -> RecurrentLayer:
    return RecurrentLayer(name, name.endswith("-both"), layer, N, T, D, H)


RECURRENT = (
    _layer("lstm-forward", "TimeLSTM", N=128, T=29, D=16, H=256),
    _layer("lstm-both", "TimeLSTM", N=128, T=29, D=16, H=256),
    _layer("lstm-small-both", "TimeLSTM", N=32, T=30, D=64, H=256),
    _layer("lstm-wide-forward", "TimeLSTM", N=128, T=29, D=16, H=512),
    _layer("lstm-large-forward", "TimeLSTM", N=32, T=30, D=64, H=1024),
    _layer("lstm-large-both", "TimeLSTM", N=32, T=30, D=64, H=1024),
    _layer("lstm-row", "TimeLSTM", N=1, T=30, D=16, H=256),
    _layer("gru-forward", "TimeGRU", N=128, T=29, D=16, H=256),
    _layer("gru-both", "TimeGRU", N=128, T=29, D=16, H=256),
    _layer("rnn-forward", "TimeRNN", N=128, T=29, D=16, H=256),
    _layer("rnn-both", "TimeRNN", N=128, T=29, D=16, H=256),
    _layer("bilstm-both", "TimeBiLSTM", N=128, T=29, D=16, H=128),
)
SCALING = _scaling_points()
