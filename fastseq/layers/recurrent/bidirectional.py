"""The LSTM in both directions of a sequence.

Schuster and Paliwal, "Bidirectional Recurrent Neural Networks", 1997: a second LSTM runs from the
end, and each step sees the whole sequence::

    hs = [hs1, reversed hs2]            hs1 = LSTM(xs), hs2 = LSTM(reversed xs)
"""

from typing import Any

import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import (
    check_batch_size,
    check_recurrent_weights,
    checked,
    zero_gradients,
)
from fastseq.layers.recurrent.lstm import EmbeddedInputs

Array = npt.NDArray[Any]


class TimeBiLSTM:
    """Two LSTMs over a sequence, the second from its end.

    Parameters
    ----------
    Wx1, Wx2 : ndarray of float, shape (D, 4H)
    Wh1, Wh2 : ndarray of float, shape (H, 4H)
    b1, b2 : ndarray of float, shape (4H,)
        The weights of the first LSTM, and of the second; all six may be views.
    stateful : bool, default False
        Start each `forward` from the states that the last one left.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx1, Wh1, b1, Wx2, Wh2, b2]``, the caller's own arrays, and their gradients after
        `backward`.
    h, c : ndarray of float32, shape (N, 2H), or None
        The states that the first LSTM, and then the second, has after its own last step; None
        before the first.
    dh, dc : ndarray of float32, shape (N, 2H), or None
        After `backward`, the gradients of the states they started from.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.
    """

    def __init__(
        self,
        Wx1: Array,
        Wh1: Array,
        b1: Array,
        Wx2: Array,
        Wh2: Array,
        b2: Array,
        stateful: bool = False,
    ) -> None:
        self.params = [Wx1, Wh1, b1, Wx2, Wh2, b2]
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
        """Run the sequence both ways.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, D)

        Returns
        -------
        ndarray of float32, shape (N, T, 2H)
            The hidden states of both LSTMs at all steps.

        Raises
        ------
        TypeError, ValueError
            ``xs`` is of the wrong kind or shape, or a stateful layer holds the states of another
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
        dhs : ndarray of float, shape (N, T, 2H)

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
        """Let the next `forward` of a stateful layer start from ``h`` and ``c`` (zeros if None).

        Both are of shape (N, 2H): the state of the first LSTM, then that of the second.
        """
        self.h, self.c = h, c

    def reset_state(self) -> None:
        """Let the next `forward` start from zeros."""
        self.h, self.c = None, None
