"""The gated recurrent unit: one step, and a whole sequence.

Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
Translation", 2014, in two variants. The textbook's resets before the product (arXiv 1406.1078v3);
with ``reset_after`` it resets after the product (arXiv 1406.1078v1), as cuDNN and PyTorch do, Keras
by default, and ONNX with ``linear_before_reset=1``. In the paper, and in all of these, z multiplies
``h_prev``; here it multiplies g. The equations are those in `GRU`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers.base import as_array, fusable
from fastseq.layers.recurrent.cell import HiddenStateCell
from fastseq.layers.recurrent.time_layer import TimeLayer, step_layers

Array = npt.NDArray[Any]


class GRU(HiddenStateCell):
    """One step of a gated recurrent unit.

    Cho et al. 2014, with blocks in the order z, r, g, each H wide::

        z, r = sigmoid(x Wx + h_prev Wh + b)
        g    = tanh(x Wx + (r * h_prev) Wh + b)           the textbook's, arXiv 1406.1078v3
        g    = tanh(x Wx + b + r * (h_prev Wh + bh))      with reset_after, arXiv 1406.1078v1
        h    = (1 - z) * h_prev + z * g

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 3H)
    Wh : ndarray of float, shape (H, 3H)
    b : ndarray of float, shape (3H,), optional
        Without it the gates have no bias, as in the textbook's first edition, and `params` are
        ``[Wx, Wh]``.
    reset_after : bool, default False
        Let the reset gate act after the product.
    bh : ndarray of float, shape (H,), optional
        Only with ``reset_after``: the bias that the reset gate scales; zeros by default, of the
        dtype of ``Wx``.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, with ``reset_after`` ``[Wx, Wh, b, bh]``: the caller's own arrays, and
        their gradients after `backward`.
    cache : object
        What `backward` needs of the last `forward`; may be kept, and set before `backward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit; there is a ``bh`` without
        ``reset_after``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import GRU
    >>> D, H = 3, 2
    >>> b = np.array([-9, -9, 0, 0, 0, 0], "f")  # z closed: the state stays
    >>> layer = GRU(np.ones((D, 3 * H), "f") / 9, np.ones((H, 3 * H), "f") / 9, b)
    >>> layer.forward(np.ones((1, D)), np.array([[0.5, -0.5]])).round(2)
    array([[ 0.5, -0.5]], dtype=float32)
    >>> dx, dh_prev = layer.backward(np.ones((1, H)))
    >>> dx.shape, dh_prev.shape
    ((1, 3), (1, 2))
    """

    _cell = "gru"

    def __init__(
        self,
        Wx: Array,
        Wh: Array,
        b: Array | None = None,
        *,
        reset_after: bool = False,
        bh: Array | None = None,
    ) -> None:
        if reset_after:
            self._cell = "gru_reset_after"
        super().__init__(_params(Wx, Wh, b, reset_after, bh))


@fusable
class TimeGRU(TimeLayer):
    """A gated recurrent unit over a whole sequence, of the equations of `GRU`.

    Blocks in the order z, r, g.

    Parameters
    ----------
    Wx : ndarray of float, shape (D, 3H)
    Wh : ndarray of float, shape (H, 3H)
    b : ndarray of float, shape (3H,), optional
        Without it the gates have no bias, as in `GRU`. All weights may be views.
    stateful : bool, default False
        Begin each `forward` with the state that the last one left.
    reset_after : bool, default False
        Let the reset gate act after the product.
    bh : ndarray of float, shape (H,), optional
        Only with ``reset_after``: the bias that the reset gate scales; zeros by default, of the
        dtype of ``Wx``.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[Wx, Wh, b]``, with ``reset_after`` ``[Wx, Wh, b, bh]``: the caller's own arrays, and
        their gradients after `backward`.
    h : ndarray of float32, shape (N, H), or None
        The state after the last step; None before the first.
    dh : ndarray of float32, shape (N, H), or None
        After `backward`, the gradient of the initial state.
    layers : list of GRU, or None
        One for each step of the last `forward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit; there is a ``bh`` without
        ``reset_after``.

    Notes
    -----
    The weights of ``torch.nn.GRU`` fit ``reset_after=True``. Its arrays are transposed, its blocks
    lie in the order r, z, n, where n is g, and its z is 1 - z of here. So from ``weight_ih_l0``,
    ``weight_hh_l0``, ``bias_ih_l0`` and ``bias_hh_l0``:

    - transpose the weights, and put their columns in the order z, r, g;
    - for z and r, ``b = bias_ih + bias_hh``; for g, ``b = bias_ih`` and ``bh = bias_hh``;
    - negate the columns of z in ``Wx``, ``Wh`` and ``b``, because 1 - sigmoid(a) = sigmoid(-a).

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import TimeGRU
    >>> D, H = 3, 4
    >>> Wx, Wh, b = np.ones((D, 3 * H), "f"), np.ones((H, 3 * H), "f"), np.zeros(3 * H, "f")
    >>> layer = TimeGRU(Wx, Wh, b, stateful=True, reset_after=True)
    >>> layer.set_state(np.zeros((2, H)))
    >>> layer.forward(np.zeros((2, 5, D), "f")).shape
    (2, 5, 4)
    >>> layer.backward(np.ones((2, 5, H), "f")).shape
    (2, 5, 3)
    >>> [param.shape for param in layer.params]
    [(3, 12), (4, 12), (12,), (4,)]
    """

    _cell = "gru"
    layers = step_layers(lambda layer: _one_step(*layer.params))

    def __init__(
        self,
        Wx: Array,
        Wh: Array,
        b: Array | None = None,
        stateful: bool = False,
        *,
        reset_after: bool = False,
        bh: Array | None = None,
    ) -> None:
        if reset_after:
            self._cell = "gru_reset_after"
        super().__init__(_params(Wx, Wh, b, reset_after, bh), stateful)


def _params(
    Wx: Array, Wh: Array, b: Array | None, reset_after: bool, bh: Array | None
) -> list[Array]:
    if not reset_after:
        if bh is not None:
            raise ValueError("bh: expected None without reset_after, got an array")
        return [Wx, Wh] if b is None else [Wx, Wh, b]
    if b is None:
        raise ValueError("b: expected an array with reset_after, got None")
    if bh is None:
        # of arguments that are no arrays too, which are refused by their own names later
        bh = np.zeros(as_array("Wh", Wh).shape[:1], dtype=as_array("Wx", Wx).dtype)
    return [Wx, Wh, b, bh]


def _one_step(Wx: Array, Wh: Array, b: Array | None = None, bh: Array | None = None) -> GRU:
    """A `GRU` with the weights of a `TimeGRU`."""
    return GRU(Wx, Wh, b, reset_after=bh is not None, bh=bh)
