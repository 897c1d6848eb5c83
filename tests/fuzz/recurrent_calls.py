"""Recurrent layers and attention: valid calls, and the results of the reference."""

from typing import Any

import numpy as np

import fastseq_reference
from fastseq import _kernels

from .case import Arguments, Array, Case, Draw
from .kernel_calls import Strategy, softmax, written_by

# By cell: the number of gates, and the names of the weight arrays.
CELLS = {
    "rnn": (1, ("Wx", "Wh", "b")),
    "gru": (3, ("Wx", "Wh", "b")),
    "gru_reset_after": (3, ("Wx", "Wh", "b", "bh")),
    "lstm": (4, ("Wx", "Wh", "b")),
}


def known_cells() -> list[str]:
    """The cells of this build."""
    return list(getattr(_kernels, "CELLS", ["rnn", "gru", "lstm"]))


def weights(draw: Draw, cell: str, D: int, H: int) -> list[Array]:
    """The weight arrays of one direction."""
    gates, names = CELLS[cell]
    shapes = {"Wx": (D, gates * H), "Wh": (H, gates * H), "b": (gates * H,), "bh": (H,)}
    return [draw.weight(*shapes[name]) for name in names]


def weight_names(prefix: str = "") -> set[str]:
    """The names of the weight arrays in messages, or with a prefix of their gradients."""
    names = ("Wx", "Wh", "b", "bh")
    return {f"{prefix}{name}{number}" for name in names for number in ("", "1", "2")}


# ---- the reference's recurrent layer, with an embedding, a context and ids ----


def _inputs(xs: Array, context: Array | None, embedding: Array | None) -> Array:
    x = xs if embedding is None else embedding[xs]
    if context is None:
        return x
    repeated = np.repeat(context[:, np.newaxis], x.shape[1], axis=1)
    return np.concatenate((repeated, x), axis=2)


def reference_layer(
    cell: str,
    xs: Array,
    params: list[Array],
    h0: Array | None,
    c0: Array | None,
    lengths: Array | None,
    context: Array | None = None,
    embedding: Array | None = None,
) -> tuple[Any, Any] | None:
    """The reference's layer after its forward pass, and the results; None for an unknown cell."""
    try:
        layer = fastseq_reference.RecurrentLayer(cell, params)
        results = layer.forward(_inputs(xs, context, embedding), h0, c0, lengths)
    except (KeyError, ZeroDivisionError):  # no such cell; H of 0
        return None
    return layer, results


def reference_gradients(
    forward: Arguments, dhs: Array, dh: Array | None, dc: Array | None
) -> tuple[Any, Arguments] | None:
    """The gradients of the inputs, and the outputs by argument."""
    passed = reference_layer(**forward)
    if passed is None:
        return None
    layer, _ = passed
    dxs, dh0, dc0 = layer.backward(dhs, dh, dc)
    context, embedding, xs = forward["context"], forward["embedding"], forward["xs"]
    C = 0 if context is None else context.shape[1]
    written: Arguments = {"grads": layer.grads}
    if context is not None:
        written["dcontext"] = dxs[:, :, :C].sum(axis=1)
    dxs = dxs[:, :, C:]
    if embedding is not None:
        written["dembedding"] = np.zeros_like(embedding)
        np.add.at(written["dembedding"], xs, dxs)
        dxs = None
    return (dxs, dh0, dc0), written


def _forward_arguments(draw: Draw) -> tuple[Arguments, dict[str, tuple[int, int]], int]:
    cell = draw.choice(*known_cells())
    N, T, D, H, K = draw.size(), draw.size(), draw.size(), draw.size(), draw.choice(1, 1, 2)
    C = draw.choice(0, 0, draw.size(1))
    V = draw.size(1)
    embedded = draw.maybe(0.3)
    params = [each for _ in range(K) for each in weights(draw, cell, C + D, H)]
    arguments: Arguments = {
        "cell": cell,
        "xs": draw.ids(V, N, T) if embedded else draw.floats(N, T, D),
        "params": params,
        "h0": draw.choice(None, draw.floats(N, K * H)),
        "c0": draw.choice(None, draw.floats(N, K * H)) if cell == "lstm" else None,
        "lengths": draw.lengths(N, 0, T),
        "context": draw.floats(N, C) if C else None,
        "embedding": draw.floats(V, D) if embedded else None,
    }
    limits = {"lengths": (0, T)} | ({"xs": (0, V - 1)} if embedded else {})
    return arguments, limits, max(T, 1) * (C + D + 5 * H) * 9


