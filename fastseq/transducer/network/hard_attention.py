"""Hard attention: each target symbol is written from one source position, and all are summed over.

The position that target symbol t is written from is a hidden variable: a Markov chain, whose next
position depends on the state of the decoder and on the length of the jump from the one before. The
sum over all paths is exact, by the forward algorithm (Wu and Cotterell, "Exact Hard Monotonic
Attention for Character-Level Transduction", 2019; here the chain may go back, where that is
learned). With encoder outputs h_j and decoder states s_t::

    move_t(i, j)    ~  w_t(j) k_t(j - i),    w_t = softmax_j(s_t W_general . h_j)
    k_t             =  softmax(s_t W_jump + b_jump), jumps cut to those of `_kernels.JUMPS`
    emit_t(j, v)    =  softmax_v(tanh(h_j W_keys + s_t W_combine + b_combine) W_output + b_output)
    prior_t(j)      =  sum_i belief_t(i) move_t(i, j)
    p_t(v)          =  sum_j prior_t(j) emit_t(j, v)
    belief_t+1(j)   =  prior_t(j) emit_t(j, x) / p_t(x),    x the symbol that is read next

Before the first symbol the position is the first. The sums over positions are those of
`fastseq._kernels.hard_attention_forward`. The moves are never stored as a whole, so memory grows
with the length of the source and not with its square.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import Affine, MatMul
from fastseq.layers.packed import Steps
from fastseq.transducer.network.encoder import Encoded
from fastseq.transducer.network.parameters import Layer
from fastseq.transducer.network.rows import Dropout

Array = npt.NDArray[Any]


class Emitted(NamedTuple):
    """The last step of N targets: the next depends on its symbol.

    Attributes
    ----------
    priors : ndarray of float32, shape (N, Te)
        The probability of each position.
    scores : ndarray of float32, shape (N, Te, V)
        Of each symbol at each position.
    """

    priors: Array
    scores: Array

    def take(self, rows: Array) -> Emitted:
        """These rows, in this order; a row may be taken more than once."""
        return Emitted(self.priors[rows], self.scores[rows])


class _Pass(NamedTuple):
    """What `HardAttention.backward` needs of `forward`; S are the source's positions."""

    encoded: Encoded
    steps: Steps
    lengths: tuple[Array, Array]  # of the sources and of the targets
    query: Array  # (N, Td, H)
    mask: Array | None  # (N, Td, H)
    features: Array  # (N, Td, S, H)
    # scores, content, jump scores and ids, see `_kernels.hard_attention_forward`
    chain: tuple[Array, Array, Array, Array]


