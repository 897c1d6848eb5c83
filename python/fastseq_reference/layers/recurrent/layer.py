"""A recurrent layer of any cell, over padded sequences, in one direction or in both."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.recurrent.gru import GRU
from fastseq_reference.layers.recurrent.lstm import LSTM
from fastseq_reference.layers.recurrent.rnn import RNN

Array = npt.NDArray[Any]


def _gru_reset_after(Wx: Array, Wh: Array, b: Array, bh: Array) -> GRU:
    return GRU(Wx, Wh, b, reset_after=True, bh=bh)


_CELLS: dict[str, Any] = {
    "rnn": RNN,
    "gru": GRU,
    "gru_reset_after": _gru_reset_after,
    "lstm": LSTM,
}


class RecurrentLayer:
    """One row after the other, one direction after the other, one cell for each step.

    K below is the number of directions; of two, the second takes each row from its last step to its
    first, and the states of both lie side by side. Gates in the order f, g, i, o (LSTM) or z, r, g
    (both GRUs).

    Parameters
    ----------
    cell : "rnn", "gru", "gru_reset_after" or "lstm"
    params : sequence of arrays
        ``[Wx, Wh, b]`` of shapes (D, G H), (H, G H) and (G H,) with G = 1, 3 or 4 gates, for each
        direction; of "gru_reset_after" ``[Wx, Wh, b, bh]``, with ``bh`` of shape (H,).

    References
    ----------
    M. Schuster and K. K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
    Signal Processing 45(11), 1997.
    """

    def __init__(self, cell: str, params: Sequence[Array]) -> None:
        self.cell = cell
        self.params: list[Array] = list(params)
        self.grads: list[Array] = [np.zeros_like(param) for param in params]
        self._count = 4 if cell == "gru_reset_after" else 3  # arrays of one direction
        self.layers: list[tuple[int, int, list[tuple[int, Any]]]] | None = None

    def forward(
        self,
        xs: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        lengths: Array | None = None,
    ) -> tuple[Array, Array, Array | None]:
        """Run the sequences.

        Parameters
        ----------
        xs : (N, T, D) array
        h0, c0 : (N, K H) arrays, optional
            The states before the first step; zeros by default.
        lengths : (N,) integer array, optional
            The steps of each row; T each by default.

        Returns
        -------
        hs : (N, T, K H) array
            ``h`` of every step, 0 past a row's length.
        h, c : (N, K H) arrays
            After each row's last step; ``c`` is None but for the LSTM.
        """
        N, T, _ = xs.shape
        H = self.params[1].shape[0]
        directions = len(self.params) // self._count
        width = directions * H
        dtype = self.params[0].dtype

        hs = np.zeros((N, T, width), dtype=dtype)
        h = np.zeros((N, width), dtype=dtype) if h0 is None else h0.copy()
        c = np.zeros((N, width), dtype=dtype) if c0 is None else c0.copy()
        self.layers = []
        for n in range(N):
            steps = range(T if lengths is None else int(lengths[n]))
            for k in range(directions):
                weights = self.params[self._count * k : self._count * (k + 1)]
                row, columns = slice(n, n + 1), slice(k * H, (k + 1) * H)
                cells = []
                for t in steps if k == 0 else reversed(steps):
                    cell = _CELLS[self.cell](*weights)
                    if self.cell == "lstm":
                        h[row, columns], c[row, columns] = cell.forward(
                            xs[row, t], h[row, columns].copy(), c[row, columns].copy()
                        )
                    else:
                        h[row, columns] = cell.forward(xs[row, t], h[row, columns].copy())
                    hs[row, t, columns] = h[row, columns]
                    cells.append((t, cell))
                self.layers.append((n, k, cells))
        return hs, h, c if self.cell == "lstm" else None

    def backward(
        self, dhs: Array, dh: Array | None = None, dc: Array | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Gradient through time, of each row and direction; ``grads`` are overwritten.

        Parameters
        ----------
        dhs : (N, T, K H) array
        dh, dc : (N, K H) arrays, optional
            The gradients of the last states; zeros by default.

        Returns
        -------
        dxs : (N, T, D) array
            0 past a row's length.
        dh0, dc0 : (N, K H) arrays
            ``dc0`` is None but for the LSTM.

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("RecurrentLayer.backward was called before forward")
        N, T, width = dhs.shape
        D, H = self.params[0].shape[0], self.params[1].shape[0]
        dtype = self.params[0].dtype

        dxs = np.zeros((N, T, D), dtype=dtype)
        dh = np.zeros((N, width), dtype=dtype) if dh is None else dh.copy()
        dc = np.zeros((N, width), dtype=dtype) if dc is None else dc.copy()
        for grad in self.grads:
            grad[...] = 0
        for n, k, cells in self.layers:
            row, columns = slice(n, n + 1), slice(k * H, (k + 1) * H)
            for t, cell in reversed(cells):
                # h_t is used twice: as the output of step t and as the input of the step after it
                dh_next = dhs[row, t, columns] + dh[row, columns]
                if self.cell == "lstm":
                    dx, dh[row, columns], dc[row, columns] = cell.backward(
                        dh_next, dc[row, columns].copy()
                    )
                else:
                    dx, dh[row, columns] = cell.backward(dh_next)
                dxs[row, t] += dx
                grads = self.grads[self._count * k : self._count * (k + 1)]
                for grad, step_grad in zip(grads, cell.grads, strict=True):
                    grad += step_grad
        return dxs, dh, dc if self.cell == "lstm" else None
