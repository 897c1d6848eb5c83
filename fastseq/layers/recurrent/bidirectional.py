"""The LSTM in both directions of a sequence.

Schuster and Paliwal, "Bidirectional Recurrent Neural Networks", 1997: a second LSTM runs from the
end, and each step sees the whole sequence::

    hs = [hs1, reversed hs2]            hs1 = LSTM(xs), hs2 = LSTM(reversed xs)
"""

from typing import Any

import numpy.typing as npt

from fastseq.layers.base import fusable
from fastseq.layers.recurrent.lstm import LSTMLayer

Array = npt.NDArray[Any]


@fusable
class TimeBiLSTM(LSTMLayer):
    """Two LSTMs over a sequence, the second from its end.

    Schuster and Paliwal 1997. The equations are those of `LSTM`: gates in the order f, g, i, o.

    Parameters
    ----------
    Wx1, Wx2 : ndarray of float, shape (D, 4H)
    Wh1, Wh2 : ndarray of float, shape (H, 4H)
    b1, b2 : ndarray of float, shape (4H,)
        The weights of the first LSTM, and of the second; all six may be views.
    stateful : bool, default False
        Begin each `forward` with the states that the last one left.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx1, Wh1, b1, Wx2, Wh2, b2]``, the caller's own arrays, and their gradients after
        `backward`.
    h, c : ndarray of float32, shape (N, 2H), or None
        The states that the first LSTM, and then the second, has after its own last step; None
        before the first.
    dh, dc : ndarray of float32, shape (N, 2H), or None
        After `backward`, the gradients of their initial states.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeBiLSTM
    >>> D, H = 3, 4
    >>> weights = [np.ones((D, 4 * H), "f"), np.ones((H, 4 * H), "f"), np.zeros(4 * H, "f")]
    >>> layer = TimeBiLSTM(*weights, *weights, stateful=True)
    >>> hs = layer.forward(np.ones((2, 5, D), "f"))
    >>> hs.shape, bool((hs[:, 0, :H] == hs[:, -1, H:]).all())  # each one's first step
    ((2, 5, 8), True)
    >>> layer.backward(np.ones((2, 5, 2 * H), "f")).shape
    (2, 5, 3)
    >>> layer.set_state(np.ones((2, 2 * H), "f"))  # the next forward begins with it
    >>> layer.reset_state()  # or with zeros
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
        super().__init__([Wx1, Wh1, b1, Wx2, Wh2, b2], stateful)
