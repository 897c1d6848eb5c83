"""The recurrent cells: their weights, and layers whose arguments are these weights in order."""

from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq_reference
from fastseq.layers import GRU, LSTM, RNN, TimeGRU, TimeLSTM, TimeRNN

Array = npt.NDArray[Any]

# From the definitions, not from the kernels.
GATES = {"rnn": 1, "gru": 3, "gru_reset_after": 3, "lstm": 4}


def weight_shapes(cell: str, D: int, H: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of one direction."""
    columns = GATES[cell] * H
    shapes: dict[str, tuple[int, ...]] = {"Wx": (D, columns), "Wh": (H, columns), "b": (columns,)}
    return {**shapes, "bh": (H,)} if cell == "gru_reset_after" else shapes


def draw_weights(rng: np.random.Generator, cell: str, D: int, H: int) -> list[Array]:
    """Float32 weights of one direction, of a magnitude that does not saturate the gates."""
    scale = {"Wx": 1 / np.sqrt(max(D, 1)), "Wh": 1 / np.sqrt(max(H, 1)), "b": 1 / 4, "bh": 1 / 4}
    return [
        (rng.normal(size=shape) * scale[name]).astype(np.float32)
        for name, shape in weight_shapes(cell, D, H).items()
    ]


class GRUResetAfter(GRU):
    def __init__(self, Wx: Array, Wh: Array, b: Array, bh: Array) -> None:
        super().__init__(Wx, Wh, b, reset_after=True, bh=bh)


class TimeGRUResetAfter(TimeGRU):
    def __init__(self, Wx: Array, Wh: Array, b: Array, bh: Array, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b, stateful, reset_after=True, bh=bh)


class ReferenceGRUResetAfter(fastseq_reference.GRU):
    def __init__(self, Wx: Array, Wh: Array, b: Array, bh: Array) -> None:
        super().__init__(Wx, Wh, b, reset_after=True, bh=bh)


class ReferenceTimeGRUResetAfter(fastseq_reference.TimeGRU):
    def __init__(self, Wx: Array, Wh: Array, b: Array, bh: Array, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b, stateful, reset_after=True, bh=bh)


STEPS: dict[str, Any] = {"rnn": RNN, "gru": GRU, "gru_reset_after": GRUResetAfter, "lstm": LSTM}
SEQUENCES: dict[str, Any] = {
    "rnn": TimeRNN,
    "gru": TimeGRU,
    "gru_reset_after": TimeGRUResetAfter,
    "lstm": TimeLSTM,
}
REFERENCE_STEPS: dict[str, Any] = {
    "rnn": fastseq_reference.RNN,
    "gru": fastseq_reference.GRU,
    "gru_reset_after": ReferenceGRUResetAfter,
    "lstm": fastseq_reference.LSTM,
}
REFERENCE_SEQUENCES: dict[str, Any] = {
    "rnn": fastseq_reference.TimeRNN,
    "gru": fastseq_reference.TimeGRU,
    "gru_reset_after": ReferenceTimeGRUResetAfter,
    "lstm": fastseq_reference.TimeLSTM,
}
