"""The LSTM in both directions of a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.recurrent.lstm import TimeLSTM

Array = npt.NDArray[Any]


def _side_by_side(first: Array | None, second: Array | None) -> Array:
    """``[first, second]``, the arrays of both LSTMs, which a pass through them has set."""
    assert first is not None
    assert second is not None
    return np.hstack((first, second))


class TimeBiLSTM:
    """Two LSTMs over a sequence, the second from its end: ``hs = [hs1, reversed hs2]``.

    Gates in the order f, g, i, o.

    Parameters
    ----------
    Wx1, Wx2 : (D, 4H) arrays
    Wh1, Wh2 : (H, 4H) arrays
    b1, b2 : (4H,) arrays
    stateful : bool
        Whether ``forward`` continues both from the states that the previous call left.

    Attributes
    ----------
    h, c : (N, 2H) arrays or None
        The states that the first LSTM, and then the second, has after its own last step.
    dh, dc : (N, 2H) arrays or None
        After ``backward``: gradients with respect to the initial states.

    References
    ----------
    M. Schuster and K. K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
    Signal Processing 45(11), 1997.
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
        self.params: list[Array] = [Wx1, Wh1, b1, Wx2, Wh2, b2]
        self.grads: list[Array] = [np.zeros_like(param) for param in self.params]
        self.layers: tuple[TimeLSTM, TimeLSTM] | None = None
        self.h: Array | None = None
        self.c: Array | None = None
        self.dh: Array | None = None
        self.dc: Array | None = None
        self.stateful = stateful

    def forward(self, xs: Array) -> Array:
        """Run the sequence both ways.

        Parameters
        ----------
        xs : (N, T, D) array

        Returns
        -------
        hs : (N, T, 2H) array

        Raises
        ------
        ValueError
            When the layer is stateful and its state belongs to another batch size.
        """
        Wx1, Wh1, b1, Wx2, Wh2, b2 = self.params
        H = Wh1.shape[0]
        first = TimeLSTM(Wx1, Wh1, b1, stateful=True)
        second = TimeLSTM(Wx2, Wh2, b2, stateful=True)
        if self.stateful and self.h is not None:
            c1, c2 = (None, None) if self.c is None else (self.c[:, :H], self.c[:, H:])
            first.set_state(self.h[:, :H], c1)
            second.set_state(self.h[:, H:], c2)

        hs1 = first.forward(xs)
        hs2 = second.forward(xs[:, ::-1])
        hs = np.concatenate((hs1, hs2[:, ::-1]), axis=2)

        self.layers = (first, second)
        self.h, self.c = _side_by_side(first.h, second.h), _side_by_side(first.c, second.c)
        return hs

    def backward(self, dhs: Array) -> Array:
        """Gradient through time, both ways; ``grads`` are overwritten.

        Parameters
        ----------
        dhs : (N, T, 2H) array

        Returns
        -------
        dxs : (N, T, D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("TimeBiLSTM.backward was called before forward")
        H = self.params[1].shape[0]
        first, second = self.layers

        # forward was: hs = [hs1, reversed hs2]
        dxs1 = first.backward(dhs[:, :, :H])
        dxs2 = second.backward(dhs[:, ::-1, H:])

        for grad, part in zip(self.grads, first.grads + second.grads, strict=True):
            grad[...] = part
        self.dh, self.dc = _side_by_side(first.dh, second.dh), _side_by_side(first.dc, second.dc)
        return dxs1 + dxs2[:, ::-1]

    def set_state(self, h: Array, c: Array | None = None) -> None:
        """Set the states that a stateful layer starts from.

        Parameters
        ----------
        h : (N, 2H) array
        c : (N, 2H) array, optional
            None stands for zeros.
        """
        self.h, self.c = h, c

    def reset_state(self) -> None:
        """Forget the states: the next ``forward`` starts from zeros."""
        self.h, self.c = None, None
