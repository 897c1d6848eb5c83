"""The decoder: embedding, recurrent layers, attention, and the scores of what comes next.

The initial states of the recurrent layers are the last of the encoder (Sutskever, Vinyals and Le,
"Sequence to Sequence Learning with Neural Networks", 2014). A peeky decoder and its output layer
read the last state of the encoder's top layer at every step (Cho et al., "Learning Phrase
Representations using RNN Encoder-Decoder for Statistical Machine Translation", 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import Affine
from fastseq.layers.packed import Steps
from fastseq.transducer.network.attention import AttentionalState
from fastseq.transducer.network.copying import UNKNOWN, Copying
from fastseq.transducer.network.encoder import Encoded
from fastseq.transducer.network.hard_attention import Emitted, HardAttention
from fastseq.transducer.network.parameters import Layer, NetworkConfig, recurrent_parameters
from fastseq.transducer.network.rows import Dropout
from fastseq.transducer.network.stack import EmbeddedStack

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class State:
    """The decoder's states in N targets.

    Attributes
    ----------
    h : list of ndarray of float32, shape (N, H)
        Each layer's states.
    c : list of ndarray of float32, shape (N, H), or of None
        The LSTM's other states.
    emitted : Emitted or None
        Of hard attention: the step before.
    """

    h: list[Array]
    c: list[Array | None]
    emitted: Emitted | None = None

    def take(self, rows: Array) -> State:
        """These rows, in this order; a row may be taken more than once."""
        return State(
            [h[rows] for h in self.h],
            [None if c is None else c[rows] for c in self.c],
            None if self.emitted is None else self.emitted.take(rows),
        )


class Decoder:
    """From the encoder's result and the symbols so far to scores of the next.

    Parameters
    ----------
    config : NetworkConfig
    params : dict of str to ndarray of float32
        Those of the network; the decoder holds its own of them.

    Attributes
    ----------
    attention : AttentionalState or None
    hard : HardAttention or None
        It has the output layer then.
    copying : Copying or None
    layers : list
        The parts that have parameters.
    """

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        cell = config.recurrent_cell
        self._peeky = config.peeky
        weights = [
            recurrent_parameters(cell, params, f"decoder.{layer}") for layer in range(config.layers)
        ]
        self._stack = EmbeddedStack(cell, params["target_embedding"], weights, config.dropout)
        self.attention: AttentionalState | None = None
        self.hard: HardAttention | None = None
        self.copying: Copying | None = None
        self._cache: tuple[Steps, Encoded] | None = None
        self.layers: list[Layer] = [self._stack]
        if config.attention == "hard":
            self.hard = HardAttention(params, config.dropout)
            self.layers += self.hard.layers
            return
        self._output_dropout = Dropout(config.dropout)
        self._output = Affine(params["output.W"], params["output.b"])
        self.layers.append(self._output)
        if config.attention != "none":
            self.attention = AttentionalState(config, params)
            self.layers += self.attention.layers
        if config.copies is not None:
            self.copying = Copying(params)
            self.layers += self.copying.layers

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
            Of the R real steps, row by row of the batch. Log probabilities are scores too.
        """
        steps = Steps(lengths, inputs.shape[1])
        self._cache = steps, encoded
        peeked = encoded.h[-1] if self._peeky else None
        ids = steps.scatter(steps.gather(inputs))  # 0 past a row's length
        xs, _, _ = self._stack.forward(ids, lengths, generator, encoded.h, encoded.c, peeked)
        if self.hard is not None:
            return self.hard.forward(encoded, xs, ids, steps, lengths, generator)
        if self.attention is None:
            a = steps.gather(xs)
        else:
            a = self.attention.forward(encoded, xs, lengths, steps)
        if peeked is not None:
            a = np.concatenate((steps.repeat(peeked), a), axis=1)
        a = self._output_dropout.forward(a, generator)
        scores = self._output.forward(a)
        if self.copying is None:
            return scores
        assert self.attention is not None and encoded.copied is not None
        return self.copying.forward(scores, a, self.attention.weights, encoded.copied, steps)

    def backward(self, dscores: Array) -> tuple[Array, list[Array], list[Array | None]]:
        """Fill the gradients, and return those of the encoder's outputs, h and c."""
        assert self._cache is not None
        steps, encoded = self._cache
        none = [None] * len(encoded.h)
        if self.hard is not None:
            doutputs, dxs = self.hard.backward(dscores)
            _, dh, dc = self._stack.backward(dxs, none, none)
            return doutputs, dh, dc
        H = encoded.outputs.shape[2]
        dweights = None
        if self.copying is None:
            da = self._output.backward(dscores)
        else:
            dscores, dread, dweights = self.copying.backward(dscores)
            da = self._output.backward(dscores) + dread
        da = self._output_dropout.backward(da)
        if self._peeky:
            # forward was: a = [peeked | a]
            dpeeked, da = da[:, :H], da[:, H:]
        if self.attention is None:
            doutputs, dxs = np.zeros_like(encoded.outputs), steps.scatter(da)
        else:
            doutputs, dxs = self.attention.backward(da, dweights)
        dcontext, dh, dc = self._stack.backward(dxs, none, none)
        if dcontext is not None:
            # forward was: the context of the first layer, and a part of a, is the top layer's h
            dh[-1] += dcontext + steps.total(dpeeked)
        return doutputs, dh, dc

    def step(self, encoded: Encoded, state: State, ids: Array) -> tuple[Array, State, Array | None]:
        """Advance by one id in each row (N), as in `Network.step`."""
        peeked = encoded.h[-1] if self._peeky else None
        if self.copying is not None:
            ids = np.where(ids < len(self._stack.embedding), ids, UNKNOWN)
        h, c = self._stack.step(ids, state.h, state.c, peeked)
        if self.hard is not None:
            log_p, emitted = self.hard.step(encoded, h[-1], state.emitted, ids)
            return log_p, State(h, c, emitted), emitted.priors
        weights = None
        a = h[-1]
        if self.attention is not None:
            a, weights = self.attention.step(encoded, a)
        if self._peeky:
            a = np.concatenate((encoded.h[-1], a), axis=1)
        scores = _kernels.affine_forward(a, *self._output.params)
        if self.copying is None:
            return _kernels.log_softmax(scores), State(h, c), weights
        assert weights is not None and encoded.copied is not None
        return self.copying.step(scores, a, weights, encoded.copied), State(h, c), weights

    def answers(
        self, encoded: Encoded, start_id: int, first_id: int, end_id: int, limits: Array
    ) -> _kernels.Decoded:
        """The best ids for each source, all steps in one call, as in `Network.answers`."""
        if self.hard is not None or self.copying is not None:
            return self._answers_by_steps(encoded, start_id, first_id, end_id, limits)
        c = [each for each in encoded.c if each is not None]
        return _kernels.decode(
            self._stack.cell,
            start_id,
            int(limits.max(initial=0)),
            np.array(encoded.h),
            self._stack.embedding,
            self._stack.weights,
            self._output.params,
            c0=np.array(c) if c else None,
            first_id=first_id,
            end_id=end_id,
            limits=limits,
            peek=encoded.h[-1] if self._peeky else None,
            **({} if self.attention is None else self.attention.for_decoding(encoded)),
        )

    def _answers_by_steps(
        self, encoded: Encoded, start_id: int, first_id: int, end_id: int, limits: Array
    ) -> _kernels.Decoded:
        """The same by calls of `step`: the kernel knows neither hard attention nor copying."""
        N = len(limits)
        ids = np.full((N, int(limits.max(initial=0))), end_id)
        taken, totals = np.zeros(N, dtype=np.int64), np.zeros(N)
        state, last, rows = State(encoded.h, encoded.c), np.full(N, start_id), np.arange(N)
        for t in range(ids.shape[1]):
            log_probabilities, state, _ = self.step(encoded, state, last)
            last = first_id + log_probabilities[:, first_id:].argmax(axis=1)
            ids[rows, t] = last
            taken[rows] += 1
            totals[rows] += log_probabilities[np.arange(len(rows)), last]
            going_on = np.flatnonzero((last != end_id) & (t + 1 < limits[rows]))
            if len(going_on) < len(rows):
                encoded, state = encoded.take(going_on), state.take(going_on)
                last, rows = last[going_on], rows[going_on]
            if not len(rows):
                break
        return _kernels.Decoded(ids, taken, totals, np.zeros(0, np.float32), None, None)
