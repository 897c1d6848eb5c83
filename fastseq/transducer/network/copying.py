"""Copying: a target symbol is written by the output layer, or taken from the source.

The pointer-generator of See, Liu and Manning, "Get To The Point: Summarization with Pointer-
Generator Networks", 2017, section 2.2. A gate divides the probability between the output layer's
softmax and the attention weights w_j, each of which counts for the symbol c_j of its position::

    g      =  sigmoid(a . W + b),                     a as the output layer reads it
    q(y)   =  sum of w_j over the positions j with c_j = y
    p(y)   =  (1 - g sum_v q(v)) softmax(y) + g q(y)

So the weight of positions that no symbol is copied from, such as the end of the source, is the
softmax's. Sums are in double precision and in the order of the positions, so a row has the same
bits however long its batch is.

The ids of what may be copied go on where those of the network end. A source id of ``source_size +
y`` is read as unknown, and is copied as y; a y from ``target_size`` on is a symbol that no target
of the training data has, and is read by the decoder as unknown. In training it is the unknown
symbol: no target has it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import Affine
from fastseq.layers.packed import Steps
from fastseq.transducer.network.parameters import NOT_COPIED, UNSEEN, Layer, NetworkConfig

Array = npt.NDArray[Any]

# The id of the unknown symbol, of sources and of targets.
UNKNOWN = 0
# No probability of a symbol that is trained on is lower, so that the loss is finite.
_LEAST = 1e-30
# The lowest logarithm of a probability of the softmax, for the same reason.
_LEAST_LOG_SOFTMAX = -80.0


# What is not finite reaches the loss; and log(0) is right, of what cannot be copied.
_QUIET = np.errstate(over="ignore", invalid="ignore", divide="ignore")


class SourceIds:
    """What the ids of a source are read as, and copied as.

    Parameters
    ----------
    config : NetworkConfig
        One with `copies`.

    Attributes
    ----------
    as_unknown : ndarray of int, shape (source_size,)
        The id of a symbol of a source that is to be read as unknown, but copied as it is.
    """

    def __init__(self, config: NetworkConfig) -> None:
        self._copies = np.array(config.copies)
        self._source_size = config.source_size
        copied = np.where(self._copies == UNSEEN, config.target_size, self._copies)
        self.as_unknown = np.where(copied < 0, UNKNOWN, config.source_size + copied)

    def read(self, ids: Array) -> Array:
        """The ids that the encoder reads."""
        return np.where(ids < self._source_size, ids, UNKNOWN)

    def copied(self, ids: Array, lengths: Array) -> Array:
        """The target ids (N, Te) that they are copied as; negative where none is."""
        real = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
        ids = np.where(real, ids, UNKNOWN)
        known = self._copies[self.read(ids)]
        copied = np.where(ids < self._source_size, known, ids - self._source_size)
        copied[~real] = NOT_COPIED
        return np.maximum(copied, NOT_COPIED)


class _Pass(NamedTuple):
    """What `Copying.backward` needs of `forward`, double precision."""

    steps: Steps
    copied: Array  # (R, Te)
    softmax: Array  # (R, V)
    gate: Array  # (R, 1)
    taken: Array  # (R, V), q
    total: Array  # (R, 1), of these
    p: Array  # (R, V)


class Copying:
    """From scores and attention weights to log probabilities.

    Parameters
    ----------
    params : dict of str to ndarray of float32
        Those of the network; this holds its own of them.

    Attributes
    ----------
    layers : list
        The part that has parameters.
    """

    def __init__(self, params: dict[str, Array]) -> None:
        self._gate = Affine(params["copy.W"], params["copy.b"])
        self._cache: _Pass | None = None
        self.layers: list[Layer] = [self._gate]

    @_QUIET
    def forward(
        self, scores: Array, a: Array, weights: Array, copied: Array, steps: Steps
    ) -> Array:
        """Log probabilities (R, V) of the R real steps, and keep what `backward` needs.

        Parameters
        ----------
        scores : ndarray of float32, shape (R, V)
            Of the output layer.
        a : ndarray of float32, shape (R, C)
            What the output layer has read.
        weights : ndarray of float32, shape (N, Td, Te)
        copied : ndarray of int, shape (N, Te)
            The symbol of each position, negative where none is copied from it.
        steps : Steps
        """
        copied = steps.repeat(np.where(copied < scores.shape[1], copied, UNKNOWN))
        softmax, gate = _softmax(scores), _sigmoid(self._gate.forward(a))
        taken, total = _taken(steps.gather(weights), copied, scores.shape[1])
        p = np.maximum((1 - gate * total) * softmax + gate * taken, _LEAST)
        self._cache = _Pass(steps, copied, softmax, gate, taken, total, p)
        return np.asarray(np.log(p), dtype=np.float32)

    @_QUIET
    def backward(self, dlog_p: Array) -> tuple[Array, Array, Array]:
        """Gradients of the scores, of a, and of the weights (N, Td, Te)."""
        assert self._cache is not None
        steps, copied, softmax, gate, taken, total, p = self._cache
        # forward was: log_p = log(p), p = (1 - gate total) softmax + gate taken
        dp = dlog_p / p
        written = (dp * softmax).sum(axis=1, keepdims=True)
        dgate = (dp * taken).sum(axis=1, keepdims=True) - total * written
        dtaken = gate * (dp - written)
        dscores = (1 - gate * total) * softmax * (dp - written)
        # forward was: taken[y] = sum of the weights with copied = y
        dweights = np.take_along_axis(dtaken, np.maximum(copied, 0), axis=1) * (copied >= 0)
        # forward was: gate = sigmoid(a W + b)
        da = self._gate.backward((dgate * gate * (1 - gate)).astype(np.float32))
        return dscores.astype(np.float32), da, steps.scatter(dweights.astype(np.float32))

    @_QUIET
    def step(self, scores: Array, a: Array, weights: Array, copied: Array) -> Array:
        """Log probabilities (N, V or more) of one step; nothing is kept.

        There are as many columns as the highest id needs that is copied from any row; what a row
        cannot copy is minus infinity there.
        """
        N, V = scores.shape
        size = max(V, int(copied.max(initial=0)) + 1)
        softmax = np.zeros((N, size))
        softmax[:, :V] = _softmax(scores)
        gate = _sigmoid(_kernels.affine_forward(a, *self._gate.params))
        taken, total = _taken(weights, copied, size)
        p = (1 - gate * total) * softmax + gate * taken
        return np.asarray(np.log(p), dtype=np.float32)


def _softmax(scores: Array) -> Array:
    log_p = _kernels.log_softmax(scores).astype(np.float64)
    softmax: Array = np.exp(np.maximum(log_p, _LEAST_LOG_SOFTMAX))
    return softmax


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x.astype(np.float64)))
    return result


def _taken(weights: Array, copied: Array, size: int) -> tuple[Array, Array]:
    """The weights (R, Te) summed by the symbol of their position (R, size), and in all (R, 1)."""
    taken = np.zeros((len(weights), size))
    is_copied = copied >= 0
    rows, places = np.nonzero(is_copied)
    np.add.at(taken, (rows, copied[rows, places]), weights[rows, places])
    total = np.where(is_copied, weights, 0).cumsum(axis=1, dtype=np.float64)[:, -1:]
    return taken, total
