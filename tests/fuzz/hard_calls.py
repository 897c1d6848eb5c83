"""Hard attention: valid calls, and the sum over all paths with the moves as matrices."""

from typing import Any

import numpy as np

from fastseq import _kernels

from .case import Arguments, Array, Case, Draw
from .kernel_calls import Strategy, call_of, softmax

SMALLEST, LARGEST = _kernels.JUMPS
J = LARGEST - SMALLEST + 1
# results of earlier calls
PROBABILITIES = {"content", "priors_before"}


def _lengths(draw: Draw, N: int, Te: int, Td: int) -> Arguments:
    return {
        "encoder_lengths": draw.lengths(N, 1, Te),
        "decoder_lengths": draw.lengths(N, 0, Td),
    }


def _sizes(given: Arguments, N: int, Te: int, Td: int) -> list[tuple[int, int]]:
    """The encoder and decoder length of each row."""
    te, td = given["encoder_lengths"], given["decoder_lengths"]
    pairs = zip([Te] * N if te is None else te, [Td] * N if td is None else td, strict=True)
    return [(int(one), int(other)) for one, other in pairs]


# ---- features ----


def position_features_forward(draw: Draw) -> Case:
    N, Te, Td, H = draw.size(), draw.size(1), draw.size(), draw.size()
    arguments: Arguments = {
        "hs_enc": draw.floats(N, Te, H),
        "hs_dec": draw.floats(N, Td, H),
        "mask": draw.choice(None, draw.floats(N, Td, H)),
        **_lengths(draw, N, Te, Td),
    }
    limits = {"encoder_lengths": (1, Te), "decoder_lengths": (0, Td)}
    return call_of("position_features_forward", arguments, _features, limits=limits)


def _features(hs_enc: Array, hs_dec: Array, mask: Array | None, **given: Any) -> Array:
    N, Te, _ = hs_enc.shape
    Td = hs_dec.shape[1]
    a = np.tanh(hs_enc[:, None] + hs_dec[:, :, None])
    a = a if mask is None else a * mask[:, :, None]
    return np.where(_real(_sizes(given, N, Te, Td), Te, Td)[..., None], a, 0)


def _real(sizes: list[tuple[int, int]], Te: int, Td: int) -> Array:
    """Which pairs of steps (N, Td, Te) there are."""
    real = np.zeros((len(sizes), Td, Te), bool)
    for row, (te, td) in zip(real, sizes, strict=True):
        row[:td, :te] = True
    return real


def position_features_backward(draw: Draw) -> Case:
    N, Te, Td, H = draw.size(), draw.size(1), draw.size(), draw.size()
    mask = draw.choice(None, (draw.floats(N, Td, H) > 0) * np.float32(2))
    features = np.tanh(draw.floats(N, Td, Te, H))
    arguments: Arguments = {
        "da": draw.floats(N, Td, Te, H),
        "features": features if mask is None else features * mask[:, :, None],
        "mask": mask,
        **_lengths(draw, N, Te, Td),
    }

    def expected(da: Array, features: Array, mask: Array | None, **given: Any) -> Any:
        _, Td, Te, _ = da.shape
        scale = 1 if mask is None else mask[:, :, None]
        y = features / np.where(scale == 0, 1, scale)
        dsum = da * scale * (1 - y**2)
        real = _real(_sizes(given, len(da), Te, Td), Te, Td)
        dsum = np.where(real[..., None], dsum, 0)
        return dsum.sum(axis=1), dsum.sum(axis=2)

    limits = {"encoder_lengths": (1, Te), "decoder_lengths": (0, Td)}
    return call_of(
        "position_features_backward",
        arguments,
        expected,
        limits=limits,
        terms=8 * (Te + Td),
        fixed={"mask"},
    )


# ---- the chain ----


class Chain:
    """All steps of one row: scores (td, te, V), content (td, te), jump scores (td, J), ids (td)."""

    def __init__(
        self, scores: Array, content: Array, jump_scores: Array, ids: Array, belief: Array | None
    ) -> None:
        td, te, V = scores.shape
        self.content, self.ids = content, ids
        self.jumps, self.emissions = softmax(jump_scores), softmax(scores)
        self.places = np.clip(np.arange(te) - np.arange(te)[:, None], SMALLEST, LARGEST) - SMALLEST
        self.moves, self.beliefs = np.zeros((td, te, te)), np.zeros((td, te))
        self.priors, self.totals = np.zeros((td, te)), np.zeros((td, V))
        for t in range(td):
            if t:
                belief = self.priors[t - 1] * self.emissions[t - 1, :, ids[t]]
            if belief is None:
                belief = np.arange(te) == 0
            self.beliefs[t] = belief / belief.sum()
            moves = content[t] * self.jumps[t][self.places]
            self.moves[t] = moves / moves.sum(axis=1, keepdims=True)
            self.priors[t] = self.beliefs[t] @ self.moves[t]
            self.totals[t] = self.priors[t] @ self.emissions[t]

    def backward(self, dlog_p: Array) -> tuple[Array, Array, Array]:
        dscores, dcontent = np.zeros_like(self.emissions), np.zeros_like(self.content)
        djumps, dlikely = np.zeros_like(self.jumps), np.zeros(self.content.shape[1])
        for t in reversed(range(len(dlog_p))):
            djoint = np.tile(dlog_p[t] / self.totals[t], (len(dlikely), 1))
            if t + 1 < len(dlog_p):
                djoint[:, self.ids[t + 1]] += dlikely
            dprior = (djoint * self.emissions[t]).sum(axis=1)
            dscores[t] = _softmax_gradient(self.emissions[t], djoint * self.priors[t][:, None])
            dlogs = _softmax_gradient(self.moves[t], np.outer(self.beliefs[t], dprior))
            dcontent[t] = dlogs.sum(axis=0) / self.content[t]
            sums = np.bincount(self.places.ravel(), dlogs.ravel(), J)
            djumps[t] = sums - self.jumps[t] * sums.sum()
            dbelief = self.moves[t] @ dprior
            if t:
                before = self.priors[t - 1] @ self.emissions[t - 1, :, self.ids[t]]
                dlikely = (dbelief - dbelief @ self.beliefs[t]) / before
        return dscores, dcontent, djumps


