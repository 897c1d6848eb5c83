"""Matrix product and affine map, of rows and of every step of a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import (
    Layer,
    as_array,
    check_weight,
    checked,
    fusable,
    is_original,
    side_by_side,
    zero_gradients,
)

Array = npt.NDArray[Any]


class MatMul(Layer):
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import MatMul
    >>> layer = MatMul(np.array([[1, 2, 3], [4, 5, 6]], "f"))
    >>> layer.forward(np.array([[1, 0], [0, 1], [1, 1]], "f")).tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]]
    >>> layer.backward(np.ones((3, 3), "f")).tolist()
    [[6.0, 15.0], [6.0, 15.0], [6.0, 15.0]]
    >>> layer.grads[0].tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    def __init__(self, W: Array) -> None:
        check_weight("W", W, "(K, M)", None, None)
        self._hold(W)

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
        self._cache = x
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
        return _kernels.affine_backward(dout, self._last_pass(), self.params[0], *self.grads)


class Affine(MatMul):
    """The affine map of rows: ``y = x W + b``.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
        May be a view, as ``embed_W.T``.
    b : ndarray of float, shape (M,) or (1, M)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W, b]``, the caller's own arrays, and their gradients after `backward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Affine
    >>> layer = Affine(np.ones((2, 3), "f"), np.array([0, 10, 20], "f"))
    >>> layer.forward(np.array([[1, 2]], "f")).tolist()
    [[3.0, 13.0, 23.0]]
    >>> dx = layer.backward(np.ones((1, 3), "f"))
    >>> dx.tolist(), [grad.shape for grad in layer.grads]
    ([[3.0, 3.0]], [(2, 3), (3,)])
    """

    def __init__(self, W: Array, b: Array) -> None:
        _, M = check_weight("W", W, "(K, M)", None, None).shape
        check_weight("b", b, "(M,)", M)
        self._hold(W, b)


@fusable
class TimeAffine(Layer):
    """The same affine map at every time step: ``y = x W + b``.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
        May be a view, as ``embed_W.T``.
    b : ndarray of float, shape (M,) or (1, M)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W, b]``, the caller's own arrays, and their gradients after `backward`.

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeAffine
    >>> layer = TimeAffine(np.ones((4, 6), "f"), np.zeros(6, "f"))
    >>> layer.forward(np.ones((2, 3, 4), "f")).shape
    (2, 3, 6)
    >>> layer.backward(np.ones((2, 3, 6), "f")).shape, layer.grads[1].tolist()
    ((2, 3, 4), [6.0, 6.0, 6.0, 6.0, 6.0, 6.0])
    """

    def __init__(self, W: Array, b: Array) -> None:
        _, M = check_weight("W", W, "(K, M)", None, None).shape
        check_weight("b", b, "(M,)", M)
        self._hold(W, b)

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
        x = _as_steps(x)
        out = _kernels.affine_forward(x, W, b)
        self._cache = (x,)  # parts, side by side
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
        W, _ = self.params
        dW, db = self.grads
        return _kernels.affine_backward(dout, side_by_side(*self._last_pass()), W, dW, db)


def affine_forward(affine: Any, first: Array, second: Array) -> Array:
    """``affine.forward`` of two parts side by side.

    A `TimeAffine` that is not replaced multiplies them part by part: nothing is copied together or
    repeated over time.

    Parameters
    ----------
    affine : TimeAffine, or another with its methods
    first : ndarray of float, shape (N, T, K1) or (N, K1)
    second : ndarray of float, shape (N, T, K2)

    Returns
    -------
    ndarray of float32, shape (N, T, M)
    """
    if not _by_parts(affine):
        out: Array = affine.forward(side_by_side(first, second))
        return out
    W, b = affine.params
    K = first.shape[-1]
    out = _kernels.affine_forward(first, W[:K], b)
    if first.ndim == 2:
        out = np.repeat(out[:, np.newaxis], second.shape[1], axis=1)
    out = _kernels.affine_forward(second, W[K:], out)
    affine._cache = first, second
    return out


def affine_backward(
    affine: Any, dout: Array, first_is_repeated: bool = False
) -> tuple[Array, Array]:
    """Fill the gradients after `affine_forward` of two parts, or `forward` of both side by side.

    Parameters
    ----------
    affine
    dout : ndarray of float, shape (N, T, M)
    first_is_repeated : bool
        Whether the first part is (N, K), the same at every step.

    Returns
    -------
    dfirst, dsecond : ndarray of float32
        The gradient of each part; of a ``forward`` of both, each has half of the columns.

    Raises
    ------
    RuntimeError
        There was no forward pass.
    """
    if not (_by_parts(affine) and len(affine._last_pass()) == 2):
        dx = affine.backward(dout)
        half = dx.shape[2] // 2
        first: Array = dx[:, :, :half].sum(axis=1) if first_is_repeated else dx[:, :, :half]
        return first, dx[:, :, half:]
    first, second = affine._cache
    W, (dW, db) = affine.params[0], affine.grads
    K = first.shape[-1]
    dout = as_array("dout", dout)
    dsecond = _kernels.affine_backward(dout, second, W[K:], dW[K:], db)
    if first.ndim == 2:
        dout = dout.sum(axis=1)
    return _kernels.affine_backward(dout, first, W[:K], dW[:K]), dsecond


def _as_steps(x: Array) -> Array:
    """An argument as an array with an axis of time."""
    x = as_array("x", x)
    return x if x.ndim == 3 else checked("x", x, "(N, T, K)", None, None, None)


def _by_parts(affine: object) -> bool:
    return type(affine) is TimeAffine and is_original(affine)


class Simple_TimeAffine(Layer):
    """As `TimeAffine`, with the arrays as attributes of their own.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
    b : ndarray of float, shape (M,) or (1, M)
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Simple_TimeAffine
    >>> layer = Simple_TimeAffine(np.ones((4, 6), "f"), np.zeros(6, "f"))
    >>> layer.forward(np.ones((2, 3, 4), "f")).shape
    (2, 3, 6)
    >>> layer.backward(np.ones((2, 3, 6), "f")).shape, layer.dW.shape, layer.db.shape
    ((2, 3, 4), (4, 6), (6,))
    """

    def __init__(self, W: Array, b: Array) -> None:
        _, M = check_weight("W", W, "(K, M)", None, None).shape
        check_weight("b", b, "(M,)", M)
        self.W, self.b = W, b
        self.dW, self.db = zero_gradients((W, b))

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
        x = _as_steps(x)
        out = _kernels.affine_forward(x, self.W, self.b)
        self._cache = x
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
        return _kernels.affine_backward(dout, self._last_pass(), self.W, self.dW, self.db)
