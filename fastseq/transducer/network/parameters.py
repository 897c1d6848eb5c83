"""The configuration of a network; the names, shapes and initial values of its parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.models.base import check_sizes

Array = npt.NDArray[Any]

_CELLS = ("lstm", "gru")
_DIRECTIONS = {"bidirectional": 2, "unidirectional": 1}
_ATTENTIONS = ("none", "dot", "scaled_dot", "general", "additive", "hard")
# In `NetworkConfig.copies`: what is no symbol of a text, and a symbol that no target has.
NOT_COPIED, UNSEEN = -1, -2


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and parts of a network.

    Parameters
    ----------
    source_size, target_size : int
        How many symbols there are on either side.
    embedding_size, hidden_size : int
    layers : int
        Of the encoder, and as many of the decoder.
    cell : {"lstm", "gru"}
    reset_after : bool
        Let the GRU's reset gate act after the product, as in `fastseq.layers.TimeGRU`.
    encoder : {"bidirectional", "unidirectional"}
        Two directions have half of the hidden units each, whose number is then even.
    attention : {"none", "dot", "scaled_dot", "general", "additive", "hard"}
    peeky : bool
        Give the encoder's last state to every step of the decoder, and to the output layer; not
        with hard attention.
    reverse : bool
        Read each source from its end.
    dropout : float
        The share of values that are zeroed in training, at least 0 and below 1.
    copies : tuple of int, or None
        What each source symbol is copied as: the id of a target symbol, `NOT_COPIED` or `UNSEEN`.
        None for a network that copies nothing; others have an attention which is not hard.

    Raises
    ------
    TypeError, ValueError
        A value is of the wrong type, or not among those above; the message names it.
    """

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

    def __post_init__(self) -> None:
        check_sizes(
            source_size=self.source_size,
            target_size=self.target_size,
            embedding_size=self.embedding_size,
            hidden_size=self.hidden_size,
            layers=self.layers,
        )
        _check_choice("cell", self.cell, _CELLS)
        _check_choice("encoder", self.encoder, _DIRECTIONS)
        _check_choice("attention", self.attention, _ATTENTIONS)
        if self.hidden_size % self.directions:
            raise ValueError(
                f"hidden_size: expected an even number, half for each direction of the encoder, "
                f"got {self.hidden_size}"
            )
        for name in ("reset_after", "peeky", "reverse"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise TypeError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        check_reset_after(self.reset_after, self.cell)
        if self.peeky and self.attention == "hard":
            raise ValueError("peeky: expected False with the attention hard, got True")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float | np.number):
            raise TypeError(f"dropout: expected a number, got {type(self.dropout).__name__}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected at least 0 and below 1, got {self.dropout}")
        if self.copies is not None:
            check_copy(True, self.attention)
            if len(self.copies) != self.source_size or not all(
                UNSEEN <= copied < self.target_size for copied in self.copies
            ):
                raise ValueError(
                    f"copies: expected {self.source_size} ids from {UNSEEN} to "
                    f"{self.target_size - 1}, got {str(self.copies)[:60]}"
                )

    @property
    def directions(self) -> int:
        """How many directions the encoder reads in."""
        return _DIRECTIONS[self.encoder]

    @property
    def recurrent_cell(self) -> str:
        """The cell's name in `_kernels.CELLS`."""
        return f"{self.cell}_reset_after" if self.reset_after else self.cell


