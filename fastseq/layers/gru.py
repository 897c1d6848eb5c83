"""The gated recurrent unit: one step, and a whole sequence.

Cho et al., "Learning Phrase Representations using GRU Encoder-Decoder for Statistical Machine
Translation", 2014: the reset gate acts before the product; here z multiplies the candidate::

    z, r  = sigmoid(x Wx + h_prev Wh + b)           their blocks, each H wide, in the order z, r, h
    h_hat = tanh(x Wx + (r * h_prev) Wh + b)        the third
    h     = (1 - z) * h_prev + z * h_hat
"""

from fastseq.layers.hidden_state import Cell, TimeCell


class GRU(Cell):
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

    _cell = "gru"
    _blocks = 3


class TimeGRU(TimeCell):
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

    _cell = "gru"
    _blocks = 3