def _softmax_gradient(p: Array, dp: Array) -> Array:
    return np.asarray(p * (dp - (p * dp).sum(axis=-1, keepdims=True)))


def _chain_arguments(draw: Draw) -> tuple[Arguments, dict[str, tuple[int, int]]]:
    N, Te, Td, V = draw.size(), draw.size(1), draw.size(), draw.size(1)
    lengths = _lengths(draw, N, Te, Td)
    content = np.zeros((N, Td, Te), np.float32)
    for row, (te, _) in zip(content, _sizes(lengths, N, Te, Td), strict=True):
        row[:, :te] = softmax(draw.floats(Td, te))
    arguments: Arguments = {
        "scores": draw.floats(N, Td, Te, V),
        "content": content,
        "jump_scores": draw.floats(N, Td, J),
        "ids": draw.ids(V, N, Td),
        **lengths,
    }
    limits = {"encoder_lengths": (1, Te), "decoder_lengths": (0, Td), "ids": (0, V - 1)}
    return arguments, limits


def _chains(given: Arguments) -> list[tuple[int, int, Chain]]:
    N, Td, Te, _ = given["scores"].shape
    chains = []
    for n, (te, td) in enumerate(_sizes(given, N, Te, Td)):
        belief = None
        if given.get("priors_before") is not None and td:
            emissions = softmax(given["scores_before"][n, :te])
            belief = given["priors_before"][n, :te] * emissions[:, given["ids"][n, 0]]
        own = (given[name][n, :td, :te] for name in ("scores", "content"))
        chains.append(
            (te, td, Chain(*own, given["jump_scores"][n, :td], given["ids"][n, :td], belief))
        )
    return chains


def hard_attention_forward(draw: Draw) -> Case:
    arguments, limits = _chain_arguments(draw)
    N, Td, Te, V = arguments["scores"].shape
    arguments |= dict.fromkeys(("priors_before", "scores_before"))
    if draw.maybe():
        arguments["priors_before"] = softmax(draw.floats(N, Te))
        arguments["scores_before"] = draw.floats(N, Te, V)

    def expected(**given: Any) -> Any:
        N, Td, Te, V = given["scores"].shape
        log_p, priors = np.zeros((N, Td, V)), np.zeros((N, Td, Te))
        for n, (te, td, chain) in enumerate(_chains(given)):
            log_p[n, :td], priors[n, :td, :te] = np.log(chain.totals), chain.priors
        return log_p, priors

    return call_of(
        "hard_attention_forward",
        arguments,
        expected,
        limits=limits,
        fixed=PROBABILITIES,
        terms=Td * (Te + J) + V,
    )


def hard_attention_backward(draw: Draw) -> Case:
    arguments, limits = _chain_arguments(draw)
    N, Td, Te, V = arguments["scores"].shape
    arguments = {"dlog_p": draw.floats(N, Td, V)} | arguments

    def expected(dlog_p: Array, **given: Any) -> Any:
        results = tuple(
            np.zeros(given[name].shape) for name in ("scores", "content", "jump_scores")
        )
        for n, (te, td, chain) in enumerate(_chains(given)):
            parts = results[0][n, :td, :te], results[1][n, :td, :te], results[2][n, :td]
            for part, gradient in zip(parts, chain.backward(dlog_p[n, :td]), strict=True):
                part[...] = gradient
        return results

    terms = 64 * V * (Td * (Te + J) + V)
    return call_of(
        "hard_attention_backward",
        arguments,
        expected,
        limits=limits,
        fixed=PROBABILITIES,
        terms=terms,
    )


HARD: dict[str, Strategy] = {
    "position_features_forward": position_features_forward,
    "position_features_backward": position_features_backward,
    "hard_attention_forward": hard_attention_forward,
    "hard_attention_backward": hard_attention_backward,
}
