"""Decoding: valid calls of `decode` and `beam_search`, and the greedy loop in NumPy."""

from typing import Any

import numpy as np

from fastseq import _kernels

from .case import Arguments, Array, Case, Draw
from .hard_calls import Chain, J
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
        self.likely: Array | None = None  # (Te, V), of each position with each symbol

    def step(self, id_: int) -> tuple[Array, Array]:
        """Compute a step: the log probabilities of the next symbols, and the scores or these."""
        given = self.given
        x = given["embedding"][id_]
        if self.peek is not None:
            x = np.concatenate((self.peek, x))
        for layer, params in enumerate(given["layers"]):
            h, c = cell_step(given["cell"], params, x, self.h[layer], self.c[layer])
            self.h[layer] = x = h
            if c is not None:
                self.c[layer] = c
        if given["jump"] is not None:
            log_p = self._hard(x, id_)
            return log_p, log_p
        a = self._attended(x)
        if self.peek is not None:
            a = np.concatenate((self.peek, a))
        W, b = given["output"]
        scores = a @ W + b
        return log_softmax(scores), scores

    def _hard(self, h: Array, id_: int) -> Array:
        given = self.given
        (W, b), (W_combine, b_combine) = given["output"], given["combine"]
        W_jump, b_jump = given["jump"]
        content = softmax(self.enc @ (h @ given["W_query"]))
        scores = np.tanh(self.keys + h @ W_combine + b_combine) @ W + b
        belief = None if self.likely is None else self.likely[:, id_]
        chain = Chain(
            scores[None], content[None], (h @ W_jump + b_jump)[None], np.array([id_]), belief
        )
        self.likely = chain.priors[0][:, None] * chain.emissions[0]
        self.weights[: len(self.enc)] = chain.priors[0]
        return np.asarray(np.log(chain.totals[0]))

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


class Answer:
    """The answer to one row, by the mean of one decoder's probabilities or of several."""

    def __init__(self, given: Arguments, rows: list[Row]) -> None:
        self.given, self.rows = given, rows
        self.ids: list[int] = []
        self.log_probability = 0.0

    def step(self, id_: int) -> bool:
        """Compute a step; return whether its argmax is unambiguous."""
        given = self.given
        results = [row.step(id_) for row in self.rows]
        log_p, ranked = results[0]
        if len(results) > 1:
            log_p = np.log(np.mean([np.exp(each) for each, _ in results], axis=0))
        if len(results) > 1 or given["scored"]:
            ranked = log_p
        allowed = ranked[given["first_id"] :]
        best = given["first_id"] + int(allowed.argmax())
        self.ids.append(best)
        self.log_probability += float(log_p[best])
        others = np.delete(allowed, best - given["first_id"])
        return bool(not others.size or ranked[best] - others.max() > MIN_MARGIN)


def answered(given: Arguments, decoders: list[Arguments]) -> list[Answer] | None:
    """The answers to all rows; None if an argmax is ambiguous."""
    _, N, _ = decoders[0]["h0"].shape
    limits = np.full(N, given["steps"]) if given["limits"] is None else given["limits"]
    answers = [Answer(given, [Row(each, n) for each in decoders]) for n in range(N)]
    for answer, limit in zip(answers, limits, strict=True):
        id_ = given["start_id"]
        while len(answer.ids) < limit:
            if not answer.step(id_):
                return None
            id_ = answer.ids[-1]
            if id_ == given["end_id"]:
                break
    return answers


def decoded(given: Arguments) -> Any:
    """The result of `decode`, without ids after a row's end; None if an argmax is ambiguous."""
    answers = answered(given, [given])
    if answers is None:
        return None
    rows = [answer.rows[0] for answer in answers]
    scored = [answer.log_probability for answer in answers] if given["scored"] else None
    has_c, has_weights = given["cell"] == "lstm", given["hs_enc"] is not None
    h = np.stack([row.h for row in rows], axis=1) if rows else given["h0"]
    c = np.stack([row.c for row in rows], axis=1) if rows else np.zeros_like(h)
    weights = [row.weights for row in rows] if has_weights else None
    result = [answer.ids for answer in answers], scored, h, c if has_c else None, weights
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


def _decoder(draw: Draw, N: int, V: int, Te: int) -> tuple[Arguments, int]:
    """The arguments of one decoder, and the terms of a step's sums."""
    cell = draw.choice(*known_cells())
    L, D, H = draw.choice(1, 1, 2, 3), draw.size(), draw.size(1)
    attended = draw.maybe(0.6)
    hard = attended and draw.maybe(0.3)
    peeked = not hard and draw.maybe(0.3)
    additive, combined = attended and draw.maybe(0.3), attended and draw.maybe()
    states = H if combined or hard or not attended else 2 * H
    sizes = [D + H * peeked] + [H] * (L - 1)
    combine = None
    if combined or hard:
        combine = [draw.weight(H if hard else 2 * H, H), draw.floats(H)]
    arguments: Arguments = {
        "cell": cell,
        "h0": draw.floats(L, N, H),
        "embedding": draw.floats(V, D),
        "layers": [weights(draw, cell, size, H) for size in sizes],
        "output": [draw.weight(states + H * peeked, V), draw.floats(V)],
        "c0": draw.choice(None, draw.floats(L, N, H)) if cell == "lstm" else None,
        "peek": draw.floats(N, H) if peeked else None,
        "hs_enc": draw.floats(N, Te, H) if attended else None,
        "scale": draw.number(1.0, 0.25),
        "W_query": draw.weight(H, H) if hard or (attended and draw.maybe(0.4)) else None,
        "keys": draw.floats(N, Te, H) if additive or hard else None,
        "v": draw.floats(H) if additive and not hard else None,
        "combine": combine,
        "jump": [draw.weight(H, J), draw.floats(J)] if hard else None,
    }
    return arguments, L * (D + 8 * H) * 9


