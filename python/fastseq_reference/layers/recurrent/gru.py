"""The gated recurrent unit: one step (``GRU``) and a whole sequence (``TimeGRU``)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.base import initial_state
from fastseq_reference.layers.functions import sigmoid

Array = npt.NDArray[Any]


def _parameters(
    Wx: Array, Wh: Array, b: Array | None, reset_after: bool, bh: Array | None
) -> list[Array]:
    """``[Wx, Wh, b]`` or, without a bias, ``[Wx, Wh]``.

    And ``bh`` (zeros by default) where the reset gate acts after the product.

    Raises
    ------
    ValueError
        When there is a ``bh`` without ``reset_after``, or ``reset_after`` without ``b``.
    """
    if not reset_after:
        if bh is not None:
            raise ValueError("bh: expected None without reset_after, got an array")
        return [Wx, Wh] if b is None else [Wx, Wh, b]
    if b is None:
        raise ValueError("b: expected an array with reset_after, got None")
    if bh is None:
        bh = np.zeros(Wh.shape[0], dtype=Wx.dtype)
    return [Wx, Wh, b, bh]


def _with_bias(arrays: list[Array]) -> tuple[Array, Array, Array]:
    """Three of the arrays; without a bias, zeros stand for it."""
    Wx, Wh = arrays[:2]
    return Wx, Wh, arrays[2] if len(arrays) > 2 else np.zeros(Wx.shape[1], dtype=Wx.dtype)


class GRU:
    """One time step of a gated recurrent unit.

    ``Wx``, ``Wh`` and ``b`` are three blocks z, r, g of width H. In both variants
    ``z, r = sigmoid(x Wx + h_prev Wh + b)`` in their blocks, and
    ``h_next = (1 - z) h_prev + z g``. In the third block the reset gate acts

    - before the product: ``g = tanh(x Wx + (r h_prev) Wh + b)``;
    - with ``reset_after`` after it: ``g = tanh(x Wx + b + r (h_prev Wh + bh))``.

    Parameters
    ----------
    Wx : (D, 3H) array
    Wh : (H, 3H) array
    b : (3H,) array, optional
        Without it the gates have no bias, and ``params`` are ``[Wx, Wh]``.
    reset_after : bool
    bh : (H,) array, optional
        Only with ``reset_after``: the bias that the reset gate scales; zeros by default.

    Raises
    ------
    ValueError
        When there is a ``bh`` without ``reset_after``.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", 2014: arXiv 1406.1078v3 (EMNLP, section 2.3) resets before the product,
    arXiv 1406.1078v1 after it. There z multiplies the old state, here the new.
    """

    def __init__(
        self,
        Wx: Array,
        Wh: Array,
        b: Array | None = None,
        *,
        reset_after: bool = False,
        bh: Array | None = None,
    ) -> None:
        self.params: list[Array] = _parameters(Wx, Wh, b, reset_after, bh)
        self.grads: list[Array] = [np.zeros_like(param) for param in self.params]
        self._reset_after = reset_after
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
        Wx, Wh, b = _with_bias(self.params)
        H = h_prev.shape[1]
        Wxz, Wxr, Wxg = Wx[:, :H], Wx[:, H : 2 * H], Wx[:, 2 * H :]
        Whz, Whr, Whg = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        bz, br, bg = b[..., :H], b[..., H : 2 * H], b[..., 2 * H :]

        z = sigmoid(np.dot(x, Wxz) + np.dot(h_prev, Whz) + bz)
        r = sigmoid(np.dot(x, Wxr) + np.dot(h_prev, Whr) + br)
        if self._reset_after:
            from_h = np.dot(h_prev, Whg) + self.params[3]
            g = np.tanh(np.dot(x, Wxg) + bg + r * from_h)
        else:
            from_h = np.dot(r * h_prev, Whg)
            g = np.tanh(np.dot(x, Wxg) + from_h + bg)
        h_next = (1 - z) * h_prev + z * g

        self.cache = (x, h_prev, z, r, g, from_h)
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
        x, h_prev, z, r, g, from_h = self.cache
        Wx, Wh = self.params[:2]
        H = h_prev.shape[1]
        Whz, Whr, Whg = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        dWx, dWh, db = _with_bias(self.grads)

        # forward was: h_next = (1 - z) * h_prev + z * g
        dz = dh_next * (g - h_prev)
        dg = dh_next * z
        dh_prev = dh_next * (1 - z)

        dA_g = dg * (1 - g**2)
        if self._reset_after:
            # forward was: g = tanh(x Wxg + bg + r * from_h);  from_h = h_prev Whg + bh
            dr = dA_g * from_h
            dfrom_h = dA_g * r
            dWh[:, 2 * H :] = np.dot(h_prev.T, dfrom_h)
            self.grads[3][...] = dfrom_h.sum(axis=0)
            dh_prev = dh_prev + np.dot(dfrom_h, Whg.T)
        else:
            # forward was: g = tanh(x Wxg + bg + (r * h_prev) Whg)
            dWh[:, 2 * H :] = np.dot((r * h_prev).T, dA_g)
            dreset = np.dot(dA_g, Whg.T)
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
        dA = np.hstack((dA_z, dA_r, dA_g))
        dWx[...] = np.dot(x.T, dA)
        db[...] = dA.sum(axis=0)
        dx = np.dot(dA, Wx.T)
        return dx, dh_prev


class TimeGRU:
    """A gated recurrent unit over a whole sequence: one `GRU` for each time step.

    Blocks in the order z, r, g.

    Parameters
    ----------
    Wx : (D, 3H) array
    Wh : (H, 3H) array
    b : (3H,) array, optional
        Without it the gates have no bias, as in `GRU`.
    stateful : bool
        Whether ``forward`` continues from the state that the previous call left.
    reset_after : bool
        Whether the reset gate acts after the product, as in `GRU`.
    bh : (H,) array, optional
        Only with ``reset_after``; zeros by default.

    Attributes
    ----------
    h : (N, H) array or None
        State after the last step of the last ``forward``.
    dh : (N, H) array or None
        After ``backward``: gradient with respect to the initial state.

    Raises
    ------
    ValueError
        When there is a ``bh`` without ``reset_after``.
    """

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
        self.params: list[Array] = _parameters(Wx, Wh, b, reset_after, bh)
        self.grads: list[Array] = [np.zeros_like(param) for param in self.params]
        self._reset_after = reset_after
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
        Wx, Wh, *_ = self.params
        b = self.params[2] if len(self.params) > 2 else None
        bh = self.params[3] if self._reset_after else None
        N, T, _ = xs.shape
        H = Wh.shape[0]

        h = initial_state("TimeGRU.h", self.h if self.stateful else None, N, Wh)
        hs = np.empty((N, T, H), dtype=Wx.dtype)
        self.layers = []
        for t in range(T):
            layer = GRU(Wx, Wh, b, reset_after=self._reset_after, bh=bh)
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
