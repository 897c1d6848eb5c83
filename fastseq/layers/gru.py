"""The gated recurrent unit: one step, and a whole sequence.

Cho et al., "Learning Phrase Representations using GRU Encoder-Decoder for Statistical Machine
Translation", 2014: the reset gate acts before the product; here z multiplies the candidate::

    z, r  = sigmoid(x Wx + h_prev Wh + b)           their blocks, each H wide, in the order z, r, h
    h_hat = tanh(x Wx + (r * h_prev) Wh + b)        the third
    h     = (1 - z) * h_prev + z * h_hat
"""

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


class GRU:
    """One step of a gated recurrent unit.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 3H)
    Wh : ndarray of float, shape (H, 3H)
    b : ndarray of float, shape (3H,)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, the caller's own arrays, and their gradients after `backward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        check_recurrent_weights(Wx, Wh, b, blocks=3)
        self.params = [Wx, Wh, b]
        self.grads = zero_gradients(self.params)
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
        Wx, Wh, b = self.params
        x = checked("x", x, "(N, D)", None, len(Wx))
        h_prev = checked("h_prev", h_prev, "(N, H)", len(x), len(Wh))
        _, h_next = _kernels.gru_forward(self._workspace, x[:, np.newaxis], Wx, Wh, b, h_prev)
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
        Wx, Wh, _ = self.params
        dh_next = checked("dh_next", dh_next, "(N, H)", None, len(Wh))
        dxs, dh_prev = _kernels.gru_backward(
            self._workspace, dh_next[:, np.newaxis], Wx, Wh, *self.grads
        )
        return dxs[:, 0], dh_prev


class TimeGRU:
    """A gated recurrent unit over a whole sequence.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 3H)
    Wh : ndarray of float, shape (H, 3H)
    b : ndarray of float, shape (3H,)
        All three may be views.
    stateful : bool, default False
        Start each `forward` from the state that the last one left.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, the caller's own arrays, and their gradients after `backward`.
    h : ndarray of float32, shape (N, H), or None
        The state after the last step; None before the first.
    dh : ndarray of float32, shape (N, H), or None
        After `backward`, the gradient of the state the sequence started from.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        check_recurrent_weights(Wx, Wh, b, blocks=3)
        self.params = [Wx, Wh, b]
        self.grads = zero_gradients(self.params)
        self.stateful = stateful
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
        Wx, Wh, b = self.params
        xs = checked("xs", xs, "(N, T, D)", None, None, len(Wx))
        h = self.h if self.stateful else None
        check_batch_size(xs, h)
        hs, self.h = _kernels.gru_forward(self._workspace, xs, Wx, Wh, b, h)
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
        Wx, Wh, _ = self.params
        dxs, self.dh = _kernels.gru_backward(self._workspace, dhs, Wx, Wh, *self.grads)
        return dxs

    def set_state(self, h: Array) -> None:
        """Let the next `forward` of a stateful layer start from ``h``."""
        self.h = h

    def reset_state(self) -> None:
        """Let the next `forward` start from zeros."""
        self.h = None
