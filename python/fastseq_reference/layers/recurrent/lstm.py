"""The LSTM: one step (``LSTM``) and a whole sequence, one step after the other (``TimeLSTM``)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.base import initial_state
from fastseq_reference.layers.functions import sigmoid

Array = npt.NDArray[Any]


class LSTM:
    """One time step of an LSTM.

    ``A = x Wx + h_prev Wh + b``, in four blocks f, g, i, o of width H:
    ``f, i, o = sigmoid(A_f), sigmoid(A_i), sigmoid(A_o)``, ``g = tanh(A_g)``,
    ``c_next = f c_prev + g i``, ``h_next = o tanh(c_next)``.

    Parameters
    ----------
    Wx : (D, 4H) array
    Wh : (H, 4H) array
    b : (4H,) array

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997; with
    the forget gate of F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", 2000.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array) -> None:
        self.params: list[Array] = [Wx, Wh, b]
        self.grads: list[Array] = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache: tuple[Array, ...] | None = None

    def forward(self, x: Array, h_prev: Array, c_prev: Array) -> tuple[Array, Array]:
        """Advance the state by one step.

        Parameters
        ----------
        x : (N, D) array
        h_prev, c_prev : (N, H) arrays

        Returns
        -------
        h_next, c_next : (N, H) arrays
        """
        Wx, Wh, b = self.params
        H = h_prev.shape[1]

        A = np.dot(x, Wx) + np.dot(h_prev, Wh) + b
        f = sigmoid(A[:, :H])
        g = np.tanh(A[:, H : 2 * H])
        i = sigmoid(A[:, 2 * H : 3 * H])
        o = sigmoid(A[:, 3 * H :])

        c_next = f * c_prev + g * i
        tanh_c = np.tanh(c_next)
        h_next = o * tanh_c

        self.cache = (x, h_prev, c_prev, f, g, i, o, tanh_c)
        return h_next, c_next

    def backward(self, dh_next: Array, dc_next: Array | float) -> tuple[Array, Array, Array]:
        """Gradients of the step; ``grads`` are overwritten.

        Parameters
        ----------
        dh_next : (N, H) array
        dc_next : (N, H) array, or a number

        Returns
        -------
        dx : (N, D) array
        dh_prev, dc_prev : (N, H) arrays

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("LSTM.backward was called before forward")
        x, h_prev, c_prev, f, g, i, o, tanh_c = self.cache
        Wx, Wh, _ = self.params

        # forward was: h_next = o * tanh(c_next)
        do = dh_next * tanh_c
        dc = dc_next + dh_next * o * (1 - tanh_c**2)

        # forward was: c_next = f * c_prev + g * i
        df = dc * c_prev
        dg = dc * i
        di = dc * g
        dc_prev = dc * f

        # forward was: f, i, o = sigmoid(A_f), sigmoid(A_i), sigmoid(A_o); g = tanh(A_g)
        dA = np.hstack((df * f * (1 - f), dg * (1 - g**2), di * i * (1 - i), do * o * (1 - o)))

        # forward was: A = x Wx + h_prev Wh + b
        self.grads[0][...] = np.dot(x.T, dA)
        self.grads[1][...] = np.dot(h_prev.T, dA)
        self.grads[2][...] = dA.sum(axis=0)
        dx = np.dot(dA, Wx.T)
        dh_prev = np.dot(dA, Wh.T)
        return dx, dh_prev, dc_prev


class TimeLSTM:
    """An LSTM over a whole sequence: one `LSTM` cell for each time step, all sharing the weights.

    Gates in the order f, g, i, o.

    Parameters
    ----------
    Wx : (D, 4H) array
    Wh : (H, 4H) array
    b : (4H,) array
    stateful : bool
        Whether ``forward`` continues from the state that the previous call left.

    Attributes
    ----------
    h, c : (N, H) arrays or None
        State after the last step of the last ``forward``.
    dh, dc : (N, H) arrays or None
        After ``backward``: gradients with respect to the initial state.
    """

    def __init__(self, Wx: Array, Wh: Array, b: Array, stateful: bool = False) -> None:
        self.params: list[Array] = [Wx, Wh, b]
        self.grads: list[Array] = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers: list[LSTM] | None = None
        self.h: Array | None = None
        self.c: Array | None = None
        self.dh: Array | None = None
        self.dc: Array | None = None
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

        h = initial_state("TimeLSTM.h", self.h if self.stateful else None, N, Wh)
        c = initial_state("TimeLSTM.c", self.c if self.stateful else None, N, Wh)
        hs = np.empty((N, T, H), dtype=Wx.dtype)
        self.layers = []
        for t in range(T):
            layer = LSTM(*self.params)
            h, c = layer.forward(xs[:, t, :], h, c)
            hs[:, t, :] = h
            self.layers.append(layer)

        self.h, self.c = h, c
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
            raise RuntimeError("TimeLSTM.backward was called before forward")
        Wx = self.params[0]
        N, T, H = dhs.shape
        D = Wx.shape[0]

        dxs = np.empty((N, T, D), dtype=Wx.dtype)
        dh = np.zeros((N, H), dtype=Wx.dtype)
        dc = np.zeros((N, H), dtype=Wx.dtype)
        for grad in self.grads:
            grad[...] = 0
        for t in reversed(range(T)):
            layer = self.layers[t]
            # h_t is used twice: as the output of step t and as the input of step t + 1
            dx, dh, dc = layer.backward(dhs[:, t, :] + dh, dc)
            dxs[:, t, :] = dx
            for grad, step_grad in zip(self.grads, layer.grads, strict=True):
                grad += step_grad

        self.dh, self.dc = dh, dc
        return dxs

    def set_state(self, h: Array, c: Array | None = None) -> None:
        """Set the state that a stateful layer starts from.

        Parameters
        ----------
        h : (N, H) array
        c : (N, H) array, optional
            None stands for zeros.
        """
        self.h, self.c = h, c

    def reset_state(self) -> None:
        """Forget the state: the next ``forward`` starts from zeros."""
        self.h, self.c = None, None
