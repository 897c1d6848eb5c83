"""The models of the workloads in PyTorch, with the weights of the reference's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fastseq.bench.backends import torch_weights as weights

Array = npt.NDArray[Any]


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

    def loss(self, xs: Tensor, ts: Tensor) -> Tensor:
        """The mean loss of the symbols of ``ts`` (N, Td + 1) after the first."""
        enc_hs, (h, c) = self.encode(xs)
        scores, _ = self.decode(ts[:, :-1], enc_hs, h, (h, torch.zeros_like(c)))
        return functional.cross_entropy(scores.flatten(0, 1), ts[:, 1:].flatten())

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


class LanguageModel(nn.Module):
    """Embedding, two LSTM layers with dropout around each, affine map tied to the embedding."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embed = weights.embedding(*model.layers[0].params)
        self.lstms = nn.ModuleList(
            weights.recurrent(nn.LSTM, *layer.params) for layer in model.lstm_layers
        )
        self.drops = nn.ModuleList(nn.Dropout(drop.dropout_ratio) for drop in model.drop_layers)
        self.affine = weights.linear(*model.layers[-1].params)
        self.affine.weight = self.embed.weight
        self._states: list[Any] = [None] * len(self.lstms)

    def loss(self, xs: Tensor, ts: Tensor) -> Tensor:
        """The mean loss of ``ts``, both (N, T); goes on from the states of the last call."""
        hs = self.drops[0](self.embed(xs))
        for number, lstm in enumerate(self.lstms):
            hs, (h, c) = lstm(hs, self._states[number])
            self._states[number] = h.detach(), c.detach()
            hs = self.drops[number + 1](hs)
        return functional.cross_entropy(self.affine(hs).flatten(0, 1), ts.flatten())

    def gradients(self) -> list[Array]:
        """Those of all parameters, laid out and ordered as in the textbook, the shared one once."""
        return [
            weights.gradient(self.embed.weight),
            *(array for lstm in self.lstms for array in weights.recurrent_gradients(lstm)),
            weights.gradient(self.affine.bias),
        ]


class _ReferenceDropout(nn.Module):
    """Dropout with the masks that the reference draws from NumPy's generator."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, xs: Tensor) -> Tensor:
        mask = np.random.rand(*xs.shape) > self.ratio
        return xs * torch.from_numpy(mask.astype(np.float32) / np.float32(1 - self.ratio))


@contextmanager
def reference_masks(model: Seq2seq | LanguageModel) -> Iterator[None]:
    """Let a model's dropout have the reference's masks while the block runs."""
    if not isinstance(model, LanguageModel):
        yield
        return
    own = model.drops
    model.drops = nn.ModuleList(_ReferenceDropout(drop.p) for drop in own)
    try:
        yield
    finally:
        model.drops = own


def quantized(model: nn.Module) -> Any:
    """A copy whose LSTM and linear layers have weights in int8, and quantize what they read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another package is to have it in the future
        return torch.ao.quantization.quantize_dynamic(
            model, {nn.LSTM, nn.Linear}, dtype=torch.qint8
        )