class Layer(Protocol):
    """An object that has parameters and their gradients."""

    params: list[Array]
    grads: list[Array]


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """The name and shape of every parameter, in their order.

    Parameters
    ----------
    config : NetworkConfig

    Returns
    -------
    dict of str to tuple of int
    """
    E, H, cell = config.embedding_size, config.hidden_size, config.recurrent_cell
    K, top = config.directions, H * (1 + config.peeky)
    shapes: dict[str, tuple[int, ...]] = {
        "source_embedding": (config.source_size, E),
        "target_embedding": (config.target_size, E),
    }
    for layer in range(config.layers):
        for direction in range(K):
            prefix = f"encoder.{layer}.{direction}"
            shapes |= _recurrent_shapes(cell, prefix, H if layer else E, H // K)
    for layer in range(config.layers):
        inputs = H if layer else E + H * config.peeky
        shapes |= _recurrent_shapes(cell, f"decoder.{layer}", inputs, H)
    if config.attention == "general":
        shapes["attention.general"] = (H, H)
    if config.attention == "additive":
        shapes["attention.encoder"] = shapes["attention.decoder"] = (H, H)
        shapes["attention.v"] = (H,)
    if config.attention == "hard":
        smallest, largest = _kernels.JUMPS
        jumps = largest - smallest + 1
        shapes["attention.general"] = shapes["combine.keys"] = shapes["combine.W"] = (H, H)
        shapes["attention.jump.W"], shapes["attention.jump.b"] = (H, jumps), (jumps,)
        shapes["combine.b"] = (H,)
    elif config.attention != "none":
        shapes["combine.W"], shapes["combine.b"] = (2 * H, H), (H,)
    shapes["output.W"], shapes["output.b"] = (top, config.target_size), (config.target_size,)
    if config.copies is not None:
        shapes["copy.W"], shapes["copy.b"] = (top, 1), (1,)
    return shapes


def initial_parameters(config: NetworkConfig, generator: np.random.Generator) -> dict[str, Array]:
    """Draw the initial parameters.

    Embeddings are standard normal: much smaller values slow the first epochs down. Other weights
    are uniform up to 1 / sqrt(n), where n is the number of hidden units of a recurrent layer, or of
    inputs of any other. Biases are 0, those of the LSTM's forget gate 1 (Gers, Schmidhuber and
    Cummins, "Learning to Forget", 2000).

    Parameters
    ----------
    config : NetworkConfig
    generator : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray of float32
        In the order of `parameter_shapes`.
    """
    return {
        name: _initial_values(name, shape, config.recurrent_cell, generator)
        for name, shape in parameter_shapes(config).items()
    }


def recurrent_parameters(cell: str, params: dict[str, Array], *prefixes: str) -> list[Array]:
    """The weights of a cell under each prefix, as a recurrent layer takes them."""
    names = _kernels.CELLS[cell].weights
    return [params[f"{prefix}.{name}"] for prefix in prefixes for name in names]


def gradients_by_name(params: dict[str, Array], layers: Iterable[Layer]) -> dict[str, Array]:
    """The layers' own gradients, under the names of the parameters that the layers hold."""
    gradients = {
        id(param): grad
        for layer in layers
        for param, grad in zip(layer.params, layer.grads, strict=True)
    }
    return {name: gradients[id(param)] for name, param in params.items()}


def check_reset_after(reset_after: object, cell: object) -> None:
    """Require a cell that has a reset gate, where it is to act after the product.

    Raises
    ------
    ValueError
        The cell has none.
    """
    if reset_after and cell != "gru":
        raise ValueError(f"reset_after: expected False with the cell {cell}, got {reset_after}")


def check_copy(copy: object, attention: object) -> None:
    """Require attention weights to copy by, where symbols are copied.

    Raises
    ------
    ValueError
        There are none, or those of hard attention, which writes from each position.
    """
    if copy and attention in ("none", "hard"):
        raise ValueError(f"copy: expected False with the attention {attention}, got {copy}")


def _check_choice(name: str, value: object, choices: Collection[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _recurrent_shapes(
    cell: str, prefix: str, inputs: int, hidden_size: int
) -> dict[str, tuple[int, ...]]:
    info = _kernels.CELLS[cell]
    shapes = info.shapes(inputs, hidden_size)
    return {f"{prefix}.{name}": shape for name, shape in zip(info.weights, shapes, strict=True)}


def _initial_values(
    name: str, shape: tuple[int, ...], cell: str, generator: np.random.Generator
) -> Array:
    is_recurrent = name.startswith(("encoder", "decoder"))
    if name.endswith("embedding"):
        values = generator.normal(size=shape)
    elif name.endswith((".b", ".bh")):
        values = np.zeros(shape)
        if is_recurrent and cell == "lstm":
            values[: shape[0] // _kernels.CELLS[cell].gates] = 1  # the forget gate comes first
    else:
        n = shape[1] // _kernels.CELLS[cell].gates if is_recurrent else shape[0]
        bound = 1 / np.sqrt(n)
        values = generator.uniform(-bound, bound, shape)
    return np.asarray(values, dtype=np.float32)
