"""Dot-product attention: for one decoder state, and for all steps of a decoder.

Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015
(the "dot" score)::

    a_t = softmax over t of (h_t . h);    c = sum over t of a_t h_t
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import Layer, as_array, checked, fusable, is_original, renamed

Array = npt.NDArray[Any]


def _one_step(name: str, array: Array, letters: str) -> Array:
    """A two-dimensional argument with the time axis of length 1 that the kernels expect."""
    array = as_array(name, array)
    return (array if array.ndim == 2 else checked(name, array, letters, None, None))[:, np.newaxis]


def _check_step(hs: Array, name: str, array: Array, letters: str, axes: tuple[int, int]) -> None:
    """Raise the error that a kernel found, in the names and shapes of one step."""
    sizes = checked("hs", hs, "(N, T, H)", None, None, None).shape
    checked(name, array[:, 0], letters, *(sizes[axis] for axis in axes))


@fusable
class WeightSum(Layer):
    """The weighted sum of encoder states: ``c = sum over t of a_t h_t``.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import WeightSum
    >>> layer = WeightSum()
    >>> hs = np.array([[[1, 2], [3, 4]]], "f")
    >>> layer.forward(hs, np.array([[0.5, 0.5]], "f")).tolist()
    [[2.0, 3.0]]
    >>> dhs, da = layer.backward(np.ones((1, 2), "f"))
    >>> dhs.tolist(), da.tolist()
    ([[[0.5, 0.5], [0.5, 0.5]]], [[3.0, 7.0]])
    """

    def forward(self, hs: Array, a: Array) -> Array:
        """Sum ``hs`` over time with weights ``a``.

        Parameters
        ----------
        hs : ndarray of float, shape (N, T, H)
        a : ndarray of float, shape (N, T) or (N, T, 1)

        Returns
        -------
        ndarray of float32, shape (N, H)

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        hs, a = as_array("hs", hs), as_array("a", a)
        if a.ndim == 3 and a.shape[2] == 1:
            a = a[:, :, 0]
        weights = _one_step("a", a, "(N, T)")
        try:
            context = _kernels.weight_sum_forward(hs, weights)
        except (TypeError, ValueError):
            _check_step(hs, "a", weights, "(N, T)", (0, 1))
            raise
        self._cache = hs, weights
        return context[:, 0]

    def backward(self, dc: Array) -> tuple[Array, Array]:
        """Gradients of both arguments of `forward`.

        Parameters
        ----------
        dc : ndarray of float, shape (N, H)

        Returns
        -------
        dhs : ndarray of float32, shape (N, T, H)
        da : ndarray of float32, shape (N, T)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dc`` is of the wrong kind or shape.
        """
        dout = _one_step("dc", dc, "(N, H)")
        dhs, da = _kernels.weight_sum_backward(dout, *self._last_pass())
        return dhs, da[:, 0]


