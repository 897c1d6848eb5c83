"""The decoder of one target sequence, without padding.

In shapes, te and td are the lengths of the source and of the target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import Affine, Embedding, ScoredAttention
from fastseq_reference.transducer.network.copying import Copying
from fastseq_reference.transducer.network.hard_attention import HardAttention
from fastseq_reference.transducer.network.parameters import NetworkConfig, recurrent_layer

Array = npt.NDArray[Any]


class Decoder:
    """One target, or a part of it, of td symbols."""

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        self.peeky = config.peeky
        self.embedding = Embedding(params["target_embedding"])
        self.recurrent = [
            recurrent_layer(config, params, [f"decoder.{layer}"]) for layer in range(config.layers)
        ]
        self.output = Affine(params["output.W"], params["output.b"])
        self.layers: list[Any] = [self.embedding, *self.recurrent, self.output]
        self.attention: ScoredAttention | None = None
        self.hard: HardAttention | None = None
        if config.attention == "hard":
            self.hard = HardAttention(params)
            self.layers = [self.embedding, *self.recurrent, *self.hard.layers]
        elif config.attention != "none":
            weights = [value for name, value in params.items() if name.startswith("attention.")]
            self.attention = ScoredAttention(config.attention, weights)
            self.combine = Affine(params["combine.W"], params["combine.b"])
            self.layers += [self.attention, self.combine]
        self.copying: Copying | None = None
        if config.copies is not None:
            self.copying = Copying(params)
            self.layers += self.copying.layers

    def forward(
        self,
        inputs: Array,
        outputs: Array,
        h_top: Array,
        first: tuple[list[Array], list[Array | None]],
        masks: list[Any],
        joint: Array | None = None,
        copied: tuple[list[int], int] | None = None,
    ) -> tuple[Array, list[Array], list[Array | None]]:
        """Scores (td, V), and the final h and c (1, H) of each layer.

        ``outputs`` (1, te, H) and ``h_top`` (1, H) are those of the encoder; ``first`` are the
        initial h and c of the layers; ``masks`` has one for each layer, and one for the output.
        ``joint`` is that of the step before, of hard attention. ``copied`` has the ids that are
        copied from the source's positions as they are read, and the number of ids.
        """
        self.masks = masks
        self.outputs = outputs
        peeked = np.repeat(h_top, len(inputs), axis=0)
        d = self.embedding.forward(inputs)
        if self.peeky:
            d = np.hstack((peeked, d))
        xs = d[np.newaxis]
        all_h: list[Array] = []
        all_c: list[Array | None] = []
        for layer, mask, h0, c0 in zip(self.recurrent, masks[:-1], *first, strict=True):
            hs, h, c = layer.forward(xs, h0, c0)
            xs = hs * mask
            all_h.append(h)
            all_c.append(c)
        a = dec = xs[0]
        if self.hard is not None:
            return self.hard.forward(outputs[0], dec, inputs, masks[-1], joint), all_h, all_c
        if self.attention is not None:
            contexts = self.attention.forward(outputs, xs)[0]
            a = self.a = np.tanh(self.combine.forward(np.hstack((contexts, dec))))
        if self.peeky:
            a = np.hstack((peeked, a))
        a = a * masks[-1]
        scores = self.output.forward(a)
        if self.copying is not None:
            assert self.attention is not None and copied is not None
            assert self.attention.attention_weights is not None
            weights = self.attention.attention_weights[0]
            scores = self.copying.forward(scores, a, weights, *copied)
        return scores, all_h, all_c

    def backward(self, dscores: Array) -> tuple[Array, list[Array], list[Array | None]]:
        """Gradients of the outputs, and of the final h and c of the encoder."""
        H = self.outputs.shape[2]
        doutputs = np.zeros_like(self.outputs)
        dh_top = np.zeros_like(self.outputs[:, 0])

        if self.hard is not None:
            own, dstates = self.hard.backward(dscores)
            return self._backward_recurrent(own[np.newaxis], dh_top, dstates[np.newaxis])
        # forward was: scores = output(a * mask)
        dweights = None
        if self.copying is None:
            da = self.output.backward(dscores) * self.masks[-1]
        else:
            dscores, dread, dweights = self.copying.backward(dscores)
            da = (self.output.backward(dscores) + dread) * self.masks[-1]
            dweights = dweights[np.newaxis]
        if self.peeky:
            # forward was: a = [peeked | a]
            dh_top += da[:, :H].sum(axis=0)
            da = da[:, H:]
        dxs = da[np.newaxis]
        if self.attention is not None:
            # forward was: a = tanh(combine([contexts | dec]))
            dboth = self.combine.backward(da * (1 - self.a**2))
            doutputs, dxs = self.attention.backward(dboth[np.newaxis, :, :H], dweights)
            dxs = dxs + dboth[np.newaxis, :, H:]
        return self._backward_recurrent(doutputs, dh_top, dxs)

    def _backward_recurrent(
        self, doutputs: Array, dh_top: Array, dxs: Array
    ) -> tuple[Array, list[Array], list[Array | None]]:
        H = self.outputs.shape[2]
        all_dh: list[Array] = []
        all_dc: list[Array | None] = []
        for layer, mask in reversed(list(zip(self.recurrent, self.masks[:-1], strict=True))):
            # forward was: xs = hs * mask
            dxs, dh, dc = layer.backward(dxs * mask)
            all_dh.insert(0, dh)
            all_dc.insert(0, dc)
        dd = dxs[0]
        if self.peeky:
            # forward was: d = [peeked | d]
            dh_top += dd[:, :H].sum(axis=0)
            dd = dd[:, H:]
        self.embedding.backward(dd)
        # the final h of the top layer of the encoder is both peeked and an initial state
        all_dh[-1] = all_dh[-1] + dh_top
        return doutputs, all_dh, all_dc
