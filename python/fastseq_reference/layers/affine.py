"""Affine map of every step of a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class TimeAffine:
    """``out = x W + b`` at every position.

    Parameters
    ----------
    W : (D, M) array
        May be a transposed view (weight tying).
    b : (M,) array
    """

    def __init__(self, W: Array, b: Array) -> None:
        self.params: list[Array] = [W, b]
        self.grads: list[Array] = [np.zeros_like(W), np.zeros_like(b)]
        self.x: Array | None = None

    def forward(self, x: Array) -> Array:
        """Map every step.

        Parameters
        ----------
        x : (N, T, D) array

        Returns
        -------
        out : (N, T, M) array
        """
        N, T, D = x.shape
        W, b = self.params

        rx = x.reshape(N * T, D)
        out = np.dot(rx, W) + b
        self.x = x
        return out.reshape(N, T, W.shape[1])

    def backward(self, dout: Array) -> Array:
        """Gradient of the input; ``grads`` are overwritten.

        Parameters
        ----------
        dout : (N, T, M) array

        Returns
        -------
        dx : (N, T, D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.x is None:
            raise RuntimeError("TimeAffine.backward was called before forward")
        N, T, D = self.x.shape
        W = self.params[0]

        # forward was: out = rx W + b
        rdout = dout.reshape(N * T, W.shape[1])
        rx = self.x.reshape(N * T, D)
        self.grads[0][...] = np.dot(rx.T, rdout)
        self.grads[1][...] = np.sum(rdout, axis=0)
        dx = np.dot(rdout, W.T)
        return dx.reshape(N, T, D)
