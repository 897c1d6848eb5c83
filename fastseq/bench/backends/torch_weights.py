"""Modules of PyTorch with the weights of the textbook's layers, and their gradients back again.

PyTorch orders the gates of an LSTM i, f, g, o, stores matrices transposed, and has a second bias,
which stays zero here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[Any]

# i, f, g, o as positions in f, g, i, o; and the inverse. A layer of one block has no order.
_GATES_OF_TORCH = (2, 0, 1, 3)
_GATES_OF_TEXTBOOK = (1, 2, 0, 3)


def recurrent(kind: type[nn.RNNBase], *weights: Array) -> nn.RNNBase:
    """An ``nn.LSTM`` or ``nn.RNN`` with Wx, Wh and b; bidirectional with six weights."""
    directions = [weights[:3], weights[3:]] if len(weights) == 6 else [weights]
    Wx, Wh, _ = directions[0]
    layer = kind(len(Wx), len(Wh), batch_first=True, bidirectional=len(directions) == 2)
    for suffix, (Wx, Wh, b) in zip(("", "_reverse"), directions, strict=False):
        order = _GATES_OF_TORCH if kind is nn.LSTM else (0,)
        assign(getattr(layer, f"weight_ih_l0{suffix}"), _reorder(Wx, order).T)
        assign(getattr(layer, f"weight_hh_l0{suffix}"), _reorder(Wh, order).T)
        assign(getattr(layer, f"bias_ih_l0{suffix}"), _reorder(b, order))
        second_bias = getattr(layer, f"bias_hh_l0{suffix}")
        assign(second_bias, np.zeros_like(b))
        second_bias.requires_grad_(False)
    return layer


def recurrent_gradients(layer: nn.RNNBase) -> list[Array]:
    """Those of Wx, Wh and b of each direction."""
    order = _GATES_OF_TEXTBOOK if isinstance(layer, nn.LSTM) else (0,)
    gradients = []
    for suffix in ("", "_reverse") if layer.bidirectional else ("",):
        gradients += [
            _reorder(gradient(getattr(layer, f"weight_ih_l0{suffix}")).T, order),
            _reorder(gradient(getattr(layer, f"weight_hh_l0{suffix}")).T, order),
            _reorder(gradient(getattr(layer, f"bias_ih_l0{suffix}")), order),
        ]
    return gradients


def embedding(W: Array) -> nn.Embedding:
    """An ``nn.Embedding``."""
    layer = nn.Embedding(*W.shape)
    assign(layer.weight, W)
    return layer


def linear(W: Array, b: Array) -> nn.Linear:
    """An ``nn.Linear``."""
    layer = nn.Linear(*W.shape)
    assign(layer.weight, W.T)
    assign(layer.bias, b)
    return layer


def linear_gradients(layer: nn.Linear) -> list[Array]:
    """Those of W and b."""
    return [gradient(layer.weight).T, gradient(layer.bias)]


def attention(hs_enc: Tensor, hs_dec: Tensor) -> Tensor:
    """The contexts (N, Td, H) of dot-product attention."""
    weights = torch.softmax(torch.bmm(hs_dec, hs_enc.transpose(1, 2)), dim=2)
    return torch.bmm(weights, hs_enc)


def assign(parameter: Tensor, array: Array) -> None:
    """Give a parameter its values."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def gradient(parameter: Tensor) -> Array:
    """The gradient of a parameter."""
    assert parameter.grad is not None
    array: Array = parameter.grad.numpy()
    return array


def _reorder(array: Array, order: tuple[int, ...]) -> Array:
    """The blocks of the last axis, in another order."""
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[position] for position in order], axis=-1)