def recurrent_forward(draw: Draw) -> Case:
    arguments, limits, terms = _forward_arguments(draw)
    workspace = draw.choice(None, _kernels.Workspace())

    def expected(given: Arguments) -> Any:
        passed = reference_layer(**given)
        return None if passed is None else (passed[1], {})

    return Case(
        "recurrent_forward",
        lambda given: _kernels.recurrent_forward(workspace, **given),
        arguments,
        expected,
        limits=limits,
        terms=terms,
        words=weight_names() | {"ids", "forward", "layer", "workspace"},
        workspace=workspace,
    )


def recurrent_backward(draw: Draw) -> Case:
    forward, _, terms = _forward_arguments(draw)
    workspace = _kernels.Workspace()
    hs, h, c = _kernels.recurrent_forward(workspace, **forward)
    context, embedding = forward["context"], forward["embedding"]
    arguments: Arguments = {
        "dhs": draw.floats(*hs.shape),
        "params": forward["params"],
        "grads": [draw.output(*each.shape) for each in forward["params"]],
        "dh": draw.choice(None, draw.floats(*h.shape)),
        "dc": None if c is None else draw.choice(None, draw.floats(*c.shape)),
        "dcontext": None if context is None else draw.output(*context.shape),
        "dembedding": None if embedding is None else draw.output(*embedding.shape),
    }

    def expected(given: Arguments) -> Any:
        wide = {
            name: each.astype(np.float64) if getattr(each, "dtype", None) == np.float32 else each
            for name, each in forward.items()
        }
        wide["params"] = given["params"]
        return reference_gradients(wide, given["dhs"], given["dh"], given["dc"])

    return Case(
        "recurrent_backward",
        lambda given: _kernels.recurrent_backward(workspace, **given),
        arguments,
        expected,
        written={"grads", "dcontext", "dembedding"},
        fixed={"params"},
        terms=terms * max(hs.shape[0], 1),
        words=weight_names() | weight_names("d") | {"forward", "layer", "workspace"},
        workspace=workspace,
    )


# ---- attention ----


def _states(draw: Draw) -> tuple[Arguments, Arguments]:
    N, Te, Td, H = draw.size(), draw.size(1), draw.size(), draw.size()
    states = {"hs_enc": draw.floats(N, Te, H, scale=0.5), "hs_dec": draw.floats(N, Td, H)}
    lengths = {"encoder_lengths": draw.lengths(N, 1, Te), "decoder_lengths": draw.lengths(N, 0, Td)}
    return states, lengths


def _masks(given: Arguments, Te: int, Td: int, N: int) -> tuple[Array, Array]:
    """Masks of the valid encoder steps (N,1,Te) and decoder steps (N,Td,1)."""
    enc, dec = given.get("encoder_lengths"), given.get("decoder_lengths")
    enc = np.full(N, Te) if enc is None else enc
    dec = np.full(N, Td) if dec is None else dec
    return (
        (np.arange(Te) < enc[:, None])[:, None, :],
        (np.arange(Td) < dec[:, None])[:, :, None],
    )


def _weights(scores: Array, given: Arguments) -> Array:
    N, Td, Te = scores.shape
    enc, dec = _masks(given, Te, Td, N)
    return np.where(dec & enc, softmax(np.where(enc, scores, -np.inf)), 0)


def _dscores(weights: Array, dweights: Array) -> Array:
    """Forward was: weights = softmax(scores)."""
    return weights * (dweights - np.sum(weights * dweights, axis=2, keepdims=True))


def _valid_weights(draw: Draw, N: int, Td: int, Te: int, lengths: Arguments) -> Array:
    return _weights(draw.floats(N, Td, Te), lengths).astype(np.float32)


def _transposed(x: Array) -> Array:
    return x.transpose(0, 2, 1)


