"""An affine map followed by an activation, as the Dense layer of Keras is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers import Affine, relu, sigmoid, softmax
from fastseq.layers.base import as_float32, check_choice

Array = npt.NDArray[Any]

# Of each activation y = f(a): f, and the gradient of a from y and that of y.
_ACTIVATIONS: dict[str, Any] = {
    "relu": (relu, lambda y, dy: dy * (y > 0)),
    "sigmoid": (sigmoid, lambda y, dy: dy * y * (1 - y)),
    "softmax": (softmax, lambda y, dy: y * (dy - (dy * y).sum(axis=-1, keepdims=True))),
    "tanh": (np.tanh, lambda y, dy: dy * (1 - y * y)),
}


class Dense(Affine):
    """An affine map of rows and an activation: ``y = f(x W + b)``.

    Parameters
    ----------
    W : ndarray of float, shape (K, M)
    b : ndarray of float, shape (M,) or (1, M)
    activation : {"relu", "sigmoid", "softmax", "tanh"}
        The softmax is that of the last axis.

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W, b]``, the caller's own arrays, and their gradients after `backward`.
    activation : str

    Raises
    ------
    TypeError, ValueError
        A weight is no float array, or of a shape that does not fit; or there is no such activation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.interop import Dense
    >>> layer = Dense(np.ones((2, 3), "f"), np.array([-9, 0, 1], "f"), "relu")
    >>> layer.forward(np.array([[1, 2]], "f")).tolist()
    [[0.0, 3.0, 4.0]]
    >>> layer.backward(np.ones((1, 3), "f")).tolist()
    [[2.0, 2.0]]
    """

    def __init__(self, W: Array, b: Array, activation: str) -> None:
        super().__init__(W, b)
        check_choice("activation", activation, _ACTIVATIONS)
        self.activation = activation
        self._y: Array | None = None

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
        function, _ = _ACTIVATIONS[self.activation]
        y: Array = function(super().forward(x))
        self._y = y.copy()  # the caller may change the result before backward
        return y

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
        TypeError, ValueError
            ``dout`` is of the wrong kind or shape.
        """
        self._last_pass()
        assert self._y is not None
        _, gradient = _ACTIVATIONS[self.activation]
        return super().backward(gradient(self._y, as_float32("dout", dout, self._y.shape)))
