"""Matrix product and affine map, of one step and of every step of a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class MatMul:
    """``out = x W``.

    Parameters
    ----------
    W : (D, M) array
        May be a transposed view.
    """

    def __init__(self, W: Array) -> None:
        self.params: list[Array] = [W]
        self.grads: list[Array] = [np.zeros_like(W)]
        self.x: Array | None = None

    def forward(self, x: Array) -> Array:
        """Multiply by the matrix.

        Parameters
        ----------
        x : (..., D) array

        Returns
        -------
        out : (..., M) array
        """
        (W,) = self.params
        self.x = x
        return np.dot(x, W)

    def backward(self, dout: Array) -> Array:
        """Gradient of the input; ``grads`` are overwritten.

        Parameters
        ----------
        dout : (..., M) array

        Returns
        -------
        dx : (..., D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.x is None:
            raise RuntimeError("MatMul.backward was called before forward")
        (W,) = self.params
        D, M = W.shape

        # forward was: out = x W
        self.grads[0][...] = np.dot(self.x.reshape(-1, D).T, dout.reshape(-1, M))
        return np.dot(dout, W.T)


class Affine:
    """``out = x W + b``.

    Parameters
    ----------
    W : (D, M) array
        May be a transposed view.
    b : (M,) array
    """

    def __init__(self, W: Array, b: Array) -> None:
        self.params: list[Array] = [W, b]
        self.grads: list[Array] = [np.zeros_like(W), np.zeros_like(b)]
        self.x: Array | None = None

    def forward(self, x: Array) -> Array:
        """Map the rows.

        Parameters
        ----------
        x : (..., D) array

        Returns
        -------
        out : (..., M) array
        """
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout: Array) -> Array:
        """Gradient of the input; ``grads`` are overwritten.

        Parameters
        ----------
        dout : (..., M) array

        Returns
        -------
        dx : (..., D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.x is None:
            raise RuntimeError("Affine.backward was called before forward")
        W, _ = self.params
        D, M = W.shape

        # forward was: out = x W + b
        rdout = dout.reshape(-1, M)
        self.grads[0][...] = np.dot(self.x.reshape(-1, D).T, rdout)
        self.grads[1][...] = np.sum(rdout, axis=0)
        return np.dot(dout, W.T)


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


class Simple_TimeAffine:
    """``out = x W + b`` at every position: one `Affine` for each time step, sharing the weights.

    Parameters
    ----------
    W : (D, M) array
    b : (M,) array

    Attributes
    ----------
    W, b : arrays
        The caller's arrays.
    dW, db : arrays
        Their gradients after ``backward``.
    """

    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self.layers: list[Affine] | None = None

    def forward(self, x: Array) -> Array:
        """Map every step.

        Parameters
        ----------
        x : (N, T, D) array

        Returns
        -------
        out : (N, T, M) array
        """
        N, T, _ = x.shape
        out = np.empty((N, T, self.W.shape[1]), dtype=self.W.dtype)
        self.layers = []
        for t in range(T):
            layer = Affine(self.W, self.b)
            out[:, t, :] = layer.forward(x[:, t, :])
            self.layers.append(layer)
        return out

    def backward(self, dout: Array) -> Array:
        """Gradient of the input; ``dW`` and ``db`` are overwritten.

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
        if self.layers is None:
            raise RuntimeError("Simple_TimeAffine.backward was called before forward")
        N, T, _ = dout.shape
        dx = np.empty((N, T, self.W.shape[0]), dtype=self.W.dtype)
        self.dW[...] = 0
        self.db[...] = 0
        for t, layer in enumerate(self.layers):
            dx[:, t, :] = layer.backward(dout[:, t, :])
            self.dW += layer.grads[0]
            self.db += layer.grads[1]
        return dx
