"""The LSTM: one step, and a whole sequence.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of Gers,
Schmidhuber and Cummins, "Learning to Forget", 2000.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers.base import as_array, fusable
from fastseq.layers.recurrent.cell import CellLayer
from fastseq.layers.recurrent.time_layer import TimeLayer, step_layers

Array = npt.NDArray[Any]


class LSTM(CellLayer):
    """One step of an LSTM.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000::

        A = x Wx + h_prev Wh + b            four blocks, each H wide, in the order f, g, i, o
        f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
        c = f * c_prev + g * i;             h = o * tanh(c)

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 4H)
    Wh : ndarray of float, shape (H, 4H)
    b : ndarray of float, shape (4H,)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, the caller's own arrays, and their gradients after `backward`.
    cache : object
        What `backward` needs of the last `forward`; may be kept, and set before `backward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import LSTM
    >>> D, H = 3, 2
    >>> b = np.array([9, 9, 0, 0, -9, -9, 9, 9], "f")  # keep c: f and o open, i closed
    >>> layer = LSTM(np.zeros((D, 4 * H), "f"), np.zeros((H, 4 * H), "f"), b)
    >>> h, c = layer.forward(np.ones((1, D)), np.zeros((1, H)), np.array([[0.5, 2.0]]))
    >>> c.round(2)
    array([[0.5, 2. ]], dtype=float32)
    >>> dx, dh_prev, dc_prev = layer.backward(np.ones((1, H)), np.zeros((1, H)))
    >>> dx.shape, dh_prev.shape, dc_prev.shape
    ((1, 3), (1, 2), (1, 2))
    """

    _cell = "lstm"

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        super().__init__([Wx, Wh, b])

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
        h_next, c_next = self._step(x, h_prev, as_array("c_prev", c_prev))
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
        dc_next = as_array("dc_next", dc_next)
        if dc_next.ndim == 0:
            dc_next = np.broadcast_to(dc_next, np.shape(dh_next))
        dx, dh_prev, dc_prev = self._step_backward(dh_next, dc_next)
        assert dc_prev is not None
        return dx, dh_prev, dc_prev


class LSTMLayer(TimeLayer):
    """An LSTM over a whole sequence: the state has c besides h."""

    _cell = "lstm"

    @property
    def c(self) -> Array | None:
        """The state c after the last step; None before the first."""
        return self._c

    @c.setter
    def c(self, c: Array | None) -> None:
        self._c = c

    @property
    def dc(self) -> Array | None:
        """The gradient of the initial c, after `backward`."""
        return self._dc

    @dc.setter
    def dc(self, dc: Array | None) -> None:
        self._dc = dc

    def set_state(self, h: Array, c: Array | None = None) -> None:
        """Let the next `forward` of a stateful layer begin with ``h`` and ``c``.

        Parameters
        ----------
        h : ndarray of float, shape (N, H); of two directions (N, 2H)
        c : ndarray of float, of the same shape, optional
            Zeros by default. Both are checked by `forward`.
        """
        self.h, self.c = h, c


@fusable
class TimeLSTM(LSTMLayer):
    """An LSTM over a whole sequence, of the equations of `LSTM`: gates in the order f, g, i, o.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 4H)
    Wh : ndarray of float, shape (H, 4H)
    b : ndarray of float, shape (4H,)
        All three may be views.
    stateful : bool, default False
        Begin each `forward` with the state that the last one left.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, the caller's own arrays, and their gradients after `backward`.
    h, c : ndarray of float32, shape (N, H), or None
        The state after the last step; None before the first.
    dh, dc : ndarray of float32, shape (N, H), or None
        After `backward`, the gradient of the initial state.
    layers : list of LSTM, or None
        One for each step of the last `forward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeLSTM
    >>> D, H = 3, 4
    >>> Wx, Wh, b = np.ones((D, 4 * H), "f"), np.ones((H, 4 * H), "f"), np.zeros(4 * H, "f")
    >>> layer = TimeLSTM(Wx, Wh, b, stateful=True)
    >>> hs = layer.forward(np.ones((2, 5, D), "f"))
    >>> hs.shape, bool((layer.h == hs[:, -1]).all())
    ((2, 5, 4), True)
    >>> layer.backward(np.ones((2, 5, H), "f")).shape, [grad.shape for grad in layer.grads]
    ((2, 5, 3), [(3, 16), (4, 16), (16,)])
    >>> layer.set_state(np.ones((2, H), "f"))  # the next forward begins with it, and a c of zeros
    >>> layer.reset_state()  # or with zeros
    """

    layers = step_layers(lambda layer: LSTM(*layer.params))

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        super().__init__([Wx, Wh, b], stateful)
