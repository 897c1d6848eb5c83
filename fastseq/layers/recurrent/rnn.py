"""The simple recurrent network: one step, and a whole sequence.

Elman, "Finding Structure in Time", 1990::

    h = tanh(h_prev Wh + x Wx + b)
"""

from typing import Any

import numpy.typing as npt

from fastseq.layers.base import fusable
from fastseq.layers.recurrent.cell import HiddenStateCell
from fastseq.layers.recurrent.time_layer import TimeLayer, step_layers

Array = npt.NDArray[Any]


class RNN(HiddenStateCell):
    """One step of a simple recurrent network: ``h = tanh(h_prev Wh + x Wx + b)``.

    Elman 1990. There are no gates.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, H)
    Wh : ndarray of float, shape (H, H)
    b : ndarray of float, shape (H,)

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
    >>> from fastseq.layers import RNN
    >>> D, H = 3, 4
    >>> layer = RNN(np.ones((D, H), "f"), np.ones((H, H), "f"), np.zeros(H, "f"))
    >>> h = layer.forward(np.ones((2, D), "f"), np.zeros((2, H), "f"))
    >>> h.shape, h[0, 0].round(2)  # tanh(3)
    ((2, 4), np.float32(1.0))
    >>> dx, dh_prev = layer.backward(np.ones((2, H), "f"))
    >>> dx.shape, dh_prev.shape
    ((2, 3), (2, 4))
    """

    _cell = "rnn"

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        super().__init__([Wx, Wh, b])


@fusable
class TimeRNN(TimeLayer):
    """A simple recurrent network over a whole sequence, of the equation of `RNN`.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, H)
    Wh : ndarray of float, shape (H, H)
    b : ndarray of float, shape (H,)
        All three may be views.
    stateful : bool, default False
        Begin each `forward` with the state that the last one left.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, the caller's own arrays, and their gradients after `backward`.
    h : ndarray of float32, shape (N, H), or None
        The state after the last step; None before the first.
    dh : ndarray of float32, shape (N, H), or None
        After `backward`, the gradient of the initial state.
    layers : list of RNN, or None
        One for each step of the last `forward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeRNN
    >>> D, H = 3, 4
    >>> layer = TimeRNN(np.ones((D, H), "f"), np.ones((H, H), "f"), np.zeros(H, "f"), stateful=True)
    >>> layer.forward(np.ones((2, 5, D), "f")).shape
    (2, 5, 4)
    >>> layer.backward(np.ones((2, 5, H), "f")).shape, layer.dh.shape
    ((2, 5, 3), (2, 4))
    >>> layer.set_state(np.ones((2, H), "f"))  # the next forward begins with it
    >>> layer.reset_state()  # or with zeros
    """

    _cell = "rnn"
    layers = step_layers(lambda layer: RNN(*layer.params))

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        super().__init__([Wx, Wh, b], stateful)
