"""What the layers share whose state is one hidden vector: one step, and a whole sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import (
    check_batch_size,
    check_recurrent_weights,
    checked,
    zero_gradients,
)

Array = npt.NDArray[Any]


class Cell:
    """One step of a cell of `_kernels.CELLS`, with the weights that it has."""

    def __init__(self, cell: str, params: list[Array]) -> None:
        check_recurrent_weights(cell, params)
        self.params = params
        self.grads = zero_gradients(self.params)
        self._cell = cell
        self._workspace = _kernels.Workspace()

    def forward(self, x: Array, h_prev: Array) -> Array:
        """Advance the state by one step.

        Parameters
        ----------
        x : ndarray of float, shape (N, D)
        h_prev : ndarray of float, shape (N, H)

        Returns
        -------
        ndarray of float32, shape (N, H)

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        Wx, Wh = self.params[:2]
        x = checked("x", x, "(N, D)", None, len(Wx))
        h_prev = checked("h_prev", h_prev, "(N, H)", len(x), len(Wh))
        _, h_next, _ = _kernels.recurrent_forward(
            self._workspace, self._cell, x[:, np.newaxis], self.params, h_prev
        )
        return h_next

    def backward(self, dh_next: Array) -> tuple[Array, Array]:
        """Gradients of the inputs; ``grads`` receive those of the weights.

        Parameters
        ----------
        dh_next : ndarray of float, shape (N, H)

        Returns
        -------
        dx : ndarray of float32, shape (N, D)
        dh_prev : ndarray of float32, shape (N, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        dh_next = checked("dh_next", dh_next, "(N, H)", None, len(self.params[1]))
        dxs, dh_prev, _ = _kernels.recurrent_backward(
            self._workspace, dh_next[:, np.newaxis], self.params, self.grads
        )
        assert dxs is not None
        return dxs[:, 0], dh_prev


class TimeCell:
    """A whole sequence of steps of a cell of `_kernels.CELLS`, with the weights that it has."""

    def __init__(self, cell: str, params: list[Array], stateful: bool) -> None:
        check_recurrent_weights(cell, params)
        self.params = params
        self.grads = zero_gradients(self.params)
        self.stateful = stateful
        self._cell = cell
        self.h: Array | None = None
        self.dh: Array | None = None
        self._workspace = _kernels.Workspace()

    def forward(self, xs: Array) -> Array:
        """Run the sequence.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, D)

        Returns
        -------
        ndarray of float32, shape (N, T, H)
            The hidden states of all steps.

        Raises
        ------
        TypeError, ValueError
            ``xs`` is of the wrong kind or shape, or a stateful layer holds the state of another
            batch size.
        """
        xs = checked("xs", xs, "(N, T, D)", None, None, len(self.params[0]))
        h = self.h if self.stateful else None
        check_batch_size(xs, h)
        hs, self.h, _ = _kernels.recurrent_forward(self._workspace, self._cell, xs, self.params, h)
        return hs

    def backward(self, dhs: Array) -> Array:
        """Gradient of ``xs``; ``grads`` and ``dh`` receive the others.

        No gradient flows into an earlier `forward` (truncated backpropagation through time).

        Parameters
        ----------
        dhs : ndarray of float, shape (N, T, H)

        Returns
        -------
        ndarray of float32, shape (N, T, D)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        dxs, self.dh, _ = _kernels.recurrent_backward(self._workspace, dhs, self.params, self.grads)
        assert dxs is not None
        return dxs

    def set_state(self, h: Array) -> None:
        """Let the next `forward` of a stateful layer start from ``h``."""
        self.h = h

    def reset_state(self) -> None:
        """Let the next `forward` start from zeros."""
        self.h = None
