"""The LSTM: one step, and a whole sequence.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of Gers,
Schmidhuber and Cummins, "Learning to Forget", 2000::

    A = x Wx + h_prev Wh + b            four blocks, each H wide, in the order f, g, i, o
    f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
    c = f * c_prev + g * i;             h = o * tanh(c)
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import (
    as_array,
    check_batch_size,
    check_recurrent_weights,
    checked,
    side_by_side,
    zero_gradients,
)

Array = npt.NDArray[Any]


class LSTM:
    """One step of an LSTM.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 4H)
    Wh : ndarray of float, shape (H, 4H)
    b : ndarray of float, shape (4H,)

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
        self.params = [Wx, Wh, b]
        check_recurrent_weights("lstm", self.params)
        self.grads = zero_gradients(self.params)
        self._workspace = _kernels.Workspace()

    def forward(self, x: Array, h_prev: Array, c_prev: Array) -> tuple[Array, Array]:
        """Advance the state by one step.

        Parameters
        ----------
        x : ndarray of float, shape (N, D)
        h_prev, c_prev : ndarray of float, shape (N, H)

        Returns
        -------
        h_next, c_next : ndarray of float32, shape (N, H)

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        Wx, Wh, _ = self.params
        x = checked("x", x, "(N, D)", None, len(Wx))
        h_prev = checked("h_prev", h_prev, "(N, H)", len(x), len(Wh))
        c_prev = checked("c_prev", c_prev, "(N, H)", len(x), len(Wh))
        _, h_next, c_next = _kernels.recurrent_forward(
            self._workspace, "lstm", x[:, np.newaxis], self.params, h_prev, c_prev
        )
        assert c_next is not None
        return h_next, c_next

    def backward(self, dh_next: Array, dc_next: Array | float) -> tuple[Array, Array, Array]:
        """Gradients of the inputs; ``grads`` receive those of the weights.

        Parameters
        ----------
        dh_next : ndarray of float, shape (N, H)
        dc_next : ndarray of float, shape (N, H); or a number, for all of it
            The textbook's loop over time begins with 0.

        Returns
        -------
        dx : ndarray of float32, shape (N, D)
        dh_prev, dc_prev : ndarray of float32, shape (N, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        Wh = self.params[1]
        dh_next = checked("dh_next", dh_next, "(N, H)", None, len(Wh))
        dc_next = as_array("dc_next", dc_next)
        if dc_next.ndim == 0:
            dc_next = np.broadcast_to(dc_next, dh_next.shape)
        dc_next = checked("dc_next", dc_next, "(N, H)", len(dh_next), len(Wh))
        dxs, dh_prev, dc_prev = _kernels.recurrent_backward(
            self._workspace, dh_next[:, np.newaxis], self.params, self.grads, dc=dc_next
        )
        assert dxs is not None
        assert dc_prev is not None
        return dxs[:, 0], dh_prev, dc_prev


class EmbeddedInputs(NamedTuple):
    """What an LSTM read in a pass together with its embedding: see `fused.embedded_forward`."""

    E: Array  # (V, D)
    ids: Array  # (N, T)
    context: Array | None  # (N, C)
    h: Array | None  # the state before the first step
    c: Array | None

    def run_alone(self, workspace: _kernels.Workspace, params: list[Array]) -> None:
        """The same forward pass of the LSTM alone, so that its own backward pass can follow."""
        xs = _kernels.embedding_forward(self.E, self.ids)
        if self.context is not None:
            xs = side_by_side(self.context, xs)
        _kernels.recurrent_forward(workspace, "lstm", xs, params, self.h, self.c)


class TimeLSTM:
    """An LSTM over a whole sequence.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 4H)
    Wh : ndarray of float, shape (H, 4H)
    b : ndarray of float, shape (4H,)
        All three may be views.
    stateful : bool, default False
        Start each `forward` from the state that the last one left.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, the caller's own arrays, and their gradients after `backward`.
    h, c : ndarray of float32, shape (N, H), or None
        The state after the last step; None before the first.
    dh, dc : ndarray of float32, shape (N, H), or None
        After `backward`, the gradient of the state the sequence started from.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        self.params = [Wx, Wh, b]
        check_recurrent_weights("lstm", self.params)
        self.grads = zero_gradients(self.params)
        self.stateful = stateful
        self.h: Array | None = None
        self.c: Array | None = None
        self.dh: Array | None = None
        self.dc: Array | None = None
        self._workspace = _kernels.Workspace()
        self._embedded: EmbeddedInputs | None = None

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
        h, c = (self.h, self.c) if self.stateful else (None, None)
        check_batch_size(xs, h)
        self._embedded = None
        hs, self.h, self.c = _kernels.recurrent_forward(
            self._workspace, "lstm", xs, self.params, h, c
        )
        return hs

    def backward(self, dhs: Array) -> Array:
        """Gradient of ``xs``; ``grads``, ``dh`` and ``dc`` receive the others.

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
        if self._embedded is not None:
            self._embedded.run_alone(self._workspace, self.params)
            self._embedded = None
        dxs, self.dh, self.dc = _kernels.recurrent_backward(
            self._workspace, dhs, self.params, self.grads
        )
        assert dxs is not None
        return dxs

    def set_state(self, h: Array, c: Array | None = None) -> None:
        """Let the next `forward` of a stateful layer start from ``h`` and ``c`` (zeros if None)."""
        self.h, self.c = h, c

    def reset_state(self) -> None:
        """Let the next `forward` start from zeros."""
        self.h, self.c = None, None