def attention(name: str) -> Strategy:
    """One of the attention functions: valid arguments, and its formula in NumPy."""

    def strategy(draw: Draw) -> Case:
        states, lengths = _states(draw)
        N, Te, H = states["hs_enc"].shape
        Td = states["hs_dec"].shape[1]
        weights = _valid_weights(draw, N, Td, Te, lengths)
        dout, dweights = draw.floats(N, Td, H), draw.floats(N, Td, Te)
        v, dv = draw.floats(H), draw.output(H)
        scale = {"scale": draw.number(1.0, 0.25)}
        sides = {"hs_enc": states["hs_enc"], "weights": weights}
        arguments: Arguments = {
            "attention_forward": states | scale | lengths,
            "attention_backward": {"dout": dout, **states, "weights": weights} | scale | lengths,
            "attention_weight_forward": states | lengths,
            "attention_weight_backward": {"dweights": dweights, **states, "weights": weights}
            | lengths,
            "weight_sum_forward": sides | lengths,
            "weight_sum_backward": {"dout": dout} | sides | lengths,
            "additive_weight_forward": states | {"v": v} | lengths,
            "additive_weight_backward": {"dweights": dweights, **states, "v": v}
            | {"weights": weights, "dv": dv}
            | lengths,
        }[name]
        limits = {"encoder_lengths": (1, Te), "decoder_lengths": (0, Td)}
        return written_by(
            name,
            arguments,
            lambda **given: _attention(name, given),
            written={"dv"} & set(arguments),
            limits={each: limits[each] for each in lengths if each in arguments},
            terms=8 * (H + Te + Td) * 4,
        )

    return strategy


def _attention(name: str, given: Arguments) -> Any:
    enc, scale = given["hs_enc"], given.get("scale", 1.0)
    dec, weights, v = (given.get(each) for each in ("hs_dec", "weights", "v"))
    Td = (dec if weights is None else weights).shape[1]
    enc_mask, dec_mask = _masks(given, enc.shape[1], Td, len(enc))
    enc = np.where(_transposed(enc_mask), enc, 0)
    dec = None if dec is None else np.where(dec_mask, dec, 0)
    if weights is not None:
        weights = np.where(dec_mask & enc_mask, weights, 0)
    if name.startswith("additive"):
        y = np.tanh(enc[:, None] + dec[:, :, None])  # (N,Td,Te,H)
        if weights is None:
            return _weights(y @ v, given), {}
        dscores = _dscores(weights, np.where(weights != 0, given["dweights"], 0))
        dsum = dscores[..., None] * v * (1 - y**2)
        return (dsum.sum(axis=1), dsum.sum(axis=2)), {"dv": np.einsum("nde,ndeh->h", dscores, y)}
    if weights is None:
        weights = _weights(scale * dec @ _transposed(enc), given)
        return (weights if "weight" in name else (weights @ enc, weights)), {}
    if name == "weight_sum_forward":
        return weights @ enc, {}
    if name == "attention_weight_backward":
        dscores = _dscores(weights, np.where(weights != 0, given["dweights"], 0))
        return (_transposed(dscores) @ dec, dscores @ enc), {}
    dout = np.where(dec_mask, given["dout"], 0)
    dweights = dout @ _transposed(enc)
    denc = _transposed(weights) @ dout
    if name == "weight_sum_backward":
        return (denc, np.where(dec_mask & enc_mask, dweights, 0)), {}
    dscores = scale * _dscores(weights, dweights)
    return (denc + _transposed(dscores) @ dec, dscores @ enc), {}


ATTENTION = (
    "attention_forward",
    "attention_backward",
    "attention_weight_forward",
    "attention_weight_backward",
    "weight_sum_forward",
    "weight_sum_backward",
    "additive_weight_forward",
    "additive_weight_backward",
)

RECURRENT: dict[str, Strategy] = {
    "recurrent_forward": recurrent_forward,
    "recurrent_backward": recurrent_backward,
    **{name: attention(name) for name in ATTENTION},
}


def cells(draw: Draw) -> Case:
    """The properties of a cell: its weights and their shapes."""
    D, H = draw.size(), draw.size()

    def read(given: Arguments) -> Any:
        cell = _kernels.CELLS[given["cell"]]
        return [list(shape) for shape in cell.shapes(given["D"], given["H"])]

    def expected(given: Arguments) -> Any:
        gates, names = CELLS[given["cell"]]
        D, columns = given["D"], gates * given["H"]
        shapes = {"Wx": [D, columns], "Wh": [H, columns], "b": [columns], "bh": [H]}
        return [shapes[name] for name in names], {}

    arguments = {"cell": draw.choice(*known_cells()), "D": D, "H": H}
    return Case("CELLS", read, arguments, expected, hostile=False)


RECURRENT["CELLS"] = cells
