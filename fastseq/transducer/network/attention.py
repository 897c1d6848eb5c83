"""Attention of a decoder, and the attentional state computed from it.

The attentional state of a decoder state and its context is
``a = tanh([context | state] W_combine + b_combine)`` (Luong, Pham and Manning, "Effective
Approaches to Attention-based Neural Machine Translation", 2015, equation 5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import Affine, ScoredAttention
from fastseq.layers.packed import Steps
from fastseq.transducer.network.encoder import Encoded
from fastseq.transducer.network.parameters import Layer, NetworkConfig

Array = npt.NDArray[Any]

_PARAMETERS = {
    "general": ("attention.general",),
    "additive": ("attention.encoder", "attention.decoder", "attention.v"),
}


class AttentionalState:
    """Attention, and the map of contexts and states to attentional states.

    Parameters
    ----------
    config : NetworkConfig
    params : dict of str to ndarray of float32
        Those of the network; this holds its own of them.

    Attributes
    ----------
    layers : list
        The parts that have parameters.
    """

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        names = _PARAMETERS.get(config.attention, ())
        self._attention = ScoredAttention(config.attention, [params[name] for name in names])
        self._combine = Affine(params["combine.W"], params["combine.b"])
        self._cache: tuple[Array, Steps] | None = None
        self.layers: list[Layer] = [self._attention, self._combine]

    def forward(self, encoded: Encoded, states: Array, lengths: Array, steps: Steps) -> Array:
        """Attentional states (R, H) of the real steps of the decoder's states (N, Td, H)."""
        contexts = self._attention.forward(encoded.outputs, states, encoded.lengths, lengths)
        both = np.concatenate((steps.gather(contexts), steps.gather(states)), axis=1)
        a = _kernels.tanh(self._combine.forward(both))
        self._cache = a, steps
        return a

    @property
    def weights(self) -> Array:
        """The weights (N, Td, Te) of the last `forward`."""
        assert self._attention.attention_weights is not None
        return self._attention.attention_weights

    def backward(self, da: Array, dweights: Array | None = None) -> tuple[Array, Array]:
        """Gradients of the encoder's outputs (N, Te, H) and of the states (N, Td, H).

        `dweights` (N, Td, Te) is that of the weights, where they are read too.
        """
        assert self._cache is not None
        a, steps = self._cache
        H = a.shape[1]
        # forward was: a = tanh([contexts | states] W_combine + b_combine)
        dboth = self._combine.backward(da * (1 - a * a))
        doutputs, dstates = self._attention.backward(steps.scatter(dboth[:, :H]), dweights)
        return doutputs, dstates + steps.scatter(dboth[:, H:])

    def keys(self, outputs: Array) -> Array | None:
        """The projected outputs that additive attention compares, once for all steps."""
        if self._attention.kind != "additive":
            return None
        return _kernels.affine_forward(outputs, self._attention.params[0])

    def step(self, encoded: Encoded, states: Array) -> tuple[Array, Array]:
        """Attentional states (N, H) of states (N, H), and weights (N, Te); nothing is kept."""
        contexts, weights = self._attend(encoded, states[:, np.newaxis])
        both = np.concatenate((contexts[:, 0], states), axis=1)
        return _kernels.tanh(_kernels.affine_forward(both, *self._combine.params)), weights[:, 0]

    def for_decoding(self, encoded: Encoded) -> dict[str, Any]:
        """The arguments of `_kernels.decode` for the same computation."""
        given: dict[str, Any] = {
            "hs_enc": encoded.outputs,
            "encoder_lengths": encoded.lengths,
            "combine": self._combine.params,
        }
        match self._attention.kind:
            case "additive":
                _, W, v = self._attention.params
                given |= {"keys": encoded.keys, "W_query": W, "v": v}
            case "general":
                given |= {"W_query": self._attention.params[0]}
            case "scaled_dot":
                given |= {"scale": 1 / np.sqrt(encoded.outputs.shape[2])}
        return given

    def _attend(self, encoded: Encoded, states: Array) -> tuple[Array, Array]:
        outputs, lengths = encoded.outputs, encoded.lengths
        match self._attention.kind:
            case "additive":
                assert encoded.keys is not None
                _, W, v = self._attention.params
                queries = _kernels.affine_forward(states, W)
                weights = _kernels.additive_weight_forward(encoded.keys, queries, v, lengths)
                return _kernels.weight_sum_forward(outputs, weights, lengths), weights
            case "general":
                queries = _kernels.affine_forward(states, *self._attention.params)
                return _kernels.attention_forward(outputs, queries, 1.0, lengths)
            case "scaled_dot":
                scale = 1 / np.sqrt(states.shape[2])
                return _kernels.attention_forward(outputs, states, scale, lengths)
            case _:
                return _kernels.attention_forward(outputs, states, 1.0, lengths)
