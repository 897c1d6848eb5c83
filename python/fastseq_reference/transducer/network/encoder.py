"""The encoder of one source sequence, without padding.

In shapes, te is the length of the source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import Embedding
from fastseq_reference.transducer.network.parameters import NetworkConfig, recurrent_layer

Array = npt.NDArray[Any]


class Encoder:
    """One source of te symbols."""

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        self.reverse = config.reverse
        self.embedding = Embedding(params["source_embedding"])
        directions = "01" if config.encoder == "bidirectional" else "0"
        self.recurrent = [
            recurrent_layer(config, params, [f"encoder.{layer}.{k}" for k in directions])
            for layer in range(config.layers)
        ]
        self.layers: list[Any] = [self.embedding, *self.recurrent]

    def forward(
        self, source: Array, masks: list[Any]
    ) -> tuple[Array, list[Array], list[Array | None]]:
        """Outputs (1, te, H), and the last h and c (1, H) of each layer; a mask for each layer."""
        self.masks = masks
        e = self.embedding.forward(source)
        if self.reverse:
            e = e[::-1]
        xs = e[np.newaxis]
        all_h: list[Array] = []
        all_c: list[Array | None] = []
        for layer, mask in zip(self.recurrent, masks, strict=True):
            hs, h, c = layer.forward(xs)
            xs = hs * mask
            all_h.append(h)
            all_c.append(c)
        return xs, all_h, all_c

    def backward(self, doutputs: Array, all_dh: list[Array], all_dc: list[Array | None]) -> None:
        """Gradients of the parameters from those of the outputs, and of the last h and c."""
        dxs = doutputs
        for layer, mask, dh, dc in reversed(
            list(zip(self.recurrent, self.masks, all_dh, all_dc, strict=True))
        ):
            # forward was: xs = hs * mask
            dxs, _, _ = layer.backward(dxs * mask, dh, dc)
        de = dxs[0]
        if self.reverse:
            de = de[::-1]
        self.embedding.backward(de)
