"""The simple recurrent network: one step (``RNN``) and a whole sequence (``TimeRNN``)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.base import initial_state

Array = npt.NDArray[Any]


class RNN:
    """One time step: ``h_next = tanh(h_prev Wh + x Wx + b)``.

    Parameters
    ----------
    Wx : (D, H) array
    Wh : (H, H) array
    b : (H,) array

    References
    ----------
    J. L. Elman, "Finding structure in time", Cognitive Science 14(2), 1990.
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
        h_next = np.tanh(np.dot(h_prev, Wh) + np.dot(x, Wx) + b)

        self.cache = (x, h_prev, h_next)
        return h_next.copy()

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
            raise RuntimeError("RNN.backward was called before forward")
        x, h_prev, h_next = self.cache
        Wx, Wh, _ = self.params

        # forward was: h_next = tanh(A)
        dA = dh_next * (1 - h_next**2)

        # forward was: A = h_prev Wh + x Wx + b
        self.grads[0][...] = np.dot(x.T, dA)
        self.grads[1][...] = np.dot(h_prev.T, dA)
        self.grads[2][...] = dA.sum(axis=0)
        dx = np.dot(dA, Wx.T)
        dh_prev = np.dot(dA, Wh.T)
        return dx, dh_prev


class TimeRNN:
    """A simple recurrent network over a whole sequence: one `RNN` for each time step.

    Parameters
    ----------
    Wx : (D, H) array
    Wh : (H, H) array
    b : (H,) array
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
        self.layers: list[RNN] | None = None
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

        h = initial_state("TimeRNN.h", self.h if self.stateful else None, N, Wh)
        hs = np.empty((N, T, H), dtype=Wx.dtype)
        self.layers = []
        for t in range(T):
            layer = RNN(*self.params)
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
            raise RuntimeError("TimeRNN.backward was called before forward")
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
