"""Hard attention: each target symbol is written from one source position, and all are summed over.

The position that target symbol t is written from is a hidden variable: a Markov chain, whose next
position depends on the state of the decoder and on the length of the jump from the one before. The
sum over all paths is exact, by the forward algorithm (Wu and Cotterell, "Exact Hard Monotonic
Attention for Character-Level Transduction", 2019; here the chain may go back, where that is
learned). With encoder outputs h_j and decoder states s_t::

    move_t(i, j)    ~  w_t(j) k_t(j - i),    w_t = softmax_j(s_t W_general . h_j)
    k_t             =  softmax(s_t W_jump + b_jump), jumps cut to SMALLEST_JUMP ... LARGEST_JUMP
    emit_t(j, v)    =  softmax_v(tanh(h_j W_keys + s_t W_combine + b_combine) W_output + b_output)
    prior_t(j)      =  sum_i belief_t(i) move_t(i, j)
    p_t(v)          =  sum_j prior_t(j) emit_t(j, v)
    belief_t+1(j)   =  prior_t(j) emit_t(j, x) / p_t(x),    x the symbol that is read next

Before the first symbol the position is the first. Sums over positions are in double precision and
in the order of the positions, so a row has the same bits however long its batch is. Only the parts
of the moves are stored, so memory grows with the length of the source and not with its square.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import Affine, MatMul
from fastseq.layers.packed import Steps
from fastseq.transducer.network.encoder import Encoded
from fastseq.transducer.network.parameters import LARGEST_JUMP, SMALLEST_JUMP, Layer
from fastseq.transducer.network.rows import Dropout

Array = npt.NDArray[Any]

# No probability of a symbol or of a jump is lower, so that none of those that are divided by is 0.
_LEAST_LOG_EMISSION = -300.0
_LEAST_JUMP = 1e-30

# What is not finite reaches the loss, as it does through the kernels, which do not warn.
_QUIET = np.errstate(over="ignore", invalid="ignore", divide="ignore")


class _Pass(NamedTuple):
    """What `HardAttention.backward` needs of `forward`; S are the source's positions."""

    encoded: Encoded
    steps: Steps
    read: Array  # (N, Td), the symbol that is read after each step
    query: Array  # (N, Td, H)
    mask: Array | None  # (N, Td, 1, H)
    a: Array  # (N, Td, S, H), before the dropout
    content: Array  # (N, Td, S), w
    jumps: Array  # (N, Td, J), k
    norms: Array  # (N, Td, S), of the moves from each position
    emissions: Array  # (N, Td, S, V)
    beliefs: Array  # (N, Td, S)
    priors: Array  # (N, Td, S)
    totals: Array  # (N, Td, V)


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

    @_QUIET
    def forward(
        self,
        encoded: Encoded,
        states: Array,
        inputs: Array,
        steps: Steps,
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
        generator : numpy.random.Generator or None
            For the mask of the dropout; None for no dropout.

        Returns
        -------
        ndarray of float32, shape (R, V)
        """
        query = self._general.forward(states)
        keys, own = self._keys.forward(encoded.outputs), self._combine.forward(states)
        ones = np.ones((steps.count, states.shape[2]), dtype=np.float32)
        kept = self._dropout.forward(ones, generator)
        mask = None if kept is ones else steps.scatter(kept)[:, :, np.newaxis]
        a = _kernels.tanh(own[:, :, np.newaxis] + keys[:, np.newaxis])
        scores = self._output.forward(a if mask is None else a * mask)
        content, jumps, norms = _moves(encoded, query, self._jump.forward(states))
        emissions = _emissions(scores)

        read = np.zeros_like(inputs)
        read[:, :-1] = inputs[:, 1:]
        beliefs, priors = np.empty(emissions.shape[:3]), np.empty(emissions.shape[:3])
        totals = np.empty((*inputs.shape, emissions.shape[3]))
        belief = _first_belief(encoded)
        for t in range(inputs.shape[1]):
            beliefs[:, t] = belief
            priors[:, t] = prior = _prior(belief, content[:, t], jumps[:, t], norms[:, t])
            joint = prior[:, :, np.newaxis] * emissions[:, t]
            totals[:, t] = joint.sum(axis=1)
            belief = _belief(joint, read[:, t])
        self._cache = _Pass(
            encoded,
            steps,
            read,
            query,
            mask,
            a,
            content,
            jumps,
            norms,
            emissions,
            beliefs,
            priors,
            totals,
        )
        return steps.gather(np.log(totals).astype(np.float32))

    @_QUIET
    def backward(self, dlog_p: Array) -> tuple[Array, Array]:
        """Gradients of the encoder's outputs (N, Te, H) and of the states (N, Td, H)."""
        assert self._cache is not None
        encoded, steps, read, query, mask, a, content, jumps, norms, *others = self._cache
        emissions, beliefs, priors, totals = others
        N, Td, S, _ = emissions.shape
        # forward was: log_p = log(totals), totals = sum over j of priors emissions
        dtotals = steps.scatter(dlog_p) / totals
        demissions = priors[..., np.newaxis] * dtotals[:, :, np.newaxis]
        dpriors = np.matmul(emissions, dtotals[..., np.newaxis])[..., 0]
        dcontent, djumps, dnorms = (np.empty_like(each) for each in (content, jumps, norms))
        dbelief = np.zeros((N, S))
        rows, places = np.arange(N)[:, np.newaxis], np.arange(S)
        for t in reversed(range(Td)):
            # forward was: belief = prior likelihood / sum of these, likelihood = emissions[read]
            symbols = read[:, t, np.newaxis]
            likelihood = emissions[rows, t, places, symbols]
            joint = priors[:, t] * likelihood
            total = joint.sum(axis=1, keepdims=True)
            djoint = (dbelief - (dbelief * joint).sum(axis=1, keepdims=True) / total) / total
            demissions[rows, t, places, symbols] += priors[:, t] * djoint
            dprior = dpriors[:, t] + likelihood * djoint
            # forward was: prior = content sum over jumps of (jumps reached)
            given = beliefs[:, t] / norms[:, t]
            reached = _reached(given)
            dcontent[:, t] = dprior * _weighted(reached, jumps[:, t])
            dsums = dprior * content[:, t]
            djumps[:, t] = (dsums[:, :, np.newaxis] * reached).sum(axis=1)
            dbelief = _weighted(_reachable(dsums), jumps[:, t]) / norms[:, t]
            dnorms[:, t] = -dbelief * given

        # forward was: emissions = softmax(output(a mask))
        da = self._output.backward(_softmax_backward(demissions, emissions).astype(np.float32))
        if mask is not None:
            da *= mask
        # forward was: a = tanh(combine(states) + keys(outputs))
        da *= 1 - a * a
        dstates = self._combine.backward(da.sum(axis=2))
        doutputs = self._keys.backward(da.sum(axis=1))

        # forward was: norms = sum over jumps of (jumps reachable)
        djumps += (dnorms[..., np.newaxis] * _reachable(content)).sum(axis=2)
        dcontent += _weighted(_reached(dnorms), jumps)
        # forward was: content = softmax(query . outputs), jumps = softmax(jump(states))
        dcompared = _softmax_backward(dcontent, content).astype(np.float32)
        dquery = np.matmul(dcompared, encoded.outputs)
        doutputs += np.matmul(dcompared.transpose(0, 2, 1), query)
        dstates += self._general.backward(dquery)
        dstates += self._jump.backward(_softmax_backward(djumps, jumps).astype(np.float32))
        return doutputs, dstates

    def keys(self, outputs: Array) -> Array:
        """The part of the emissions that depends on the positions alone, once for all steps."""
        return _kernels.affine_forward(outputs, *self._keys.params)

    @_QUIET
    def step(
        self, encoded: Encoded, states: Array, joint: Array | None, ids: Array
    ) -> tuple[Array, Array, Array]:
        """One step of N rows; nothing is kept.

        Parameters
        ----------
        encoded : Encoded
            With keys.
        states : ndarray of float32, shape (N, H)
        joint : ndarray of float64, shape (N, Te, V), or None
            Of the step before; None before the first symbol.
        ids : ndarray of int, shape (N,)
            The symbol that followed it.

        Returns
        -------
        log_probabilities : ndarray of float32, shape (N, V)
        joint : ndarray of float64, shape (N, Te, V)
            The probability of each position with each symbol.
        weights : ndarray of float32, shape (N, Te)
            The probability of each position, in the order in which the source is read.
        """
        assert encoded.keys is not None
        query = _kernels.affine_forward(states[:, np.newaxis], *self._general.params)
        jumps = _kernels.affine_forward(states[:, np.newaxis], *self._jump.params)
        own = _kernels.affine_forward(states[:, np.newaxis], *self._combine.params)
        a = _kernels.tanh(own + encoded.keys)
        emissions = _emissions(_kernels.affine_forward(a, *self._output.params))
        belief = _first_belief(encoded) if joint is None else _belief(joint, ids)
        prior = _prior(belief, *(each[:, 0] for each in _moves(encoded, query, jumps)))
        joint = prior[:, :, np.newaxis] * emissions
        log_p = np.log(joint.sum(axis=1)).astype(np.float32)
        return log_p, joint, prior.astype(np.float32)


def _reached(x: Array) -> Array:
    """For each position j and jump the x of the positions i that it comes from: (..., S, J).

    It is x[j - jump], but for the first and the last jump, which stand for all beyond them too, the
    sum of all x that are as far or farther.
    """
    S = x.shape[-1]
    reached = np.zeros((*x.shape, LARGEST_JUMP - SMALLEST_JUMP + 1))
    for jump in range(SMALLEST_JUMP, LARGEST_JUMP + 1):
        values = x
        if jump == LARGEST_JUMP:
            values = x.cumsum(axis=-1)
        elif jump == SMALLEST_JUMP:
            values = x[..., ::-1].cumsum(axis=-1)[..., ::-1]
        first, last = max(jump, 0), min(S, S + jump)
        if first < last:
            place = jump - SMALLEST_JUMP
            reached[..., first:last, place] = values[..., first - jump : last - jump]
    return reached


def _reachable(x: Array) -> Array:
    """For each position i and jump the x of the positions j that it leads to: (..., S, J)."""
    return _reached(x[..., ::-1])[..., ::-1, :]


def _weighted(x: Array, jumps: Array) -> Array:
    """The sums over the jumps of x (..., S, J), weighted by them (..., J)."""
    total: Array = (x * jumps[..., np.newaxis, :]).sum(axis=-1)
    return total


def _moves(encoded: Encoded, query: Array, jump_scores: Array) -> tuple[Array, Array, Array]:
    """The parts of the moves, double precision: their contents, their jumps, and their norms.

    The probability of position j after i is ``content[j] jumps[j - i] / norms[i]``.
    """
    _, weights = _kernels.attention_forward(encoded.outputs, query, 1.0, encoded.lengths)
    content = weights.astype(np.float64)
    jumps = np.maximum(_kernels.softmax(jump_scores).astype(np.float64), _LEAST_JUMP)
    return content, jumps, _weighted(_reachable(content), jumps)


def _emissions(scores: Array) -> Array:
    """The probability (..., V) of each symbol, double precision."""
    return np.exp(np.maximum(_kernels.log_softmax(scores).astype(np.float64), _LEAST_LOG_EMISSION))


def _first_belief(encoded: Encoded) -> Array:
    belief = np.zeros(encoded.outputs.shape[:2])
    belief[:, 0] = 1
    return belief


def _prior(belief: Array, content: Array, jumps: Array, norms: Array) -> Array:
    """The probability of each position (N, S) after those of a belief."""
    return content * _weighted(_reached(belief / norms), jumps)


def _belief(joint: Array, ids: Array) -> Array:
    """The probability of each position (N, S), given the symbol that was written from it."""
    likely: Array = np.take_along_axis(joint, ids[:, np.newaxis, np.newaxis], axis=2)[..., 0]
    likely /= likely.cumsum(axis=1)[:, -1:]
    return likely


def _softmax_backward(dp: Array, p: Array) -> Array:
    """The gradient of what p is the softmax of, over the last axis."""
    dscores: Array = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    return dscores
