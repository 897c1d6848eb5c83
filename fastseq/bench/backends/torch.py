"""The workloads in PyTorch, in the style of its users.

The layers and models are the same functions of the same initial parameters, so that results can be
compared: the parameters are copied from the reference's. Everything is eager and at PyTorch's
defaults. Adam is PyTorch's own, ε inside the bias correction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

import fastseq_reference
from fastseq.bench.backends import torch_weights as weights
from fastseq.bench.backends.numpy_layers import Results, Step, decoding_model, first_steps
from fastseq.bench.workloads import Workload
from fastseq.bench.workloads.base import SEED, Layer
from fastseq.bench.workloads.decoding import START_ID, Decoding, Evaluation
from fastseq.bench.workloads.layers import AffineLayer, AttentionLayer, EmbeddingLayer, LossLayer
from fastseq.bench.workloads.models import Seq2seqStep
from fastseq.bench.workloads.recurrent import RecurrentLayer

Array = npt.NDArray[Any]


def about() -> dict[str, Any]:
    """The number of threads."""
    return {"threads": torch.get_num_threads()}


def build(workload: Workload) -> tuple[Step, Results]:
    """Build a workload; see `numpy_layers.prepare`."""
    if isinstance(workload, Seq2seqStep):
        return _training_step(workload)
    if isinstance(workload, Layer):
        return _layer(workload)
    if isinstance(workload, Decoding):
        return _decoding(workload)
    raise TypeError(f"{workload.name}: not written for PyTorch")


def _layer(workload: Layer) -> tuple[Step, Results]:
    data = workload.data()
    inputs = [torch.from_numpy(array) for array in data.inputs]
    for tensor in inputs:
        tensor.requires_grad_(workload.backward and tensor.is_floating_point())
    upstream = [torch.from_numpy(array) for array in data.upstream]
    function, weight_gradients = _function(workload, data.weights)
    module = function if isinstance(function, nn.Module) else None

    def forward() -> Any:
        with torch.inference_mode():
            return _output(function(*inputs))

    def both() -> Any:
        if module is not None:
            module.zero_grad()
        for tensor in inputs:
            tensor.grad = None
        output = _output(function(*inputs))
        output.backward(*upstream)
        return output

    def results() -> dict[str, Any]:
        if not workload.backward:
            return {workload.results[0]: forward().numpy()}
        output = both().detach().numpy()
        input_gradients = [weights.gradient(tensor) for tensor in inputs if tensor.requires_grad]
        arrays = [output, *input_gradients, *weight_gradients()]
        return dict(zip(workload.results, arrays, strict=False))

    return both if workload.backward else forward, results


def _output(given: Any) -> Any:
    """The first of several outputs: a recurrent module returns its last states as well."""
    return given[0] if isinstance(given, tuple) else given


def _function(
    workload: Layer, arrays: tuple[Array, ...]
) -> tuple[Callable[..., Any], Callable[[], list[Array]]]:
    """What computes a layer, and the gradients of its weights."""
    if isinstance(workload, RecurrentLayer):
        kind = nn.RNN if workload.layer == "TimeRNN" else nn.LSTM
        recurrent = weights.recurrent(kind, *arrays)
        return recurrent, lambda: weights.recurrent_gradients(recurrent)
    if isinstance(workload, EmbeddingLayer):
        embedding = weights.embedding(*arrays)
        return embedding, lambda: [weights.gradient(embedding.weight)]
    if isinstance(workload, AffineLayer):
        linear = weights.linear(*arrays)
        return linear, lambda: weights.linear_gradients(linear)
    if isinstance(workload, AttentionLayer):
        return weights.attention, list
    if isinstance(workload, LossLayer):
        return _loss, list
    raise TypeError(f"{workload.name}: not written for PyTorch")


def _loss(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(scores.flatten(0, 1), labels.flatten())


class Seq2seq(nn.Module):
    """Plain, Peeky or with attention, with the weights of a model of the reference."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.kind = type(model).__name__
        self.encoder_embed = weights.embedding(*model.encoder.embed.params)
        self.encoder_lstm = weights.recurrent(nn.LSTM, *model.encoder.lstm.params)
        self.decoder_embed = weights.embedding(*model.decoder.embed.params)
        self.decoder_lstm = weights.recurrent(nn.LSTM, *model.decoder.lstm.params)
        self.affine = weights.linear(*model.decoder.affine.params)

    def forward(self, xs: Tensor, ts: Tensor) -> Tensor:
        """Scores (N, Td, V) of the symbols after those of ``ts`` (N, Td)."""
        enc_hs, (h, c) = self.encode(xs)
        return self.decode(ts, enc_hs, h, (h, torch.zeros_like(c)))[0]

    def encode(self, xs: Tensor) -> Any:
        """All states of the encoder, and its last ``(h, c)``."""
        return self.encoder_lstm(self.encoder_embed(xs))

    def decode(self, ts: Tensor, enc_hs: Tensor, enc_h: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Scores of the symbols after those of ``ts``, and the decoder's next state."""
        embedded = self.decoder_embed(ts)
        repeated_h = enc_h[0].unsqueeze(1).expand(-1, ts.shape[1], -1)
        if self.kind == "PeekySeq2seq":
            embedded = torch.cat((repeated_h, embedded), dim=2)
        dec_hs, state = self.decoder_lstm(embedded, state)
        if self.kind == "PeekySeq2seq":
            dec_hs = torch.cat((repeated_h, dec_hs), dim=2)
        elif self.kind == "AttentionSeq2seq":
            dec_hs = torch.cat((weights.attention(enc_hs, dec_hs), dec_hs), dim=2)
        return self.affine(dec_hs), state

    def gradients(self) -> list[Array]:
        """Those of all parameters, laid out and ordered as in the textbook."""
        return [
            weights.gradient(self.encoder_embed.weight),
            *weights.recurrent_gradients(self.encoder_lstm),
            weights.gradient(self.decoder_embed.weight),
            *weights.recurrent_gradients(self.decoder_lstm),
            *weights.linear_gradients(self.affine),
        ]

    @torch.inference_mode()
    def generate(self, xs: Tensor, start_id: int, sample_size: int) -> Tensor:
        """The best symbols (N, sample_size), each fed to the next step."""
        enc_hs, (h, c) = self.encode(xs)
        state = (h, torch.zeros_like(c))
        symbols = torch.full((len(xs), 1), start_id)
        samples = []
        for _ in range(sample_size):
            score, state = self.decode(symbols, enc_hs, h, state)
            symbols = score.argmax(dim=2)
            samples.append(symbols)
        return torch.cat(samples, dim=1)


def _training_step(workload: Seq2seqStep) -> tuple[Step, Results]:
    np.random.seed(SEED)
    model = Seq2seq(getattr(fastseq_reference, workload.model)(*workload.arguments))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=workload.learning_rate, eps=1e-7)
    criterion = nn.CrossEntropyLoss()
    batches = itertools.cycle(
        [(torch.from_numpy(xs), torch.from_numpy(ts)) for xs, ts in workload.batches()]
    )

    def step() -> float:
        xs, ts = next(batches)
        score = model(xs, ts[:, :-1])
        loss = criterion(score.reshape(-1, workload.V), ts[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, workload.max_norm)
        optimizer.step()
        return float(loss.item())

    return step, lambda: first_steps(step, model.gradients)


def _decoding(workload: Decoding) -> tuple[Step, Results]:
    model = Seq2seq(decoding_model(fastseq_reference, workload)).eval()
    questions = torch.from_numpy(workload.questions())

    def answers() -> Tensor:
        return model.generate(questions, START_ID, workload.Td)

    if not isinstance(workload, Evaluation):
        return answers, lambda: {"answers": answers().numpy()}
    corrects = torch.from_numpy(workload.corrects()[:, 1:])

    def share() -> float:
        return float((answers() == corrects).all(dim=1).float().mean())

    return share, lambda: {"answers": answers().numpy(), "share": share()}
