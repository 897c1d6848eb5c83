"""The simple recurrent network: one step, and a whole sequence.

Elman, "Finding Structure in Time", 1990::

    h = tanh(h_prev Wh + x Wx + b)
"""

from typing import Any

import numpy.typing as npt

from fastseq.layers.recurrent.time_layer import Cell, TimeCell

Array = npt.NDArray[Any]


class RNN(Cell):
    """One step of a simple recurrent network.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, H)
    Wh : ndarray of float, shape (H, H)
    b : ndarray of float, shape (H,)

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
        super().__init__("rnn", [Wx, Wh, b])


class TimeRNN(TimeCell):
    """A simple recurrent network over a whole sequence.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, H)
    Wh : ndarray of float, shape (H, H)
    b : ndarray of float, shape (H,)
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
        super().__init__("rnn", [Wx, Wh, b], stateful)
