"""The classes of fastseq.layers and fastseq.models: constructor, forward, backward, generate.

The arguments are those of the table in support/public_names.py, which has every public name.
"""

import inspect
from typing import Any

import numpy as np

import fastseq
import fastseq_reference
from fastseq.layers import __all__ as layer_names
from fastseq.models import __all__ as model_names
from support.public_names import TABLE, Function, Layer, Sizes
from support.public_names import Draw as TableDraw

from .case import Arguments, Array, Case, Draw
from .kernel_calls import KERNELS, Strategy
from .recurrent_calls import known_cells, weight_names, weights

# The arguments of `generate`, by name.
GENERATE: dict[str, Any] = {
    "xs": "ids:1 T",
    "h": "1 H",
    "enc_hs": "1 T H",
    "start_id": 1,
    "skip_ids": None,
    "sample_size": 3,
}

# Layers do not check arguments; messages of the kernels contain the names of their own arguments.
KERNEL_WORDS = {"xs", "x", "ids", "labels", "dhs", "dh", "dc", "h0", "c0", "lengths", "dout"}
KERNEL_WORDS |= {"hs_enc", "hs_dec", "weights", "dweights", "encoder_lengths", "decoder_lengths"}
KERNEL_WORDS |= {"scale", "context", "embedding", "params", "grads", "start_id", "steps"}
KERNEL_WORDS |= {"dW", "db", "generate"}


class _Values(TableDraw):
    """The arguments of the table, from the random generator of the fuzzer."""

    def __init__(self, draw: Draw) -> None:
        super().__init__(Sizes(draw.size(), draw.size(1), draw.size(1), draw.size(1)))
        self._rng = draw.rng


