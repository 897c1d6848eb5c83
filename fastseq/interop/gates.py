"""The gates in the weights of each library: their order, their biases, the sign of the update gate.

Each library stores the weights of a cell as blocks of H, one for each gate, in an order of its own.
The letters are those of fastseq:

    f forget gate, i input gate, o output gate, g candidate (Keras: c; ONNX: c)
    z update gate, r reset gate, g candidate (PyTorch: n; Keras and ONNX: h)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Convention(NamedTuple):
    """How a library stores the weights of its cells.

    Attributes
    ----------
    lstm, gru : str
        The gates, in the order of their blocks.
    z_keeps : bool
        Whether ``h' = z h + (1 - z) g``; else ``h' = (1 - z) h + z g``. As ``1 - sigmoid(a)`` is
        ``sigmoid(-a)``, negating the block of z turns one into the other.
    """

    lstm: str
    gru: str
    z_keeps: bool

    def gates(self, cell: str) -> str:
        """The gates of one of fastseq's cells, in this order."""
        return {"lstm": self.lstm, "rnn": "h"}.get(cell, self.gru)


FASTSEQ = Convention(lstm="fgio", gru="zrg", z_keeps=False)  # and the textbook
TORCH = Convention(lstm="ifgo", gru="rzg", z_keeps=True)
KERAS = Convention(lstm="ifgo", gru="zrg", z_keeps=True)
ONNX = Convention(lstm="iofg", gru="zrg", z_keeps=True)


class Weights(NamedTuple):
    """The weights of one direction of one layer, with G gates in columns.

    Attributes
    ----------
    Wx : ndarray of float, shape (D, G H)
    Wh : ndarray of float, shape (H, G H)
    bx, bh : ndarray of float, shape (G H,), or None
        The biases of the two products. Of every cell but "gru_reset_after", only their sum matters.
    """

    Wx: Array
    Wh: Array
    bx: Array | None = None
    bh: Array | None = None


def to_fastseq(convention: Convention, cell: str, weights: Weights) -> list[Array]:
    """The arrays that fastseq's cell takes.

    Parameters
    ----------
    convention : Convention
        Of the library that the weights are from.
    cell : {"rnn", "gru", "gru_reset_after", "lstm"}
    weights : Weights

    Returns
    -------
    list of ndarray of float32
        ``[Wx, Wh, b]``, of "gru_reset_after" ``[Wx, Wh, b, bh]``; new arrays.
    """
    Wx, Wh, bx, bh = weights
    zeros = np.zeros(Wx.shape[1], np.float32)
    bx = zeros if bx is None else bx
    bh = zeros if bh is None else bh
    H = len(Wh)
    if cell != "gru_reset_after":
        b, candidate = bx + bh, []
    else:  # the candidate's second bias is inside the product with r
        kept = convention.gates(cell).index("g")
        block = slice(kept * H, (kept + 1) * H)
        b = bx + bh
        b[block], candidate = bx[block], [bh[block]]
    moved = [_reorder(array, convention, FASTSEQ, cell) for array in (Wx, Wh, b)]
    new = (*moved, *(block.copy() for block in candidate))
    return [np.ascontiguousarray(array, np.float32) for array in new]


def from_fastseq(convention: Convention, cell: str, params: Sequence[Array]) -> Weights:
    """The opposite of `to_fastseq`: new arrays, of which ``bh`` is zero but for the candidate's.

    Parameters
    ----------
    convention : Convention
        Of the library that the weights are for.
    cell : {"rnn", "gru", "gru_reset_after", "lstm"}
    params : sequence of ndarray
        As `to_fastseq` returns them.
    """
    Wx, Wh, b, *candidate = (np.asarray(param, np.float32) for param in params)
    bh = np.zeros(Wx.shape[1], np.float32)
    if candidate:
        start = FASTSEQ.gates(cell).index("g") * len(Wh)
        bh[start : start + len(Wh)] = candidate[0]
    moved = (_reorder(array, FASTSEQ, convention, cell) for array in (Wx, Wh, b.reshape(-1), bh))
    return Weights(*(np.ascontiguousarray(array) for array in moved))


def _reorder(array: Array, source: Convention, target: Convention, cell: str) -> Array:
    """A new array: the blocks of the last axis in the other order, that of z negated if need be."""
    gates = source.gates(cell)
    blocks = dict(zip(gates, np.split(array, len(gates), axis=-1), strict=True))
    if "z" in blocks and source.z_keeps != target.z_keeps:
        blocks["z"] = -blocks["z"]
    return np.concatenate([blocks[gate] for gate in target.gates(cell)], axis=-1)