@fusable
class AttentionWeight(Layer):
    """The weight of each encoder state for one decoder state: ``a = softmax(hs . h)``.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import AttentionWeight
    >>> layer = AttentionWeight()
    >>> hs = np.array([[[2, 0], [0, 2]]], "f")
    >>> layer.forward(hs, np.array([[1, 0]], "f")).round(2)
    array([[0.88, 0.12]], dtype=float32)
    >>> dhs, dh = layer.backward(np.ones((1, 2), "f"))
    >>> dhs.shape, dh.shape
    ((1, 2, 2), (1, 2))
    """

    def forward(self, hs: Array, h: Array) -> Array:
        """Weigh the encoder states.

        Parameters
        ----------
        hs : ndarray of float, shape (N, T, H)
        h : ndarray of float, shape (N, H)

        Returns
        -------
        ndarray of float32, shape (N, T)
            Each row sums to 1.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        hs = as_array("hs", hs)
        hs_dec = _one_step("h", h, "(N, H)")
        try:
            weights = _kernels.attention_weight_forward(hs, hs_dec)
        except (TypeError, ValueError) as error:
            _check_step(hs, "h", hs_dec, "(N, H)", (0, 2))
            raise renamed(error, "hs", "hs_enc") from error
        self._cache = hs, hs_dec, weights
        return weights[:, 0].copy()

    def backward(self, da: Array) -> tuple[Array, Array]:
        """Gradients of both arguments of `forward`.

        Parameters
        ----------
        da : ndarray of float, shape (N, T)

        Returns
        -------
        dhs : ndarray of float32, shape (N, T, H)
        dh : ndarray of float32, shape (N, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``da`` is of the wrong kind or shape.
        """
        dweights = _one_step("da", da, "(N, T)")
        dhs, dh = _kernels.attention_weight_backward(dweights, *self._last_pass())
        return dhs, dh[:, 0]


class Attention(Layer):
    """Attention of one decoder state: `AttentionWeight`, then `WeightSum`.

    The "dot" score of Luong, Pham and Manning 2015.

    Attributes
    ----------
    params, grads : list
        Empty.
    attention_weight_layer : AttentionWeight
    weight_sum_layer : WeightSum
        Both may be replaced.
    attention_weight : ndarray of float32, shape (N, T), or None
        The weights of the last `forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Attention
    >>> layer = Attention()
    >>> hs = np.array([[[2, 0], [0, 2]]], "f")
    >>> layer.forward(hs, np.array([[1, 0]], "f")).round(2)
    array([[1.76, 0.24]], dtype=float32)
    >>> layer.attention_weight.round(2)
    array([[0.88, 0.12]], dtype=float32)
    >>> [gradient.shape for gradient in layer.backward(np.ones((1, 2), "f"))]
    [(1, 2, 2), (1, 2)]
    """

    _cache: tuple[Array, Array, Array] | None = None  # where one kernel call did both

    def __init__(self) -> None:
        super().__init__()
        self.attention_weight_layer: Any = AttentionWeight()
        self.weight_sum_layer: Any = WeightSum()
        self.attention_weight: Array | None = None

    def forward(self, hs: Array, h: Array) -> Array:
        """The context of ``h``.

        Parameters
        ----------
        hs : ndarray of float, shape (N, T, H)
        h : ndarray of float, shape (N, H)

        Returns
        -------
        ndarray of float32, shape (N, H)

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        self._cache = None
        if not self._has_original_layers():
            self.attention_weight = self.attention_weight_layer.forward(hs, h)
            c: Array = self.weight_sum_layer.forward(hs, self.attention_weight)
            return c
        hs = as_array("hs", hs)
        hs_dec = _one_step("h", h, "(N, H)")
        try:
            context, weights = _kernels.attention_forward(hs, hs_dec)
        except (TypeError, ValueError) as error:
            _check_step(hs, "h", hs_dec, "(N, H)", (0, 2))
            raise renamed(error, "hs", "hs_enc") from error
        self._cache = hs, hs_dec, weights
        self.attention_weight = weights[:, 0]
        return context[:, 0]

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Gradients of both arguments of `forward`.

        Parameters
        ----------
        dout : ndarray of float, shape (N, H)

        Returns
        -------
        dhs : ndarray of float32, shape (N, T, H)
        dh : ndarray of float32, shape (N, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dout`` is of the wrong kind or shape.
        """
        if self._cache is not None:
            if self._has_original_layers():
                dout = _one_step("dout", dout, "(N, H)")
                dhs, dh = _kernels.attention_backward(dout, *self._cache)
                return dhs, dh[:, 0]
            hs, hs_dec, _ = self._cache  # a layer was replaced after forward
            self.weight_sum_layer.forward(hs, self.attention_weight_layer.forward(hs, hs_dec[:, 0]))
        dhs_sum, da = self.weight_sum_layer.backward(dout)
        dhs_weight, dh = self.attention_weight_layer.backward(da)
        return dhs_sum + dhs_weight, dh

    def _has_original_layers(self) -> bool:
        weigh, add = self.attention_weight_layer, self.weight_sum_layer
        is_own = type(weigh) is AttentionWeight and type(add) is WeightSum
        return is_own and is_original(weigh) and is_original(add)


@fusable
class TimeAttention(Layer):
    """Attention of every decoder step over all encoder states.

    The "dot" score of Luong, Pham and Manning 2015.

    Attributes
    ----------
    params, grads : list
        Empty.
    attention_weights : list of ndarray of float32, or None
        One array (N, Te) for each of the Td decoder steps of the last `forward`.
    layers : list of Attention, or None
        One for each of these steps, made when it is read; each has its `attention_weight`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeAttention
    >>> layer = TimeAttention()
    >>> hs_enc, hs_dec = np.ones((2, 5, 4), "f"), np.ones((2, 3, 4), "f")
    >>> layer.forward(hs_enc, hs_dec).shape
    (2, 3, 4)
    >>> len(layer.attention_weights), layer.attention_weights[0].shape
    (3, (2, 5))
    >>> [gradient.shape for gradient in layer.backward(np.ones((2, 3, 4), "f"))]
    [(2, 5, 4), (2, 3, 4)]
    """

    _layers: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.attention_weights: list[Array] | None = None

    def forward(self, hs_enc: Array, hs_dec: Array) -> Array:
        """The contexts of all decoder steps.

        Parameters
        ----------
        hs_enc : ndarray of float, shape (N, Te, H)
        hs_dec : ndarray of float, shape (N, Td, H)

        Returns
        -------
        ndarray of float32, shape (N, Td, H)

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        hs_enc, hs_dec = as_array("hs_enc", hs_enc), as_array("hs_dec", hs_dec)
        contexts, weights = _kernels.attention_forward(hs_enc, hs_dec)
        self._cache = hs_enc, hs_dec, weights
        self.attention_weights = list(weights.transpose(1, 0, 2))
        self._layers = None
        return contexts

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Gradients of both arguments of `forward`.

        Parameters
        ----------
        dout : ndarray of float, shape (N, Td, H)

        Returns
        -------
        dhs_enc : ndarray of float32, shape (N, Te, H)
        dhs_dec : ndarray of float32, shape (N, Td, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dout`` is of the wrong kind or shape.
        """
        return _kernels.attention_backward(dout, *self._last_pass())

    @property
    def layers(self) -> Any:
        """One `Attention` for each step of the last `forward`, or None; a list may be assigned."""
        if self._layers is None and self._cache is not None:
            self._layers = [Attention() for _ in range(self._cache[1].shape[1])]
            for layer, weights in zip(self._layers, self._cache[2].transpose(1, 0, 2), strict=True):
                layer.attention_weight = weights
        return self._layers

    @layers.setter
    def layers(self, layers: Any) -> None:
        self._layers = layers