def _decoding(draw: Draw, N: int, V: int, Te: int | None) -> Arguments:
    """The arguments that all decoders of a call share; Te None without attention."""
    steps = int(draw.choice(0, 1, 2, 5, 9))
    return {
        "start_id": int(draw.ids(V)),
        "steps": steps,
        "first_id": int(draw.ids(V)) if draw.maybe(0.3) else 0,
        "end_id": draw.choice(None, int(draw.ids(V))),
        "limits": draw.lengths(N, 0, steps),
        "encoder_lengths": None if Te is None else draw.lengths(N, 1, Te),
    }


WORDS = weight_names() | {"W", "b", "W_combine", "b_combine"}


def decode(draw: Draw) -> Case:
    N, Te, V = draw.size(), draw.size(1), draw.size(1)
    decoder, terms = _decoder(draw, N, V, Te)
    shared = _decoding(draw, N, V, None if decoder["hs_enc"] is None else Te)
    steps = shared["steps"]
    return Case(
        "decode",
        _call,
        shared | decoder | {"scored": draw.maybe()},
        decoded,
        limits={"limits": (0, steps), "encoder_lengths": (1, Te)},
        terms=(steps + 1) * terms + V,
        words=WORDS,
    )


def decode_together(draw: Draw) -> Case:
    N, Te, V = draw.size(), draw.size(1), draw.size(1)
    pairs = [_decoder(draw, N, V, Te) for _ in range(draw.choice(1, 2, 3))]
    decoders = [decoder for decoder, _ in pairs]
    attends = any(decoder["hs_enc"] is not None for decoder in decoders)
    shared = _decoding(draw, N, V, Te if attends else None)
    steps = shared["steps"]

    def call(given: Arguments) -> Any:
        result = _kernels.decode_together(**given)
        assert result.log_probabilities is not None
        ids = [row[:taken].tolist() for row, taken in zip(result.ids, result.taken, strict=True)]
        return ids, result.log_probabilities.tolist()

    def expected(given: Arguments) -> Any:
        lengths = {"encoder_lengths": given["encoder_lengths"]}
        parts = [each | lengths for each in given["decoders"]]
        answers = answered(given | {"scored": True}, parts)
        if answers is None:
            return None
        return ([each.ids for each in answers], [each.log_probability for each in answers]), {}

    return Case(
        "decode_together",
        call,
        {"decoders": decoders} | shared,
        expected,
        limits={"limits": (0, steps), "encoder_lengths": (1, Te)},
        terms=(steps + 1) * max(terms for _, terms in pairs) + V,
        words=WORDS | set(decoders[0]),
    )


def beam_search(draw: Draw) -> Case:
    N, Te, V = draw.size(), draw.size(1), draw.size(1)
    decoder, terms = _decoder(draw, N, V, Te)
    shared = _decoding(draw, N, V, None if decoder["hs_enc"] is None else Te)
    steps, beam = shared["steps"], int(draw.choice(1, 1, 3, 70))
    if shared["limits"] is not None:
        shared["limits"] = np.maximum(shared["limits"], min(steps, 1))

    def call(given: Arguments) -> Any:
        result = _kernels.beam_search(**given)
        if beam > 1:
            return np.mean(~(result.scores[:, :-1] < result.scores[:, 1:])) if N else 1.0
        best = zip(result.ids[:, 0], result.taken[:, 0], strict=True)
        ids = [row[:taken].tolist() for row, taken in best]
        return ids, result.log_probabilities[:, 0].tolist()

    def expected(given: Arguments) -> Any:
        if beam > 1:
            return 1.0, {}
        lengths = {"encoder_lengths": given["encoder_lengths"]}
        answers = answered(given | {"scored": True}, [given["decoders"][0] | lengths])
        if answers is None or steps == 0:
            return None
        log_probabilities = [each.log_probability for each in answers]
        if not np.isfinite(log_probabilities).all():
            return None  # the search of such a row ends without an answer
        return ([each.ids for each in answers], log_probabilities), {}

    more = {"beam": beam, "n_best": beam, "length_penalty": draw.number(0.0, 0.6)}
    return Case(
        "beam_search",
        call,
        {"decoders": [decoder]} | shared | more,
        expected,
        limits={"limits": (0, steps), "encoder_lengths": (1, Te)},
        terms=(steps + 1) * terms + V,
        words=WORDS | set(decoder),
    )


DECODE = {"decode": decode, "decode_together": decode_together, "beam_search": beam_search}