class HardAttention:
    """From decoder states to log probabilities, with attention to one position at a time.

    Parameters
    ----------
    params : dict of str to ndarray of float32
        Those of the network; this holds its own of them.
    dropout : float
        The share of the values before the output layer that are zeroed in training, the same at
        all positions.

    Attributes
    ----------
    layers : list
        The parts that have parameters.
    """

    def __init__(self, params: dict[str, Array], dropout: float) -> None:
        self._general = MatMul(params["attention.general"])
        self._jump = Affine(params["attention.jump.W"], params["attention.jump.b"])
        self._keys = MatMul(params["combine.keys"])
        self._combine = Affine(params["combine.W"], params["combine.b"])
        self._output = Affine(params["output.W"], params["output.b"])
        self._dropout = Dropout(dropout)
        self._cache: _Pass | None = None
        self.layers: list[Layer] = [
            self._general,
            self._jump,
            self._keys,
            self._combine,
            self._output,
        ]

    def forward(
        self,
        encoded: Encoded,
        states: Array,
        inputs: Array,
        steps: Steps,
        lengths: Array,
        generator: np.random.Generator | None,
    ) -> Array:
        """Log probabilities of what follows each input, and keep what `backward` needs.

        Parameters
        ----------
        encoded : Encoded
        states : ndarray of float32, shape (N, Td, H)
            Of the decoder, 0 past a row's length.
        inputs : ndarray of int, shape (N, Td)
            What the decoder has read, 0 past a row's length.
        steps : Steps
            The R real steps.
        lengths : ndarray of int, shape (N,)
            How many steps each row has.
        generator : numpy.random.Generator or None
            For the mask of the dropout; None for no dropout.

        Returns
        -------
        ndarray of float32, shape (R, V)
        """
        both = encoded.lengths, lengths
        ones = np.ones((steps.count, states.shape[2]), dtype=np.float32)
        kept = self._dropout.forward(ones, generator)
        mask = None if kept is ones else steps.scatter(kept)
        query = self._general.forward(states)
        keys, own = self._keys.forward(encoded.outputs), self._combine.forward(states)
        features = _kernels.position_features_forward(keys, own, mask, *both)
        content = _kernels.attention_weight_forward(encoded.outputs, query, *both)
        scores, jumps = self._output.forward(features), self._jump.forward(states)
        log_p, _ = _kernels.hard_attention_forward(scores, content, jumps, inputs, *both)
        chain = scores, content, jumps, inputs
        self._cache = _Pass(encoded, steps, both, query, mask, features, chain)
        return steps.gather(log_p)

    def backward(self, dlog_p: Array) -> tuple[Array, Array]:
        """Gradients of the encoder's outputs (N, Te, H) and of the states (N, Td, H)."""
        assert self._cache is not None
        encoded, steps, lengths, query, mask, features, chain = self._cache
        _, content, *_ = chain
        dscores, dcontent, djumps = _kernels.hard_attention_backward(
            steps.scatter(dlog_p), *chain, *lengths
        )
        # forward was: scores = output(features(keys(outputs), combine(states)))
        dfeatures = self._output.backward(dscores)
        dkeys, down = _kernels.position_features_backward(dfeatures, features, mask, *lengths)
        dstates, doutputs = self._combine.backward(down), self._keys.backward(dkeys)
        # forward was: content = weights(outputs, general(states)), jumps = jump(states)
        dcompared, dquery = _kernels.attention_weight_backward(
            dcontent, encoded.outputs, query, content, *lengths
        )
        dstates += self._general.backward(dquery)
        dstates += self._jump.backward(djumps)
        doutputs += dcompared
        return doutputs, dstates

    def keys(self, outputs: Array) -> Array:
        """The part of the features that depends on the positions alone, once for all steps."""
        return _kernels.affine_forward(outputs, *self._keys.params)

    def step(
        self, encoded: Encoded, states: Array, before: Emitted | None, ids: Array
    ) -> tuple[Array, Emitted]:
        """One step of N rows; nothing is kept.

        Parameters
        ----------
        encoded : Encoded
            With keys.
        states : ndarray of float32, shape (N, H)
        before : Emitted or None
            The step before; None before the first symbol.
        ids : ndarray of int, shape (N,)
            The symbol that followed it.

        Returns
        -------
        log_probabilities : ndarray of float32, shape (N, V)
        emitted : Emitted
            Its priors are in the order in which the source is read.
        """
        assert encoded.keys is not None
        states = states[:, np.newaxis]
        own = _kernels.affine_forward(states, *self._combine.params)
        query = _kernels.affine_forward(states, *self._general.params)
        jumps = _kernels.affine_forward(states, *self._jump.params)
        features = _kernels.position_features_forward(
            encoded.keys, own, encoder_lengths=encoded.lengths
        )
        content = _kernels.attention_weight_forward(encoded.outputs, query, encoded.lengths)
        scores = _kernels.affine_forward(features, *self._output.params)
        log_p, priors = _kernels.hard_attention_forward(
            *(scores, content, jumps, ids[:, np.newaxis], encoded.lengths, None),
            *(before or (None, None)),
        )
        return log_p[:, 0], Emitted(priors[:, 0], scores[:, 0])
