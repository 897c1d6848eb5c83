"""What a trained model computes, the same for a Transducer and for the textbook's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import TimeAffine, TimeAttention, TimeDropout, TimeEmbedding
from fastseq.layers.base import is_original
from fastseq.layers.recurrent.time_layer import weights_by_direction
from fastseq.models.attention import AttentionDecoder, AttentionEncoder
from fastseq.models.bidirectional import AttentionBiEncoder
from fastseq.models.peeky import PeekyDecoder
from fastseq.models.rnnlm import BetterRnnlm, Rnnlm
from fastseq.models.seq2seq import Decoder, Encoder, Seq2seq
from fastseq.transducer.network.network import Network
from fastseq.transducer.network.parameters import recurrent_parameters

Array = npt.NDArray[Any]

_ENCODERS = (Encoder, AttentionEncoder, AttentionBiEncoder)
_DECODERS = (Decoder, PeekyDecoder, AttentionDecoder)


class Stack(NamedTuple):
    """An embedding and the recurrent layers above it.

    Attributes
    ----------
    cell : str
        The name in `fastseq._kernels.CELLS`.
    embedding : ndarray of float, shape (V, D)
    layers : list of list of list of ndarray of float
        The weights of each layer and direction, as that cell takes them.
    """

    cell: str
    embedding: Array
    layers: list[list[list[Array]]]

    @property
    def has_c(self) -> bool:
        """Whether a layer has the state c besides h."""
        return _kernels.CELLS[self.cell].states == 2


class Attention(NamedTuple):
    """The attention of a decoder.

    Attributes
    ----------
    kind : {"dot", "scaled_dot", "general", "additive"}
    weights : dict of str to ndarray of float
        ``query`` (H, A) of "general" and "additive"; ``keys`` (H, A) and ``v`` (A,) of "additive".
    combine : list of ndarray of float
        The weight (2H, H) and bias (H,) of the attentional state, or none: the output layer then
        reads context and state themselves.
    """

    kind: str
    weights: dict[str, Array]
    combine: list[Array]


@dataclass(frozen=True)
class Description:
    """The parts of a network.

    Attributes
    ----------
    decoder : Stack
        Of a language model, its only one.
    output : list of ndarray of float
        The weight (F, V) and bias (V,) of the output layer.
    encoder : Stack or None
    attention : Attention or None
    peeky : bool
        Whether every step reads the encoder's last state, and so does the output layer.
    reverse : bool
        Whether the encoder reads each source from its end.
    is_transducer : bool
        A Transducer's sources have lengths, the decoder's initial states are the encoder's last of
        each layer and direction, and its results are log probabilities. The textbook's sources have
        one length, the initial h is the encoder's hidden state at the last time step and the
        initial c zero, and the results are scores.
    """

    decoder: Stack
    output: list[Array]
    encoder: Stack | None = None
    attention: Attention | None = None
    peeky: bool = False
    reverse: bool = False
    is_transducer: bool = False


def describe_network(network: Network) -> Description:
    """The parts of a Transducer's network.

    Raises
    ------
    ValueError
        It has hard attention or copies symbols, which the graphs do not know.
    """
    if network.config.attention == "hard":
        raise ValueError(
            "attention: expected another than hard, which is not exported; "
            "train with attention='dot' (--attention dot)"
        )
    if network.copies:
        raise ValueError(
            "copy: expected False, what copies symbols is not exported; train without --copy"
        )
    config, params = network.config, network.params
    cell = config.recurrent_cell

    def layers(name: str, suffixes: list[str]) -> list[list[list[Array]]]:
        return [
            [recurrent_parameters(cell, params, f"{name}.{layer}{end}") for end in suffixes]
            for layer in range(config.layers)
        ]

    directions = [f".{direction}" for direction in range(config.directions)]
    attention = None
    if config.attention != "none":
        names = {"query": "decoder", "keys": "encoder", "v": "v"}
        if config.attention == "general":
            names = {"query": "general"}
        held = {role: f"attention.{name}" for role, name in names.items()}
        attention = Attention(
            config.attention,
            {role: params[name] for role, name in held.items() if name in params},
            [params["combine.W"], params["combine.b"]],
        )
    return Description(
        decoder=Stack(cell, params["target_embedding"], layers("decoder", [""])),
        output=[params["output.W"], params["output.b"]],
        encoder=Stack(cell, params["source_embedding"], layers("encoder", directions)),
        attention=attention,
        peeky=config.peeky,
        reverse=config.reverse,
        is_transducer=True,
    )


def describe_textbook(model: object) -> Description:
    """The parts of one of the textbook's models.

    Raises
    ------
    TypeError
        It, or a part of it, is no class of the package, or has methods of its own.
    """
    if isinstance(model, Seq2seq) and type(model).generate is Seq2seq.generate:
        encoder, decoder = model.encoder, model.decoder
        _check_part("encoder", encoder, *_ENCODERS)
        _check_part("decoder", decoder, *_DECODERS)
        attends = isinstance(decoder, AttentionDecoder)
        if attends:
            _check_part("decoder.attention", decoder.attention, TimeAttention)
        return Description(
            decoder=_stack("decoder.", decoder.embed, [decoder.lstm], stateful=True),
            output=_output("decoder.affine", decoder.affine),
            encoder=_stack("encoder.", encoder.embed, [encoder.lstm], stateful=False),
            attention=Attention("dot", {}, []) if attends else None,
            peeky=isinstance(decoder, PeekyDecoder),
        )
    if isinstance(model, Rnnlm | BetterRnnlm):
        embed, *others, affine = model.layers
        recurrent = [layer for layer in others if type(layer) is not TimeDropout]
        return Description(
            decoder=_stack("layers: ", embed, recurrent, stateful=True),
            output=_output("layers: affine", affine),
        )
    raise TypeError(
        "model: expected a Transducer, Seq2seq, PeekySeq2seq, AttentionSeq2seq, "
        f"AttentionBiSeq2seq, Rnnlm or BetterRnnlm of fastseq, got {type(model).__name__}"
    )


def _stack(name: str, embed: Any, layers: list[Any], *, stateful: bool) -> Stack:
    _check_part(f"{name}embed", embed, TimeEmbedding)
    cells, weights = [], []
    for layer in layers:
        try:
            cell, directions = weights_by_direction(layer)
        except TypeError as error:
            raise TypeError(f"{name}lstm: {error}") from None
        if layer.stateful is not stateful:
            raise ValueError(f"{name}lstm: expected stateful={stateful}, got {layer.stateful}")
        cells.append(cell)
        weights.append(directions)
    if len(set(cells)) > 1:
        raise ValueError(f"{name}lstm: expected layers of one cell, got {', '.join(cells)}")
    return Stack(cells[0], embed.params[0], weights)


def _output(name: str, affine: Any) -> list[Array]:
    _check_part(name, affine, TimeAffine)
    params: list[Array] = affine.params
    return params


def _check_part(name: str, part: object, *classes: type) -> None:
    if type(part) not in classes or not is_original(part):
        expected = ", ".join(each.__name__ for each in classes)
        raise TypeError(
            f"{name}: expected one of fastseq's, as it is ({expected}), got {type(part).__name__}"
        )
