"""The works of `works.py` carried out by PyTorch, as its users would write them.

The models are the same functions of the same start parameters, so that losses can be compared:
the parameters are copied from the reference's model (PyTorch orders the gates i, f, g, o, and has a
second bias, which stays zero here). Adam is PyTorch's own, ε inside the bias correction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import fastseq_reference
from libraries import Prepared, first_steps
from works import LEARNING_RATE, MAX_NORM, SEED, AttentionLayer, LstmLayer, TrainingStep, Work

Array = npt.NDArray[Any]
Tensor = torch.Tensor

_GATES_OF_TORCH = (2, 0, 1, 3)  # i, f, g, o as positions in f, g, i, o; and its inverse is:
_GATES_OF_TEXTBOOK = (1, 2, 0, 3)


def prepare(work: Work) -> Prepared:
    """Build a work; see `libraries.prepare`."""
    step, results = _build(work)
    return Prepared(step, results, {"torch": torch.__version__, "threads": torch.get_num_threads()})


def _build(work: Work) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    if isinstance(work, TrainingStep):
        return _training_step(work)
    if isinstance(work, LstmLayer):
        return _lstm_layer(work)
    return _attention_layer(work)


def _reorder(array: Array, order: tuple[int, ...]) -> Array:
    """The four gate blocks of the last axis, in another order."""
    blocks = np.split(array, 4, axis=-1)
    return np.concatenate([blocks[position] for position in order], axis=-1)


def _assign(parameter: Any, array: Array) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _gradient(parameter: Any) -> Array:
    gradient: Array = parameter.grad.numpy()
    return gradient


def _lstm_gradients(lstm: nn.LSTM) -> tuple[Array, Array, Array]:
    """Those of Wx, Wh and b, laid out as in the textbook."""
    return (
        _reorder(_gradient(lstm.weight_ih_l0).T, _GATES_OF_TEXTBOOK),
        _reorder(_gradient(lstm.weight_hh_l0).T, _GATES_OF_TEXTBOOK),
        _reorder(_gradient(lstm.bias_ih_l0), _GATES_OF_TEXTBOOK),
    )


def _lstm(Wx: Array, Wh: Array, b: Array) -> nn.LSTM:
    lstm = nn.LSTM(len(Wx), len(Wh), batch_first=True)
    _assign(lstm.weight_ih_l0, _reorder(Wx, _GATES_OF_TORCH).T)
    _assign(lstm.weight_hh_l0, _reorder(Wh, _GATES_OF_TORCH).T)
    _assign(lstm.bias_ih_l0, _reorder(b, _GATES_OF_TORCH))
    _assign(lstm.bias_hh_l0, np.zeros_like(b))
    lstm.bias_hh_l0.requires_grad_(False)
    return lstm


def _embedding(W: Array) -> nn.Embedding:
    embedding = nn.Embedding(*W.shape)
    _assign(embedding.weight, W)
    return embedding


def _linear(W: Array, b: Array) -> nn.Linear:
    linear = nn.Linear(*W.shape)
    _assign(linear.weight, W.T)
    _assign(linear.bias, b)
    return linear


def _attention(hs_enc: Tensor, hs_dec: Tensor) -> Tensor:
    weights = torch.softmax(torch.bmm(hs_dec, hs_enc.transpose(1, 2)), dim=2)
    return torch.bmm(weights, hs_enc)


class Seq2seq(nn.Module):
    """Plain, Peeky or with attention, with the weights of a model of the reference."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.kind = type(model).__name__
        self.encoder_embed = _embedding(*model.encoder.embed.params)
        self.encoder_lstm = _lstm(*model.encoder.lstm.params)
        self.decoder_embed = _embedding(*model.decoder.embed.params)
        self.decoder_lstm = _lstm(*model.decoder.lstm.params)
        self.affine = _linear(*model.decoder.affine.params)

    def forward(self, xs: Tensor, ts: Tensor) -> Tensor:
        """Scores (N, Td, V) of the symbols after those of ``ts`` (N, Td)."""
        enc_hs, (h, c) = self.encoder_lstm(self.encoder_embed(xs))
        embedded = self.decoder_embed(ts)
        repeated_h = h[0].unsqueeze(1).expand(-1, ts.shape[1], -1)
        if self.kind == "PeekySeq2seq":
            embedded = torch.cat((repeated_h, embedded), dim=2)
        dec_hs, _ = self.decoder_lstm(embedded, (h, torch.zeros_like(c)))
        if self.kind == "PeekySeq2seq":
            dec_hs = torch.cat((repeated_h, dec_hs), dim=2)
        elif self.kind == "AttentionSeq2seq":
            dec_hs = torch.cat((_attention(enc_hs, dec_hs), dec_hs), dim=2)
        score: Tensor = self.affine(dec_hs)
        return score


def _gradients(model: Seq2seq) -> list[Array]:
    """Those of all parameters, laid out and ordered as in the textbook."""
    return [
        _gradient(model.encoder_embed.weight),
        *_lstm_gradients(model.encoder_lstm),
        _gradient(model.decoder_embed.weight),
        *_lstm_gradients(model.decoder_lstm),
        _gradient(model.affine.weight).T,
        _gradient(model.affine.bias),
    ]


def _training_step(
    work: TrainingStep,
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    np.random.seed(SEED)
    model = Seq2seq(getattr(fastseq_reference, work.model)(work.V, work.D, work.H))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=LEARNING_RATE, eps=1e-7)
    criterion = nn.CrossEntropyLoss()
    batches = itertools.cycle(
        [(torch.from_numpy(xs), torch.from_numpy(ts)) for xs, ts in work.batches()]
    )

    def step() -> float:
        xs, ts = next(batches)
        score = model(xs, ts[:, :-1])
        loss = criterion(score.reshape(-1, work.V), ts[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, MAX_NORM)
        optimizer.step()
        return float(loss.item())

    return step, lambda: first_steps(step, lambda: _gradients(model))


def _lstm_layer(work: LstmLayer) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    arrays = work.arrays()
    lstm = _lstm(arrays["Wx"], arrays["Wh"], arrays["b"])
    xs = torch.from_numpy(arrays["xs"]).requires_grad_(work.backward)
    dhs = torch.from_numpy(arrays["dhs"])

    def forward() -> Any:
        with torch.inference_mode():
            return lstm(xs)[0]

    def both() -> Any:
        lstm.zero_grad()
        xs.grad = None
        hs, _ = lstm(xs)
        hs.backward(dhs)
        return hs

    def results() -> dict[str, Any]:
        if not work.backward:
            return {"hs": forward().numpy()}
        hs = both()
        dWx, dWh, db = _lstm_gradients(lstm)
        return {
            "hs": hs.detach().numpy(),
            "dxs": _gradient(xs),
            "dWx": dWx,
            "dWh": dWh,
            "db": db,
        }

    return both if work.backward else forward, results


def _attention_layer(
    work: AttentionLayer,
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    arrays = work.arrays()
    hs_enc = torch.from_numpy(arrays["hs_enc"]).requires_grad_()
    hs_dec = torch.from_numpy(arrays["hs_dec"]).requires_grad_()
    dout = torch.from_numpy(arrays["dout"])

    def step() -> tuple[Tensor, ...]:
        contexts = _attention(hs_enc, hs_dec)
        return contexts, *torch.autograd.grad(contexts, (hs_enc, hs_dec), dout)

    def results() -> dict[str, Any]:
        names = ("contexts", "dhs_enc", "dhs_dec")
        return {name: tensor.detach().numpy() for name, tensor in zip(names, step(), strict=True)}

    return step, results
