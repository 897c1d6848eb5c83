"""The gated recurrent unit: one step (``GRU``) and a whole sequence (``TimeGRU``)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.base import initial_state
from fastseq_reference.layers.functions import sigmoid

Array = npt.NDArray[Any]


class GRU:
    """One time step of a gated recurrent unit, whose reset gate acts before the product.

    ``Wx``, ``Wh`` and ``b`` are three blocks z, r, h of width H:
    ``z, r = sigmoid(x Wx + h_prev Wh + b)`` in their blocks,
    ``h_hat = tanh(x Wx + (r h_prev) Wh + b)`` in the third,
    ``h_next = (1 - z) h_prev + z h_hat``.

    Parameters
    ----------
    Wx : (D, 3H) array
    Wh : (H, 3H) array
    b : (3H,) array

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", EMNLP 2014, section 2.3; there z multiplies the old state, here the new.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        self.params: list[Array] = [Wx, Wh, b]
        self.grads: list[Array] = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache: tuple[Array, ...] | None = None

    def forward(self, x: Array, h_prev: Array) -> Array:
        """Advance the state by one step.

        Parameters
        ----------
        x : (N, D) array
        h_prev : (N, H) array

        Returns
        -------
        h_next : (N, H) array
        """
        Wx, Wh, b = self.params
        H = h_prev.shape[1]
        Wxz, Wxr, Wxh = Wx[:, :H], Wx[:, H : 2 * H], Wx[:, 2 * H :]
        Whz, Whr, Whh = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        bz, br, bh = b[:H], b[H : 2 * H], b[2 * H :]

        z = sigmoid(np.dot(x, Wxz) + np.dot(h_prev, Whz) + bz)
        r = sigmoid(np.dot(x, Wxr) + np.dot(h_prev, Whr) + br)
        h_hat = np.tanh(np.dot(x, Wxh) + np.dot(r * h_prev, Whh) + bh)
        h_next = (1 - z) * h_prev + z * h_hat

        self.cache = (x, h_prev, z, r, h_hat)
        return h_next

    def backward(self, dh_next: Array) -> tuple[Array, Array]:
        """Gradients of the step; ``grads`` are overwritten.

        Parameters
        ----------
        dh_next : (N, H) array

        Returns
        -------
        dx : (N, D) array
        dh_prev : (N, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("GRU.backward was called before forward")
        x, h_prev, z, r, h_hat = self.cache
        Wx, Wh, _ = self.params
        H = h_prev.shape[1]
        Whz, Whr, Whh = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        dWx, dWh, db = self.grads

        # forward was: h_next = (1 - z) * h_prev + z * h_hat
        dz = dh_next * (h_hat - h_prev)
        dh_hat = dh_next * z
        dh_prev = dh_next * (1 - z)

        # forward was: h_hat = tanh(x Wxh + (r * h_prev) Whh + bh)
        dA_h = dh_hat * (1 - h_hat**2)
        dWh[:, 2 * H :] = np.dot((r * h_prev).T, dA_h)
        dreset = np.dot(dA_h, Whh.T)
        dr = dreset * h_prev
        dh_prev = dh_prev + dreset * r

        # forward was: r = sigmoid(x Wxr + h_prev Whr + br)
        dA_r = dr * r * (1 - r)
        dWh[:, H : 2 * H] = np.dot(h_prev.T, dA_r)
        dh_prev = dh_prev + np.dot(dA_r, Whr.T)

        # forward was: z = sigmoid(x Wxz + h_prev Whz + bz)
        dA_z = dz * z * (1 - z)
        dWh[:, :H] = np.dot(h_prev.T, dA_z)
        dh_prev = dh_prev + np.dot(dA_z, Whz.T)

        # in all three: x Wx + b
        dA = np.hstack((dA_z, dA_r, dA_h))
        dWx[...] = np.dot(x.T, dA)
        db[...] = dA.sum(axis=0)
        dx = np.dot(dA, Wx.T)
        return dx, dh_prev


class TimeGRU:
    """A gated recurrent unit over a whole sequence: one `GRU` for each time step.

    Parameters
    ----------
    Wx : (D, 3H) array
    Wh : (H, 3H) array
    b : (3H,) array
    stateful : bool
        Whether ``forward`` continues from the state that the previous call left.

    Attributes
    ----------
    h : (N, H) array or None
        State after the last step of the last ``forward``.
    dh : (N, H) array or None
        After ``backward``: gradient with respect to the initial state.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        self.params: list[Array] = [Wx, Wh, b]
        self.grads: list[Array] = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers: list[GRU] | None = None
        self.h: Array | None = None
        self.dh: Array | None = None
        self.stateful = stateful

    def forward(self, xs: Array) -> Array:
        """Run the sequence.

        Parameters
        ----------
        xs : (N, T, D) array

        Returns
        -------
        hs : (N, T, H) array
            ``h`` of every step.

        Raises
        ------
        ValueError
            When the layer is stateful and its state belongs to another batch size.
        """
        Wx, Wh, _ = self.params
        N, T, _ = xs.shape
        H = Wh.shape[0]

        h = initial_state("TimeGRU.h", self.h if self.stateful else None, N, Wh)
        hs = np.empty((N, T, H), dtype=Wx.dtype)
        self.layers = []
        for t in range(T):
            layer = GRU(*self.params)
            h = layer.forward(xs[:, t, :], h)
            hs[:, t, :] = h
            self.layers.append(layer)

        self.h = h
        return hs

    def backward(self, dhs: Array) -> Array:
        """Gradient through time, truncated at the start of the last ``forward``.

        Parameters
        ----------
        dhs : (N, T, H) array

        Returns
        -------
        dxs : (N, T, D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("TimeGRU.backward was called before forward")
        Wx = self.params[0]
        N, T, H = dhs.shape
        D = Wx.shape[0]

        dxs = np.empty((N, T, D), dtype=Wx.dtype)
        dh = np.zeros((N, H), dtype=Wx.dtype)
        for grad in self.grads:
            grad[...] = 0
        for t in reversed(range(T)):
            layer = self.layers[t]
            # h_t is used twice: as the output of step t and as the input of step t + 1
            dx, dh = layer.backward(dhs[:, t, :] + dh)
            dxs[:, t, :] = dx
            for grad, step_grad in zip(self.grads, layer.grads, strict=True):
                grad += step_grad

        self.dh = dh
        return dxs

    def set_state(self, h: Array) -> None:
        """Set the state that a stateful layer starts from.

        Parameters
        ----------
        h : (N, H) array
        """
        self.h = h

    def reset_state(self) -> None:
        """Forget the state: the next ``forward`` starts from zeros."""
        self.h = None
