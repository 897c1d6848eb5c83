"""Matrix product and affine map, of rows and of every step of a sequence."""

from typing import Any

import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import as_array, check_weight, checked, side_by_side, zero_gradients

Array = npt.NDArray[Any]


class MatMul:
    """The matrix product: ``y = x W``.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
        May be a view, as ``embed_W.T``.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W]``, the caller's own array, and its gradient after `backward`.

    Raises
    ------
    TypeError, ValueError
        ``W`` is no float array, or of a shape that does not fit.
    """

    def __init__(self, W: Array) -> None:
        check_weight("W", W, "(K, M)", None, None)
        self.params = [W]
        self.grads = zero_gradients(self.params)
        self._x: Array | None = None

    def forward(self, x: Array) -> Array:
        """Multiply the rows.

        Parameters
        ----------
        x : ndarray of float, shape (..., K)

        Returns
        -------
        ndarray of float32, shape (..., M)

        Raises
        ------
        TypeError, ValueError
            ``x`` is of the wrong kind or width.
        """
        x = as_array("x", x)
        out = _kernels.affine_forward(x, *self.params)
        self._x = x
        return out

    def backward(self, dout: Array) -> Array:
        """Gradient of ``x``; ``grads`` receive that of ``W``.

        Parameters
        ----------
        dout : ndarray of float, shape (..., M)

        Returns
        -------
        ndarray of float32, shape (..., K)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._x is None:
            raise RuntimeError("MatMul.backward was called before forward")
        return _kernels.affine_backward(dout, self._x, self.params[0], *self.grads)


class Affine:
    """The affine map of rows: ``y = x W + b``.

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
        _, M = check_weight("W", W, "(K, M)", None, None).shape
        check_weight("b", b, "(M,)", M)
        self.params = [W, b]
        self.grads = zero_gradients(self.params)
        self._x: Array | None = None

    def forward(self, x: Array) -> Array:
        """Map the rows.

        Parameters
        ----------
        x : ndarray of float, shape (..., K)

        Returns
        -------
        ndarray of float32, shape (..., M)

        Raises
        ------
        TypeError, ValueError
            ``x`` is of the wrong kind or width.
        """
        x = as_array("x", x)
        out = _kernels.affine_forward(x, *self.params)
        self._x = x
        return out

    def backward(self, dout: Array) -> Array:
        """Gradient of ``x``; ``grads`` receive those of the weights.

        Parameters
        ----------
        dout : ndarray of float, shape (..., M)

        Returns
        -------
        ndarray of float32, shape (..., K)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._x is None:
            raise RuntimeError("Affine.backward was called before forward")
        return _kernels.affine_backward(dout, self._x, self.params[0], *self.grads)


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
        _, M = check_weight("W", W, "(K, M)", None, None).shape
        check_weight("b", b, "(M,)", M)
        self.params = [W, b]
        self.grads = zero_gradients(self.params)
        self._parts: tuple[Array, ...] | None = None  # of x, side by side

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
        self._parts = (x,)
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
        if self._parts is None:
            raise RuntimeError("TimeAffine.backward was called before forward")
        W, _ = self.params
        dW, db = self.grads
        return _kernels.affine_backward(dout, side_by_side(*self._parts), W, dW, db)


class Simple_TimeAffine:
    """As `TimeAffine`, with the arrays as attributes of their own.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
    b : ndarray of float, shape (M,)
        Both may be views.

    Attributes
    ----------
    W, b : ndarray
        The caller's own arrays.
    dW, db : ndarray
        Their gradients after `backward`; zeros before.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.
    """

    def __init__(self, W: Array, b: Array) -> None:
        _, M = check_weight("W", W, "(K, M)", None, None).shape
        check_weight("b", b, "(M,)", M)
        self.W, self.b = W, b
        self.dW, self.db = zero_gradients((W, b))
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
        x = checked("x", x, "(N, T, K)", None, None, len(self.W))
        out = _kernels.affine_forward(x, self.W, self.b)
        self._x = x
        return out

    def backward(self, dout: Array) -> Array:
        """Gradient of ``x``; ``dW`` and ``db`` receive those of the weights.

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
            raise RuntimeError("Simple_TimeAffine.backward was called before forward")
        return _kernels.affine_backward(dout, self._x, self.W, self.dW, self.db)
