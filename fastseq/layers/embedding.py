"""The embedding layer, of ids and of sequences of them: one row of ``W`` for every id."""

from typing import Any

import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import (
    Layer,
    as_array,
    check_weight,
    checked,
    fusable,
    renamed,
)

Array = npt.NDArray[Any]


class Embedding(Layer):
    """Look up one vector for every id.

    Parameters
    ----------
    W : ndarray of float, shape (V, D)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W]``, the caller's own array, and its gradient after `backward`.

    Raises
    ------
    TypeError, ValueError
        ``W`` is no float array of two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Embedding
    >>> layer = Embedding(np.array([[0, 0], [1, 10], [2, 20]], "f"))
    >>> layer.forward(np.array([2, 1, 2])).tolist()
    [[2.0, 20.0], [1.0, 10.0], [2.0, 20.0]]
    >>> layer.backward(np.ones((3, 2), "f"))
    >>> layer.grads[0].tolist()
    [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    """

    def __init__(self, W: Array) -> None:
        check_weight("W", W, "(V, D)", None, None)
        self._hold(W)

    def forward(self, idx: Array) -> Array:
        """Gather the rows of ``W``.

        Parameters
        ----------
        idx : ndarray of int, shape (N,) or any other

        Returns
        -------
        ndarray of float32, shape (N, D)

        Raises
        ------
        IndexError
            An id is negative or not below V; the message says which, where, and V.
        TypeError
            ``idx`` is not of integers.
        """
        self._cache, out = _look_up("idx", self.params[0], as_array("idx", idx))
        return out

    def backward(self, dout: Array) -> None:
        """Add the gradients of equal ids together in ``grads[0]``.

        Parameters
        ----------
        dout : ndarray of float, shape (N, D); of sequences (N, T, D)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        (dW,) = self.grads
        _kernels.embedding_backward(dW, self._last_pass(), dout)


@fusable
class TimeEmbedding(Embedding):
    """Look up one vector for every id of every time step.

    Parameters
    ----------
    W : ndarray of float, shape (V, D)

    Attributes
    ----------
    params, grads : list of ndarray
        ``[W]``, the caller's own array, and its gradient after `backward`.
    W : ndarray
        The same array as ``params[0]``.

    Raises
    ------
    TypeError, ValueError
        ``W`` is no float array of two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeEmbedding
    >>> layer = TimeEmbedding(np.ones((10, 4), "f"))
    >>> layer.forward(np.array([[3, 1, 3], [0, 9, 9]])).shape
    (2, 3, 4)
    >>> layer.backward(np.ones((2, 3, 4), "f"))
    >>> layer.grads[0][:, 0].tolist()
    [1.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]
    """

    @property
    def W(self) -> Array:
        """The table of vectors, ``params[0]``."""
        return self.params[0]

    @W.setter
    def W(self, W: Array) -> None:
        check_weight("W", W, "(V, D)", *self.grads[0].shape)
        self.params[0] = W

    def forward(self, xs: Array) -> Array:
        """Gather the rows of ``W``.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)

        Returns
        -------
        ndarray of float32, shape (N, T, D)

        Raises
        ------
        IndexError
            An id is negative or not below V; the message says which, where, and V.
        TypeError, ValueError
            ``xs`` is not of integers, or not of two dimensions.
        """
        xs = as_array("xs", xs)
        if xs.ndim != 2:
            checked("xs", xs, "(N, T)", None, None, kinds="iu")
        self._cache, out = _look_up("xs", self.params[0], xs)
        return out


def _look_up(name: str, W: Array, ids: Array) -> tuple[Array, Array]:
    """A copy of the ids, and their rows of W; errors name the argument that the ids came as."""
    own = ids.copy()  # the caller may fill its array with the next batch before backward
    try:
        return own, _kernels.embedding_forward(W, own)
    except (TypeError, IndexError) as error:
        raise renamed(error, name, "ids") from error


def remember_ids(embed: TimeEmbedding, ids: Array) -> None:
    """Let `TimeEmbedding.backward` follow a forward pass that another layer made of these ids."""
    embed._cache = ids
