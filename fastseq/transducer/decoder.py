"""The decoder: embedding, recurrent layers, attention, and the scores of what comes next.

The recurrent layers start from the encoder's last states (Sutskever, Vinyals and Le, "Sequence to
Sequence Learning with Neural Networks", 2014). A peeky decoder sees the last state of the encoder's
top layer at every step, and so does its output layer (Cho et al., "Learning Phrase Representations
using RNN Encoder-Decoder for Statistical Machine Translation", 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import Affine, Embedding, RecurrentLayer
from fastseq.transducer.attention import AttentionalState
from fastseq.transducer.encoder import Encoded
from fastseq.transducer.loss import log_softmax
from fastseq.transducer.parameters import Layer, NetworkConfig, recurrent_parameters
from fastseq.transducer.rows import Dropout, Steps

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class State:
    """Where the decoder is in N targets.

    Attributes
    ----------
    h : list of ndarray of float32, shape (N, H)
        Each layer's states.
    c : list of ndarray of float32, shape (N, H), or of None
        The LSTM's other states.
    """

    h: list[Array]
    c: list[Array | None]

    def take(self, rows: Array) -> State:
        """These rows, in this order; a row may be taken more than once."""
        return State([h[rows] for h in self.h], [None if c is None else c[rows] for c in self.c])


class Decoder:
    """From what the encoder gives, and the symbols so far, to scores of the next.

    Parameters
    ----------
    config : NetworkConfig
    params : dict of str to ndarray of float32
        Those of the network; the decoder holds its own of them.

    Attributes
    ----------
    attention : AttentionalState or None
    layers : list
        Everything that has parameters.
    """

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        self._peeky = config.peeky
        self._embedding = Embedding(params["target_embedding"])
        self._recurrent = [
            RecurrentLayer(config.cell, recurrent_parameters(params, f"decoder.{layer}"))
            for layer in range(config.layers)
        ]
        self._dropouts = [Dropout(config.dropout) for _ in self._recurrent]
        self.attention = None if config.attention == "none" else AttentionalState(config, params)
        self._output_dropout = Dropout(config.dropout)
        self._output = Affine(params["output.W"], params["output.b"])
        self._cache: tuple[Steps, Encoded] | None = None
        self.layers: list[Layer] = [self._embedding, *self._recurrent, self._output]
        if self.attention is not None:
            self.layers += self.attention.layers

    def forward(
        self,
        inputs: Array,
        lengths: Array,
        encoded: Encoded,
        generator: np.random.Generator | None,
    ) -> Array:
        """Score what follows each input, and keep what `backward` needs.

        Parameters
        ----------
        inputs : ndarray of int, shape (N, Td)
        lengths : ndarray of int, shape (N,)
        encoded : Encoded
        generator : numpy.random.Generator or None
            For the masks of the dropout; None for no dropout.

        Returns
        -------
        ndarray of float32, shape (R, V)
            Of the R real steps, row by row of the batch.
        """
        steps = Steps(lengths, inputs.shape[1])
        self._cache = steps, encoded
        d = self._embedding.forward(steps.gather(inputs))
        if self._peeky:
            peeked = steps.repeat(encoded.h[-1])
            d = np.concatenate((peeked, d), axis=1)
        xs = steps.scatter(d)
        stack = zip(self._recurrent, self._dropouts, encoded.h, encoded.c, strict=True)
        for layer, dropout, h0, c0 in stack:
            xs, _, _ = layer.forward(xs, h0, c0, lengths)
            xs = dropout.forward(xs, generator)
        if self.attention is None:
            a = steps.gather(xs)
        else:
            a = self.attention.forward(encoded, xs, lengths, steps)
        if self._peeky:
            a = np.concatenate((peeked, a), axis=1)
        return self._output.forward(self._output_dropout.forward(a, generator))

    def backward(self, dscores: Array) -> tuple[Array, list[Array], list[Array | None]]:
        """Fill the gradients, and return those of the encoder's outputs, h and c."""
        assert self._cache is not None
        steps, encoded = self._cache
        H = encoded.outputs.shape[2]
        dh: list[Array] = []
        dc: list[Array | None] = []
        da = self._output_dropout.backward(self._output.backward(dscores))
        if self._peeky:
            # forward was: a = [peeked | a]
            dpeeked, da = da[:, :H], da[:, H:]
        if self.attention is None:
            doutputs, dxs = np.zeros_like(encoded.outputs), steps.scatter(da)
        else:
            doutputs, dxs = self.attention.backward(da)
        for layer, dropout in reversed(list(zip(self._recurrent, self._dropouts, strict=True))):
            # forward was: xs = dropout(layer(xs, h0, c0))
            dxs, dh0, dc0 = layer.backward(dropout.backward(dxs))
            dh.insert(0, dh0)
            dc.insert(0, dc0)
        dd = steps.gather(dxs)
        if self._peeky:
            # forward was: d = [peeked | d]
            dh[-1] += steps.total(dpeeked + dd[:, :H])
            dd = dd[:, H:]
        self._embedding.backward(dd)
        return doutputs, dh, dc

    def step(self, encoded: Encoded, state: State, ids: Array) -> tuple[Array, State, Array | None]:
        """Read one id in each row (N); `Network.step` says what comes of it."""
        (W,) = self._embedding.params
        d = _kernels.embedding_forward(W, ids)
        if self._peeky:
            d = np.concatenate((encoded.h[-1], d), axis=1)
        xs = d[:, np.newaxis]
        h: list[Array] = []
        c: list[Array | None] = []
        for layer, h0, c0 in zip(self._recurrent, state.h, state.c, strict=True):
            xs, h1, c1 = _kernels.recurrent_forward(
                _kernels.Workspace(), layer.cell, xs, layer.params, h0, c0
            )
            h.append(h1)
            c.append(c1)
        a, weights = h[-1], None
        if self.attention is not None:
            a, weights = self.attention.step(encoded, a)
        if self._peeky:
            a = np.concatenate((encoded.h[-1], a), axis=1)
        scores = _kernels.affine_forward(a, *self._output.params)
        return log_softmax(scores), State(h, c), weights
