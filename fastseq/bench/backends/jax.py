"""LSTM layers and training steps in JAX, in the style of its users.

Plain functions of lists of parameters, the loop over time a ``lax.scan``, each workload one
function under ``jit``. The initial parameters are the reference's, in its order and layout; Adam
and the clipping are the formulas of the textbook.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array as Tensor
from jax import lax

import fastseq_reference
from fastseq.bench.backends.numpy_layers import Results, Step, first_steps
from fastseq.bench.workloads import Workload
from fastseq.bench.workloads.base import FLOAT32, SEED
from fastseq.bench.workloads.models import Seq2seqStep
from fastseq.bench.workloads.recurrent import RecurrentLayer

Array = npt.NDArray[Any]

_BETA_1, _BETA_2 = 0.9, 0.999


def about() -> dict[str, Any]:
    """An empty dict: JAX does not report its number of threads."""
    return {}


def build(workload: Workload, precision: str = FLOAT32) -> tuple[Step, Results]:
    """Build a workload; see `numpy_layers.prepare`."""
    if precision == FLOAT32 and isinstance(workload, Seq2seqStep):
        return _training_step(workload)
    if precision == FLOAT32 and isinstance(workload, RecurrentLayer):
        return _lstm_layer(workload)
    raise TypeError(f"{workload.name}: not written for JAX")


def lstm(xs: Tensor, h: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """All states (N, T, H), from the state ``h`` (N, H) and a cell of zeros."""

    def step(state: tuple[Tensor, Tensor], projected: Tensor) -> Any:
        h, c = state
        f, g, i, o = jnp.split(projected + h @ Wh, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    projected = jnp.swapaxes(xs @ Wx + b, 0, 1)
    _, hs = lax.scan(step, (h, jnp.zeros_like(h)), projected)
    return jnp.swapaxes(hs, 0, 1)


def _lstm_layer(workload: RecurrentLayer) -> tuple[Step, Results]:
    data = workload.data()
    arguments = [jnp.asarray(array) for array in (*data.weights, *data.inputs)]
    (dhs,) = (jnp.asarray(array) for array in data.upstream)
    h = jnp.zeros((workload.N, workload.H), dtype=jnp.float32)

    @jax.jit
    def forward(Wx: Tensor, Wh: Tensor, b: Tensor, xs: Tensor) -> tuple[Tensor, ...]:
        return (lstm(xs, h, Wx, Wh, b),)

    @jax.jit
    def both(Wx: Tensor, Wh: Tensor, b: Tensor, xs: Tensor) -> tuple[Tensor, ...]:
        (hs,), pull_back = jax.vjp(forward, Wx, Wh, b, xs)
        dWx, dWh, db, dxs = pull_back((dhs,))
        return hs, dxs, dWx, dWh, db

    function = both if workload.backward else forward

    def step() -> Any:
        return jax.block_until_ready(function(*arguments))

    return step, lambda: dict(zip(workload.results, map(np.asarray, step()), strict=False))


def seq2seq_loss(kind: str, parameters: list[Tensor], xs: Tensor, ts: Tensor) -> Tensor:
    """The loss of a plain, Peeky or attention model, given its ``params``."""
    encoder_W, *encoder_lstm = parameters[:4]
    decoder_W, *decoder_lstm = parameters[4:8]
    affine_W, affine_b = parameters[8:]
    zeros = jnp.zeros((len(xs), len(encoder_lstm[1])), dtype=jnp.float32)
    enc_hs = lstm(encoder_W[xs], zeros, *encoder_lstm)
    h = enc_hs[:, -1]

    embedded = decoder_W[ts[:, :-1]]
    repeated_h = jnp.broadcast_to(h[:, None], (*embedded.shape[:2], h.shape[1]))
    if kind == "PeekySeq2seq":
        embedded = jnp.concatenate((repeated_h, embedded), axis=2)
    dec_hs = lstm(embedded, h, *decoder_lstm)
    if kind == "PeekySeq2seq":
        dec_hs = jnp.concatenate((repeated_h, dec_hs), axis=2)
    elif kind == "AttentionSeq2seq":
        weights = jax.nn.softmax(dec_hs @ jnp.swapaxes(enc_hs, 1, 2), axis=2)
        dec_hs = jnp.concatenate((weights @ enc_hs, dec_hs), axis=2)
    scores = jax.nn.log_softmax(dec_hs @ affine_W + affine_b)
    return -jnp.mean(jnp.take_along_axis(scores, ts[:, 1:, None], axis=2))


def _training_step(workload: Seq2seqStep) -> tuple[Step, Results]:
    np.random.seed(SEED)
    model = getattr(fastseq_reference, workload.model)(*workload.arguments)
    parameters = [jnp.asarray(array) for array in model.params]
    moments = [(jnp.zeros_like(array), jnp.zeros_like(array)) for array in parameters]
    batches = [tuple(map(jnp.asarray, batch)) for batch in workload.batches()]
    remaining = itertools.cycle(batches)
    state = (parameters, moments, 0)

    def loss_and_gradients(parameters: Any, xs: Tensor, ts: Tensor) -> Any:
        loss, gradients = jax.value_and_grad(
            lambda parameters: seq2seq_loss(workload.model, parameters, xs, ts)
        )(parameters)
        norm = jnp.sqrt(sum(jnp.sum(gradient**2) for gradient in gradients))
        rate = jnp.minimum(1.0, workload.max_norm / (norm + 1e-6))
        return loss, [rate * gradient for gradient in gradients]

    def train(state: Any, xs: Tensor, ts: Tensor) -> Any:
        parameters, moments, count = state
        loss, gradients = loss_and_gradients(parameters, xs, ts)
        count += 1
        rate = workload.learning_rate * jnp.sqrt(1 - _BETA_2**count) / (1 - _BETA_1**count)
        moments = [
            (m + (1 - _BETA_1) * (gradient - m), v + (1 - _BETA_2) * (gradient**2 - v))
            for (m, v), gradient in zip(moments, gradients, strict=True)
        ]
        parameters = [
            parameter - rate * m / (jnp.sqrt(v) + 1e-7)
            for parameter, (m, v) in zip(parameters, moments, strict=True)
        ]
        return loss, (parameters, moments, count)

    compiled = jax.jit(train, donate_argnums=0)

    def step() -> float:
        nonlocal state
        loss, state = compiled(state, *next(remaining))
        return float(jax.block_until_ready(loss))

    def results() -> dict[str, Any]:
        # before the first step, which donates its parameters
        _, gradients = jax.jit(loss_and_gradients)(state[0], *batches[0])
        return first_steps(step, lambda: map(np.asarray, gradients))

    return step, results
