"""The configuration of a network; its parameters' names, shapes and first values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import RecurrentLayer
from fastseq_reference.transducer.network.hard_attention import LARGEST_JUMP, SMALLEST_JUMP

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and parts of a network: the fields of `fastseq`."""

    source_size: int
    target_size: int
    embedding_size: int = 64
    hidden_size: int = 256
    layers: int = 1
    cell: str = "lstm"
    reset_after: bool = False
    encoder: str = "bidirectional"
    attention: str = "dot"
    peeky: bool = False
    reverse: bool = False
    dropout: float = 0.0
    copies: tuple[int, ...] | None = None


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """The name and shape of every parameter, in their order."""
    E, H = config.embedding_size, config.hidden_size
    directions = 2 if config.encoder == "bidirectional" else 1
    gates = 4 if config.cell == "lstm" else 3
    shapes: dict[str, tuple[int, ...]] = {}

    def add_recurrent(name: str, D: int, H: int) -> None:
        shapes[f"{name}.Wx"] = (D, gates * H)
        shapes[f"{name}.Wh"] = (H, gates * H)
        shapes[f"{name}.b"] = (gates * H,)
        if config.reset_after:
            shapes[f"{name}.bh"] = (H,)

    shapes["source_embedding"] = (config.source_size, E)
    shapes["target_embedding"] = (config.target_size, E)
    for layer in range(config.layers):
        for direction in range(directions):
            add_recurrent(f"encoder.{layer}.{direction}", E if layer == 0 else H, H // directions)
    for layer in range(config.layers):
        first = H + E if config.peeky else E
        add_recurrent(f"decoder.{layer}", first if layer == 0 else H, H)
    if config.attention == "general":
        shapes["attention.general"] = (H, H)
    if config.attention == "additive":
        shapes["attention.encoder"] = (H, H)
        shapes["attention.decoder"] = (H, H)
        shapes["attention.v"] = (H,)
    if config.attention == "hard":
        jumps = LARGEST_JUMP - SMALLEST_JUMP + 1
        shapes["attention.general"] = shapes["combine.keys"] = shapes["combine.W"] = (H, H)
        shapes["attention.jump.W"] = (H, jumps)
        shapes["attention.jump.b"] = (jumps,)
        shapes["combine.b"] = (H,)
    elif config.attention != "none":
        shapes["combine.W"] = (2 * H, H)
        shapes["combine.b"] = (H,)
    shapes["output.W"] = (2 * H if config.peeky else H, config.target_size)
    shapes["output.b"] = (config.target_size,)
    if config.copies is not None:
        shapes["copy.W"] = (2 * H if config.peeky else H, 1)
        shapes["copy.b"] = (1,)
    return shapes


def initial_parameters(
    config: NetworkConfig, generator: np.random.Generator, dtype: npt.DTypeLike
) -> dict[str, Array]:
    """Draw the parameters: embeddings normal, weights uniform, biases 0 but the forget gate's 1."""
    gates = 4 if config.cell == "lstm" else 3
    params = {}
    for name, shape in parameter_shapes(config).items():
        recurrent = name.startswith(("encoder", "decoder"))
        if name in ("source_embedding", "target_embedding"):
            values = generator.normal(size=shape)
        elif name.endswith((".b", ".bh")):
            values = np.zeros(shape)
            if recurrent and config.cell == "lstm":
                values[: shape[0] // 4] = 1
        elif recurrent:
            values = generator.uniform(-1, 1, shape) / np.sqrt(shape[1] // gates)
        else:
            values = generator.uniform(-1, 1, shape) / np.sqrt(shape[0])
        params[name] = values.astype(dtype)
    return params


def recurrent_layer(
    config: NetworkConfig, params: dict[str, Array], names: Iterable[str]
) -> RecurrentLayer:
    """A layer of the parameters under these names, one for each direction."""
    cell, arrays = config.cell, ["Wx", "Wh", "b"]
    if config.reset_after:
        cell, arrays = "gru_reset_after", [*arrays, "bh"]
    return RecurrentLayer(cell, [params[f"{name}.{array}"] for name in names for array in arrays])
