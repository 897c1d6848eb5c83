"""A recurrent layer of any cell, over packed sequences, in one direction or in both.

The cells are those of `RNN`, `LSTM` and both variants of `GRU`. Of two directions, the second takes
each row from its last step to its first (Schuster and Paliwal, "Bidirectional Recurrent Neural
Networks", 1997), and the states of both lie side by side.
"""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import as_list, check_choice
from fastseq.layers.recurrent.base import RecurrentBase

Array = npt.NDArray[Any]


class RecurrentLayer(RecurrentBase):
    """A recurrent layer over whole sequences, which keeps no state between two of them.

    K below is the number of directions, G the number of the cell's gates: 1 of the plain RNN, 3 of
    both GRUs (in the order z, r, g), 4 of the LSTM (f, g, i, o). A row gives the same result alone,
    padded, or anywhere in a batch.

    Parameters
    ----------
    cell : {"rnn", "gru", "gru_reset_after", "lstm"}
    params : sequence of ndarray of float
        ``[Wx, Wh, b]`` of shapes (D, G H), (H, G H) and (G H,), for each direction; of
        "gru_reset_after" ``[Wx, Wh, b, bh]``, with ``bh`` of shape (H,). All may be views.

    Attributes
    ----------
    cell : str
    params, grads : list of ndarray
        The caller's own arrays, and their gradients after `backward`.

    Raises
    ------
    TypeError, ValueError
        There is no such cell; or a weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import RecurrentLayer
    >>> D, H = 3, 4
    >>> weights = [np.ones((D, 4 * H), "f"), np.ones((H, 4 * H), "f"), np.zeros(4 * H, "f")]
    >>> layer = RecurrentLayer("lstm", weights + weights)  # two directions
    >>> hs, h, c = layer.forward(np.ones((2, 5, D), "f"), lengths=np.array([5, 2]))
    >>> hs.shape, h.shape, bool((hs[1, 2:] == 0).all())
    ((2, 5, 8), (2, 8), True)
    >>> dxs, dh0, dc0 = layer.backward(np.ones((2, 5, 2 * H), "f"))
    >>> dxs.shape, dh0.shape
    ((2, 5, 3), (2, 8))
    """

    def __init__(self, cell: str, params: Sequence[Array]) -> None:
        check_choice("cell", cell, _kernels.CELLS)
        params = as_list("params", params)
        count = len(_kernels.CELLS[cell].weights)
        if len(params) not in (count, 2 * count):
            raise ValueError(
                f"params: expected {count} arrays, or {2 * count} for two directions, "
                f"got {len(params)}"
            )
        self.cell = self._cell = cell
        super().__init__(params)

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
        xs : ndarray of float, shape (N, T, D)
            What lies past a row's length is not read.
        h0, c0 : ndarray of float, shape (N, K H), optional
            The states before the first step; zeros by default. Only the LSTM has ``c0``.
        lengths : ndarray of int, shape (N,), optional
            How many steps each row has, from 0 to T; T each by default.

        Returns
        -------
        hs : ndarray of float32, shape (N, T, K H)
            The hidden states after each step, 0 past a row's length.
        h : ndarray of float32, shape (N, K H)
            Those after each row's last step.
        c : ndarray of float32, shape (N, K H), or None
            The LSTM's other states after each row's last step.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape, or a length is out of range.
        """
        return self._recurrence.forward(self.params, xs, h0, c0, lengths)

    def backward(
        self, dhs: Array, dh: Array | None = None, dc: Array | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Gradients of the inputs; ``grads`` receive those of the weights.

        Parameters
        ----------
        dhs : ndarray of float, shape (N, T, K H)
            What lies past a row's length is not read.
        dh, dc : ndarray of float, shape (N, K H), optional
            The gradients of the last states; zeros by default.

        Returns
        -------
        dxs : ndarray of float32, shape (N, T, D)
            0 past a row's length.
        dh0 : ndarray of float32, shape (N, K H)
        dc0 : ndarray of float32, shape (N, K H), or None

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        dxs, _, dh0, dc0 = self._recurrence.backward(self.params, self.grads, dhs, dh, dc)
        assert dxs is not None
        return dxs, dh0, dc0
