"""Embedding: rows of a matrix looked up by integer ids, for one step and for a whole sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Embedding:
    """Rows of ``W``: ``out = W[idx]``.

    Parameters
    ----------
    W : (V, D) array
    """

    def __init__(self, W: Array) -> None:
        self.params: list[Array] = [W]
        self.grads: list[Array] = [np.zeros_like(W)]
        self.idx: Array | None = None

    def forward(self, idx: Array) -> Array:
        """Look up the rows.

        Parameters
        ----------
        idx : (N,) integer array

        Returns
        -------
        out : (N, D) array
        """
        (W,) = self.params
        self.idx = idx
        return W[idx]

    def backward(self, dout: Array) -> None:
        """Overwrite ``grads`` with the scatter-add of ``dout``; ids have no gradient.

        Parameters
        ----------
        dout : (N, D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.idx is None:
            raise RuntimeError("Embedding.backward was called before forward")
        (dW,) = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)


class TimeEmbedding:
    """Embedding of a sequence of ids: one `Embedding` for each time step, all sharing ``W``.

    Parameters
    ----------
    W : (V, D) array

    Attributes
    ----------
    W : (V, D) array
        The caller's array.
    """

    def __init__(self, W: Array) -> None:
        self.params: list[Array] = [W]
        self.grads: list[Array] = [np.zeros_like(W)]
        self.layers: list[Embedding] | None = None
        self.W = W

    def forward(self, xs: Array) -> Array:
        """Look up the rows.

        Parameters
        ----------
        xs : (N, T) integer array

        Returns
        -------
        out : (N, T, D) array
        """
        N, T = xs.shape
        D = self.W.shape[1]
        out = np.empty((N, T, D), dtype=self.W.dtype)
        self.layers = []
        for t in range(T):
            layer = Embedding(self.W)
            out[:, t, :] = layer.forward(xs[:, t])
            self.layers.append(layer)
        return out

    def backward(self, dout: Array) -> None:
        """Overwrite ``grads`` with the scatter-add of ``dout``; ids have no gradient.

        Parameters
        ----------
        dout : (N, T, D) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("TimeEmbedding.backward was called before forward")
        (dW,) = self.grads
        dW[...] = 0
        for t, layer in enumerate(self.layers):
            layer.backward(dout[:, t, :])
            dW += layer.grads[0]
