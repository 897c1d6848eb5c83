"""Dot-product attention: the weights, the weighted sum, both, and both for every decoder step."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.functions import softmax

Array = npt.NDArray[Any]


class WeightSum:
    """Weighted sum of the encoder's states: ``c = sum_t a_t h_t``."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: tuple[Array, Array] | None = None

    def forward(self, hs: Array, a: Array) -> Array:
        """Sum the states.

        Parameters
        ----------
        hs : (N, T, H) array
        a : (N, T) array

        Returns
        -------
        c : (N, H) array
        """
        N, T, _ = hs.shape
        ar = a.reshape(N, T, 1)
        c = np.sum(hs * ar, axis=1)

        self.cache = (hs, ar)
        return c

    def backward(self, dc: Array) -> tuple[Array, Array]:
        """Gradients of both inputs.

        Parameters
        ----------
        dc : (N, H) array

        Returns
        -------
        dhs : (N, T, H) array
        da : (N, T) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("WeightSum.backward was called before forward")
        hs, ar = self.cache
        N, _, H = hs.shape

        # forward was: c = sum_t(hs * ar)
        dt = dc.reshape(N, 1, H)
        dhs = dt * ar
        da = np.sum(dt * hs, axis=2)
        return dhs, da


class AttentionWeight:
    """Attention weights: ``a = softmax_t(h_t . h)``."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: tuple[Array, Array, Array] | None = None

    def forward(self, hs: Array, h: Array) -> Array:
        """Compare every encoder state with the decoder's.

        Parameters
        ----------
        hs : (N, T, H) array
        h : (N, H) array

        Returns
        -------
        a : (N, T) array
            Rows sum to one.
        """
        N, _, H = hs.shape
        hr = h.reshape(N, 1, H)
        s = np.sum(hs * hr, axis=2)
        a = softmax(s)

        self.cache = (hs, hr, a)
        return a.copy()

    def backward(self, da: Array) -> tuple[Array, Array]:
        """Gradients of both inputs.

        Parameters
        ----------
        da : (N, T) array

        Returns
        -------
        dhs : (N, T, H) array
        dh : (N, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("AttentionWeight.backward was called before forward")
        hs, hr, a = self.cache
        N, T, _ = hs.shape

        # forward was: a = softmax(s)
        ds = a * (da - np.sum(a * da, axis=1, keepdims=True))

        # forward was: s = sum_h(hs * hr)
        dt = ds.reshape(N, T, 1)
        dhs = dt * hr
        dh = np.sum(dt * hs, axis=1)
        return dhs, dh


class Attention:
    """Attention of one decoder step: `AttentionWeight`, then `WeightSum`.

    Attributes
    ----------
    attention_weight : (N, T) array or None
        Weights of the last ``forward``.

    References
    ----------
    M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to attention-based neural machine
    translation", EMNLP 2015, section 3.1, score "dot".
    """

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.attention_weight_layer = AttentionWeight()
        self.weight_sum_layer = WeightSum()
        self.attention_weight: Array | None = None

    def forward(self, hs: Array, h: Array) -> Array:
        """Context of one decoder state.

        Parameters
        ----------
        hs : (N, T, H) array
        h : (N, H) array

        Returns
        -------
        c : (N, H) array
        """
        a = self.attention_weight_layer.forward(hs, h)
        c = self.weight_sum_layer.forward(hs, a)
        self.attention_weight = a
        return c

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Gradients of both inputs.

        Parameters
        ----------
        dout : (N, H) array

        Returns
        -------
        dhs : (N, T, H) array
        dh : (N, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        dhs_sum, da = self.weight_sum_layer.backward(dout)
        dhs_weight, dh = self.attention_weight_layer.backward(da)
        return dhs_sum + dhs_weight, dh


class TimeAttention:
    """Attention of every decoder step over the same encoder states: one `Attention` for each step.

    Attributes
    ----------
    attention_weights : list of Td arrays (N, Te), or None
        Weights of the last ``forward``.
    """

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.layers: list[Attention] | None = None
        self.attention_weights: list[Array] | None = None
        self.hs_enc: Array | None = None

    def forward(self, hs_enc: Array, hs_dec: Array) -> Array:
        """Contexts of all decoder states.

        Parameters
        ----------
        hs_enc : (N, Te, H) array
        hs_dec : (N, Td, H) array

        Returns
        -------
        contexts : (N, Td, H) array
        """
        N, T, H = hs_dec.shape
        out = np.empty((N, T, H), dtype=np.result_type(hs_enc, hs_dec, np.float32))
        self.hs_enc = hs_enc
        self.layers = []
        self.attention_weights = []
        for t in range(T):
            layer = Attention()
            out[:, t, :] = layer.forward(hs_enc, hs_dec[:, t, :])
            self.layers.append(layer)
            assert layer.attention_weight is not None
            self.attention_weights.append(layer.attention_weight)
        return out

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Gradients of both inputs.

        Parameters
        ----------
        dout : (N, Td, H) array

        Returns
        -------
        dhs_enc : (N, Te, H) array
        dhs_dec : (N, Td, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None or self.hs_enc is None:
            raise RuntimeError("TimeAttention.backward was called before forward")
        N, T, H = dout.shape
        dtype = np.result_type(self.hs_enc, dout, np.float32)
        dhs_enc = np.zeros(self.hs_enc.shape, dtype=dtype)
        dhs_dec = np.empty((N, T, H), dtype=dtype)
        for t in range(T):
            dhs, dh = self.layers[t].backward(dout[:, t, :])
            dhs_enc += dhs
            dhs_dec[:, t, :] = dh
        return dhs_enc, dhs_dec