def _names(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def _part(given: Arguments, part: str) -> Arguments:
    """The arguments of one method."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): v for name, v in given.items() if name.startswith(prefix)}


def run(package: Any, name: str, given: Arguments) -> Any:
    """All results of the methods of a class, and its gradients."""
    np.random.seed(1)
    layer = getattr(package, name)(**_part(given, "init"))
    results = [layer.forward(**_part(given, "forward"))]
    if "backward" in {key.partition(".")[0] for key in given}:
        results.append(layer.backward(**_part(given, "backward")))
    else:
        results.append(layer.backward())
    results.append([grad.copy() for grad in getattr(layer, "grads", [])])
    if any(key.startswith("generate.") for key in given):
        if hasattr(layer, "reset_state"):
            layer.reset_state()
        results.append(layer.generate(**_part(given, "generate")))
    return results


def layer(name: str, spec: Layer) -> Strategy:
    kind = getattr(fastseq, name)
    is_model = name in model_names

    def strategy(draw: Draw) -> Case:
        values = _Values(draw)
        N, T, D, H = values.sizes
        rounds = spec.rounds if isinstance(spec.rounds, str) else draw.choice(*spec.rounds)
        arguments: Arguments = {}
        for method, wanted in (
            ("init", spec.arguments),
            ("forward", rounds),
            ("backward", spec.douts),
        ):
            drawn = values.all(wanted)
            for matrix in filter(lambda each: np.ndim(each) == 2 and method == "init", drawn):
                matrix /= np.sqrt(len(matrix))
            function = kind if method == "init" else getattr(kind, method)
            arguments |= {
                f"{method}.{each}": value
                for each, value in zip(_names(function), drawn, strict=False)
            }
        if "stateful" in _names(kind):
            arguments["init.stateful"] = draw.maybe()
        if hasattr(kind, "generate"):
            for each in _names(kind.generate):
                value = GENERATE[each]
                value = values(value) if isinstance(value, str) else value
                arguments[f"generate.{each}"] = value
        return Case(
            name,
            lambda given: run(fastseq, name, given),
            arguments,
            lambda given: (run(fastseq_reference, name, _narrowed(given, is_model)), {}),
            terms=3 * 3 * 3 * max(T, 1) * (D + 5 * H) + values.sizes.V + N * T,
            words=_words(kind) | weight_names(),
        )

    return strategy


def _narrowed(given: Arguments, is_model: bool) -> Arguments:
    """For models, float32 instead of float64: those of the reference have float32 weights."""
    if not is_model:
        return given
    return {
        name: each.astype(np.float32) if getattr(each, "dtype", None) == np.float64 else each
        for name, each in given.items()
    }


def _words(kind: Any) -> set[str]:
    """The arguments of all methods, and the words of a message without a forward pass."""
    methods = (kind, kind.forward, kind.backward, getattr(kind, "generate", kind))
    own = {each for method in methods for each in _names(method)} | {"forward", "reset_state"}
    return own | KERNEL_WORDS


def function(name: str, spec: Function) -> Strategy:
    def strategy(draw: Draw) -> Case:
        values = _Values(draw)
        names = _names(getattr(fastseq, name))
        arguments = dict(zip(names, spec.arguments(values), strict=False))
        return Case(
            f"layers.{name}",
            lambda given: getattr(fastseq, name)(**given),
            arguments,
            lambda given: (getattr(fastseq_reference, name)(**given), {}),
            terms=values.sizes.N * values.sizes.T * values.sizes.D,
        )

    return strategy


# ---- layers with lengths ----


def recurrent_layer(draw: Draw) -> Case:
    cell = draw.choice(*known_cells())
    N, T, D, H, K = draw.size(), draw.size(), draw.size(), draw.size(1), draw.choice(1, 2)
    state = (N, K * H)
    is_lstm = cell == "lstm"
    arguments: Arguments = {
        "init.cell": cell,
        "init.params": [each for _ in range(K) for each in weights(draw, cell, D, H)],
        "forward.xs": draw.floats(N, T, D),
        "forward.h0": draw.choice(None, draw.floats(*state)),
        "forward.c0": draw.choice(None, draw.floats(*state)) if is_lstm else None,
        "forward.lengths": draw.lengths(N, 0, T),
        "backward.dhs": draw.floats(N, T, K * H),
        "backward.dh": draw.choice(None, draw.floats(*state)),
        "backward.dc": draw.choice(None, draw.floats(*state)) if is_lstm else None,
    }

    def expected(given: Arguments) -> Any:
        try:
            return run(fastseq_reference, "RecurrentLayer", given), {}
        except KeyError:  # no such cell there
            return None

    return Case(
        "RecurrentLayer",
        lambda given: run(fastseq, "RecurrentLayer", given),
        arguments,
        expected,
        limits={"forward.lengths": (0, T)},
        terms=max(T, 1) * (D + 5 * H) * 9 * max(N, 1),
        words=_words(fastseq.RecurrentLayer) | weight_names(),
    )


def recurrent_stack(draw: Draw) -> Case:
    cell = draw.choice("lstm", "gru", "rnn")
    N, T, D, H = draw.size(), draw.size(), draw.size(1), draw.size(1)
    L, K = draw.choice(1, 1, 2, 3), draw.choice(1, 2)
    reset_after, bias, batch_first = draw.maybe(), draw.maybe(0.8), draw.maybe()
    kernel_cell = "gru_reset_after" if cell == "gru" and reset_after else cell
    params = [
        each
        for layer in range(L)
        for _ in range(K)
        for each in weights(draw, kernel_cell, K * H if layer else D, H)[: None if bias else 2]
    ]
    sequences = (N, T) if batch_first else (T, N)

    def state() -> Any:
        h, c = draw.floats(L * K, N, H), draw.floats(L * K, N, H)
        return draw.choice(None, [h, c] if cell == "lstm" else h)

    arguments: Arguments = {
        "init.cell": cell,
        "init.input_size": D,
        "init.hidden_size": H,
        "init.num_layers": L,
        "init.bidirectional": K == 2,
        "init.reset_after": reset_after,
        "init.bias": bias,
        "init.batch_first": batch_first,
        "init.params": params,
        "forward.xs": draw.floats(*sequences, D),
        "forward.lengths": draw.lengths(N, 0, T),
        "forward.state": state(),
        "backward.dhs": draw.floats(*sequences, K * H),
        "backward.dstate": state(),
    }

    def expected(given: Arguments) -> Any:
        pairs = ("forward.state", "backward.dstate")
        tuples = {name: tuple(given[name]) for name in pairs if isinstance(given[name], list)}
        return run(fastseq_reference, "RecurrentStack", given | tuples), {}

    return Case(
        "RecurrentStack",
        lambda given: run(fastseq, "RecurrentStack", given),
        arguments,
        expected,
        limits={"forward.lengths": (0, T)},
        terms=max(T, 1) * (D + 5 * H) * 9 * max(N, 1) * L,
        words=_words(fastseq.RecurrentStack) | weight_names(),
    )


def scored_attention(draw: Draw) -> Case:
    kind = draw.choice("dot", "scaled_dot", "general", "additive")
    N, Te, Td, H, A = draw.size(), draw.size(1), draw.size(), draw.size(1), draw.size(1)
    params: dict[str, list[Array]] = {
        "general": [draw.weight(H, H)],
        "additive": [draw.weight(H, A), draw.weight(H, A), draw.floats(A)],
    }
    arguments: Arguments = {
        "init.kind": kind,
        "init.params": params.get(kind, []),
        "forward.hs_enc": draw.floats(N, Te, H, scale=0.5),
        "forward.hs_dec": draw.floats(N, Td, H),
        "forward.encoder_lengths": draw.lengths(N, 1, Te),
        "forward.decoder_lengths": draw.lengths(N, 0, Td),
        "backward.dout": draw.floats(N, Td, H),
    }
    return Case(
        "ScoredAttention",
        lambda given: run(fastseq, "ScoredAttention", given),
        arguments,
        lambda given: (run(fastseq_reference, "ScoredAttention", given), {}),
        limits={"forward.encoder_lengths": (1, Te), "forward.decoder_lengths": (0, Td)},
        terms=32 * (H + A + Te + Td) * max(N, 1),
        words=_words(fastseq.ScoredAttention) | {"W", "W_enc", "W_dec", "v"},
    )


LAYERS: dict[str, Strategy] = {
    **{
        name: layer(name, spec)
        for name, spec in TABLE.items()
        if isinstance(spec, Layer) and name in (*layer_names, *model_names)
    },
    **{
        name if name not in KERNELS else f"layers.{name}": function(name, spec)
        for name, spec in TABLE.items()
        if isinstance(spec, Function) and name in layer_names
    },
    "RecurrentLayer": recurrent_layer,
    "RecurrentStack": recurrent_stack,
    "ScoredAttention": scored_attention,
}
