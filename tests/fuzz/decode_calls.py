"""Greedy decoding: a valid call of `decode`, and the same loop in NumPy."""

from typing import Any

import numpy as np

from fastseq import _kernels

from .case import Arguments, Array, Case, Draw
from .kernel_calls import log_softmax, softmax
from .recurrent_calls import known_cells, weight_names, weights

# The argmax of two scores that are closer may depend on the order of additions.
MIN_MARGIN = 1e-3


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def cell_step(cell: str, params: list[Array], x: Array, h: Array, c: Array | None) -> Any:
    """One step of a cell, as csrc/fastseq.h defines it: the new h and c."""
    Wx, Wh, b, *more = params
    H = len(h)
    if cell == "rnn":
        return np.tanh(x @ Wx + h @ Wh + b), None
    if cell == "lstm":
        f, g, i, o = np.split(x @ Wx + h @ Wh + b, 4)
        c = _sigmoid(f) * c + np.tanh(g) * _sigmoid(i)
        return _sigmoid(o) * np.tanh(c), c
    A = x @ Wx + b
    z, r = np.split(_sigmoid(A[: 2 * H] + h @ Wh[:, : 2 * H]), 2)
    if cell == "gru":
        g = np.tanh(A[2 * H :] + (r * h) @ Wh[:, 2 * H :])
    else:
        g = np.tanh(A[2 * H :] + r * (h @ Wh[:, 2 * H :] + more[0]))
    return (1 - z) * h + z * g, None


class Row:
    """One row of the batch, decoded step by step."""

    def __init__(self, given: Arguments, n: int) -> None:
        self.given = given
        self.h = given["h0"][:, n]
        c0 = given["c0"]
        self.c = np.zeros_like(self.h) if c0 is None else c0[:, n]
        self.peek = None if given["peek"] is None else given["peek"][n]
        enc, lengths = given["hs_enc"], given["encoder_lengths"]
        if enc is not None:
            Te = enc.shape[1] if lengths is None else int(lengths[n])
            self.enc = enc[n, :Te]
            self.keys = None if given["keys"] is None else given["keys"][n, :Te]
            self.weights = np.zeros(enc.shape[1])
        self.ids: list[int] = []
        self.log_probability = 0.0

    def step(self, id_: int) -> bool:
        """Compute a step; return whether its argmax is unambiguous."""
        given = self.given
        x = given["embedding"][id_]
        if self.peek is not None:
            x = np.concatenate((self.peek, x))
        for layer, params in enumerate(given["layers"]):
            h, c = cell_step(given["cell"], params, x, self.h[layer], self.c[layer])
            self.h[layer] = x = h
            if c is not None:
                self.c[layer] = c
        a = self._attended(x)
        if self.peek is not None:
            a = np.concatenate((self.peek, a))
        W, b = given["output"]
        scores = a @ W + b
        self.log_p = log_p = log_softmax(scores)
        ranked = log_p if given["scored"] else scores
        allowed = ranked[given["first_id"] :]
        best = given["first_id"] + int(allowed.argmax())
        self.ids.append(best)
        self.log_probability += float(log_p[best])
        others = np.delete(allowed, best - given["first_id"])
        return bool(not others.size or ranked[best] - others.max() > MIN_MARGIN)

    def _attended(self, h: Array) -> Array:
        given = self.given
        if given["hs_enc"] is None:
            return h
        query = h if given["W_query"] is None else h @ given["W_query"]
        if self.keys is None:
            weights = softmax(given["scale"] * self.enc @ query)
        else:
            weights = softmax(np.tanh(self.keys + query) @ given["v"])
        self.weights[: len(self.enc)] = weights
        both = np.concatenate((weights @ self.enc, h))
        if given["combine"] is None:
            return both
        W, b = given["combine"]
        return np.asarray(np.tanh(both @ W + b))


def decoded(given: Arguments) -> Any:
    """The result of `decode`, without ids after a row's end; None if an argmax is ambiguous."""
    _, N, _ = given["h0"].shape
    limits = np.full(N, given["steps"]) if given["limits"] is None else given["limits"]
    rows = [Row(given, n) for n in range(N)]
    for row, limit in zip(rows, limits, strict=True):
        id_ = given["start_id"]
        while len(row.ids) < limit:
            if not row.step(id_):
                return None
            id_ = row.ids[-1]
            if id_ == given["end_id"]:
                break
    scored = [row.log_probability for row in rows] if given["scored"] else None
    has_c, has_weights = given["cell"] == "lstm", given["hs_enc"] is not None
    h = np.stack([row.h for row in rows], axis=1) if rows else given["h0"]
    c = np.stack([row.c for row in rows], axis=1) if rows else np.zeros_like(h)
    weights = [row.weights for row in rows] if has_weights else None
    result = [row.ids for row in rows], scored, h, c if has_c else None, weights
    return result, {}


def _call(given: Arguments) -> Any:
    result = _kernels.decode(**given)
    ids = [row[:taken].tolist() for row, taken in zip(result.ids, result.taken, strict=True)]
    log_probabilities, weights = result.log_probabilities, result.weights
    return (
        ids,
        None if log_probabilities is None else log_probabilities.tolist(),
        result.h,
        result.c,
        None if weights is None else list(weights),
    )


def decode(draw: Draw) -> Case:
    cell = draw.choice(*known_cells())
    N, L, D, H, Te = draw.size(), draw.choice(1, 1, 2, 3), draw.size(), draw.size(1), draw.size(1)
    V, steps = draw.size(1), int(draw.choice(0, 1, 2, 5, 9))
    peeked, attended = draw.maybe(0.3), draw.maybe(0.6)
    additive, combined = attended and draw.maybe(0.3), attended and draw.maybe()
    states = H if combined or not attended else 2 * H
    sizes = [D + H * peeked] + [H] * (L - 1)
    arguments: Arguments = {
        "cell": cell,
        "start_id": int(draw.ids(V)),
        "steps": steps,
        "h0": draw.floats(L, N, H),
        "embedding": draw.floats(V, D),
        "layers": [weights(draw, cell, size, H) for size in sizes],
        "output": [draw.weight(states + H * peeked, V), draw.floats(V)],
        "c0": draw.choice(None, draw.floats(L, N, H)) if cell == "lstm" else None,
        "first_id": int(draw.ids(V)) if draw.maybe(0.3) else 0,
        "end_id": draw.choice(None, int(draw.ids(V))),
        "limits": draw.lengths(N, 0, steps),
        "peek": draw.floats(N, H) if peeked else None,
        "hs_enc": draw.floats(N, Te, H) if attended else None,
        "encoder_lengths": draw.lengths(N, 1, Te) if attended else None,
        "scale": draw.number(1.0, 0.25),
        "W_query": draw.weight(H, H) if attended and draw.maybe(0.4) else None,
        "keys": draw.floats(N, Te, H) if additive else None,
        "v": draw.floats(H) if additive else None,
        "combine": [draw.weight(2 * H, H), draw.floats(H)] if combined else None,
        "scored": draw.maybe(),
    }
    return Case(
        "decode",
        _call,
        arguments,
        decoded,
        limits={"limits": (0, steps), "encoder_lengths": (1, Te)},
        terms=(steps + 1) * L * (D + 8 * H) * 9 + V,
        words=weight_names() | {"W", "b", "W_combine", "b_combine"},
    )


DECODE = {"decode": decode}
