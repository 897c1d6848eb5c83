"""The affine layer over a sequence."""

from typing import Any

import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import check_weight, checked, zero_gradients

Array = npt.NDArray[Any]


class TimeAffine:
    """The same affine map at every time step: ``y = x W + b``.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
        May be a view, as ``embed_W.T``.
    b : ndarray of float, shape (M,)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W, b]``, the caller's own arrays, and their gradients after `backward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.
    """

    def __init__(self, W: Array, b: Array) -> None:
        check_weight("W", W, "(K, M)", None, None)
        check_weight("b", b, "(M,)", W.shape[1])
        self.params = [W, b]
        self.grads = zero_gradients(self.params)
        self._x: Array | None = None

    def forward(self, x: Array) -> Array:
        """Map every time step.

        Parameters
        ----------
        x : ndarray of float, shape (N, T, K)

        Returns
        -------
        ndarray of float32, shape (N, T, M)

        Raises
        ------
        TypeError, ValueError
            ``x`` is of the wrong kind, rank or width.
        """
        W, b = self.params
        x = checked("x", x, "(N, T, K)", None, None, len(W))
        out = _kernels.affine_forward(x, W, b)
        self._x = x
        return out

    def backward(self, dout: Array) -> Array:
        """Gradient of ``x``; ``grads`` receive those of the weights.

        Parameters
        ----------
        dout : ndarray of float, shape (N, T, M)

        Returns
        -------
        ndarray of float32, shape (N, T, K)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._x is None:
            raise RuntimeError("TimeAffine.backward was called before forward")
        W, _ = self.params
        dW, db = self.grads
        return _kernels.affine_backward(dout, self._x, W, dW, db)
