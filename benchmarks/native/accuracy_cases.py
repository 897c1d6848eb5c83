"""What the kernels' results are compared with: the same classes of the reference, in float64.

A case builds its layer from `fastseq.layers`, `fastseq.optim` or from the same module of the
reference, of the same values, which float32 holds exactly: what differs is what the kernels round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastseq.layers
import fastseq.optim
import fastseq.transducer.network.network
import fastseq_reference.layers
import fastseq_reference.optim
import fastseq_reference.transducer
from fastseq import decoding
from fastseq.precision import products_in

Array = npt.NDArray[Any]
# The steps of a case by name, each of which returns results: forward, backward.
Steps = dict[str, Callable[[], list[Array]]]

OURS = SimpleNamespace(
    **vars(fastseq.layers) | vars(fastseq.optim),
    Network=fastseq.transducer.network.network.Network,
)
REFERENCE = SimpleNamespace(
    **vars(fastseq_reference.layers) | vars(fastseq_reference.optim),
    Network=fastseq_reference.transducer.Network,
)


class Case(NamedTuple):
    """A layer at one size, and the largest errors that are allowed: in float32, in bfloat16."""

    name: str
    sizes: str
    build: Callable[[SimpleNamespace, Callable[[Array], Array]], Steps]
    bounds: tuple[float, float]


class Measured(NamedTuple):
    """The largest and the mean error of a step's results, and its seconds in float32."""

    case: Case
    step: str
    largest: tuple[float, float]
    mean: tuple[float, float]
    seconds: float


def _values(seed: int, *shape: int, scale: float = 1.0) -> Array:
    drawn = np.random.default_rng(seed).normal(size=shape) * scale
    return drawn.astype(np.float32)


def _recurrent(name: str, N: int, T: int, D: int, H: int, gates: int, scale: float) -> Any:
    """A recurrent layer; with a large `scale` of what x contributes, its gates are saturated."""

    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        Wx = cast(_values(1, D, gates * H, scale=scale / np.sqrt(D)))
        Wh = cast(_values(2, H, gates * H, scale=1 / np.sqrt(H)))
        layer = getattr(module, name)(Wx, Wh, cast(_values(3, gates * H)))
        xs, dhs = cast(_values(4, N, T, D)), cast(_values(5, N, T, H))
        return {
            "forward": lambda: [layer.forward(xs)],
            "backward": lambda: [layer.backward(dhs), *layer.grads],
        }

    return build


def _affine(N: int, D: int, H: int) -> Any:
    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        layer = module.Affine(cast(_values(1, D, H, scale=1 / np.sqrt(D))), cast(_values(2, H)))
        x, dy = cast(_values(3, N, D)), cast(_values(4, N, H))
        return {
            "forward": lambda: [layer.forward(x)],
            "backward": lambda: [layer.backward(dy), *layer.grads],
        }

    return build


def _attention(kind: str, N: int, Te: int, Td: int, H: int) -> Any:
    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        shapes = {"additive": ((H, H), (H, H), (H,))}.get(kind, ())
        params = [cast(_values(i, *s, scale=1 / np.sqrt(H))) for i, s in enumerate(shapes)]
        layer = module.ScoredAttention(kind, params)
        enc, dec = cast(_values(4, N, Te, H, scale=0.5)), cast(_values(5, N, Td, H, scale=0.5))
        d = cast(_values(6, N, Td, H))
        return {
            "forward": lambda: [layer.forward(enc, dec), layer.attention_weights],
            "backward": lambda: [*layer.backward(d), *layer.grads],
        }

    return build


def _hard_attention(N: int, Ts: int, Tt: int, H: int) -> Any:
    """The loss of a network whose attention is a sum over all paths, and its gradients."""
    network = fastseq.transducer.network.network
    config = network.NetworkConfig(
        30, 30, embedding_size=16, hidden_size=H, attention="hard", layers=1
    )
    ids = np.random.default_rng(0).integers(0, 30, (3, N, max(Ts, Tt)))
    lengths = np.full(N, Ts), np.full(N, Tt)
    batch = network.Batch(ids[0, :, :Ts], lengths[0], ids[1, :, :Tt], ids[2, :, :Tt], lengths[1])

    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        built = module.Network(config, np.random.default_rng(0))
        for i, param in enumerate(built.params.values()):
            param[...] = _values(i, *param.shape, scale=1 / np.sqrt(len(param)))

        def backward() -> list[Array]:
            built.backward()
            return list(built.grads.values())

        return {"forward": lambda: [np.array([built.loss(batch)])], "backward": backward}

    return build


def _softmax_loss(N: int, T: int, V: int) -> Any:
    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        layer = module.TimeSoftmaxWithLoss()
        xs = cast(_values(1, N, T, V, scale=3))
        ts = np.random.default_rng(2).integers(0, V, (N, T))
        return {
            "forward": lambda: [np.array([layer.forward(xs, ts)])],
            "backward": lambda: [layer.backward()],
        }

    return build


def _softmax(N: int, V: int) -> Any:
    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        x = cast(_values(1, N, V, scale=3))
        return {"forward": lambda: [module.softmax(x)]}

    return build


def _embedding(N: int, T: int, V: int, D: int) -> Any:
    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        layer = module.TimeEmbedding(cast(_values(1, V, D)))
        ids, d = np.random.default_rng(2).integers(0, V, (N, T)), cast(_values(3, N, T, D))

        def backward() -> list[Array]:
            layer.backward(d)
            return list(layer.grads)

        return {"forward": lambda: [layer.forward(ids)], "backward": backward}

    return build


def _scores(N: int, T: int, V: int, H: int) -> Any:
    """Log probabilities of answers (`fastseq.decoding.score`), against the layers in float64."""

    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        weights = [_values(i, H, 4 * H, scale=1 / np.sqrt(H)) for i in (1, 2)]
        E, W, b = _values(3, V, H), _values(4, H, V, scale=1 / np.sqrt(H)), _values(5, V)
        targets = np.random.default_rng(6).integers(0, V, (N, T))
        if module is OURS:
            stack = module.RecurrentStack("lstm", H, H, params=[*weights, np.zeros(4 * H, "f")])
            state = np.zeros((1, N, H), "f"), np.zeros((1, N, H), "f")
            network = stack, E, W, b, state
            return {"forward": lambda: [decoding.score(*network, targets, start_id=0)]}

        def exact() -> list[Array]:
            inputs = np.concatenate([np.zeros((N, 1), int), targets[:, :-1]], axis=1)
            layer = module.TimeLSTM(*map(cast, weights), np.zeros(4 * H))
            scores = layer.forward(cast(E)[inputs]) @ cast(W) + cast(b)
            scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
            return [np.take_along_axis(scores, targets[..., np.newaxis], -1).sum(axis=(1, 2))]

        return {"forward": exact}

    return build


def _adam(n: int, updates: int) -> Any:
    """The parameters after some updates; the error is relative to how far they went."""

    def build(module: SimpleNamespace, cast: Callable[[Array], Array]) -> Steps:
        optimizer = module.Adam(lr=0.001)
        param = cast(np.zeros(n, np.float32))
        grads = [cast(_values(i, n)) for i in range(updates)]

        def update() -> list[Array]:
            for grad in grads:
                optimizer.update([param], [grad])
            return [param.copy()]

        return {"update": update}

    return build


GATES = {"TimeRNN": 1, "TimeGRU": 3, "TimeLSTM": 4}
# Twice what was measured and more: other instruction sets add in another order.
SMALL_CASES = (
    Case("affine map", "N 64, D 256, H 59", _affine(64, 256, 59), (2e-6, 1e-2)),
    *(
        Case(name, "N 16, T 20, D 16, H 64", _recurrent(name, 16, 20, 16, 64, gates, 1), bounds)
        for (name, gates), bounds in zip(GATES.items(), [(4e-6, 4e-2)] * 3, strict=True)
    ),
    *(
        Case(
            f"{name}, saturated gates",
            "N 16, T 20, D 16, H 64",
            _recurrent(name, 16, 20, 16, 64, gates, 30),
            (2e-5, 0.5),
        )
        for name, gates in GATES.items()
    ),
    *(
        Case(
            f"attention, {kind}",
            "N 8, Te 29, Td 10, H 64",
            _attention(kind, 8, 29, 10, 64),
            (4e-6, 4e-2),
        )
        for kind in ("dot", "additive")
    ),
    Case("hard attention", "N 8, Ts 12, Tt 12, H 32", _hard_attention(8, 12, 12, 32), (1e-5, 5e-2)),
    Case("softmax", "N 128, V 59", _softmax(128, 59), (1e-6, 1e-6)),
    Case("softmax with loss", "N 32, T 10, V 59", _softmax_loss(32, 10, 59), (1e-6, 1e-6)),
    Case("embedding", "N 32, T 29, V 59, D 16", _embedding(32, 29, 59, 16), (2e-6, 2e-6)),
    Case("scores of answers", "N 16, T 20, V 59, H 64", _scores(16, 20, 59, 64), (1e-6, 1e-2)),
    Case("Adam, 100 updates", "n 1,000", _adam(1000, 100), (1e-5, 1e-5)),
)
LARGE_CASES = (
    Case("affine map", "N 128, D 4096, H 256", _affine(128, 4096, 256), (1e-5, 1e-2)),
    *(
        Case(name, "N 4, T 1000, D 16, H 64", _recurrent(name, 4, 1000, 16, 64, gates, 1), bounds)
        for (name, gates), bounds in zip(GATES.items(), [(2e-5, 0.1)] * 3, strict=True)
    ),
    Case(
        "attention, dot",
        "N 4, Te 1000, Td 100, H 128",
        _attention("dot", 4, 1000, 100, 128),
        (1e-5, 5e-2),
    ),
    Case("softmax with loss", "N 32, T 10, V 10,000", _softmax_loss(32, 10, 10000), (5e-6, 5e-6)),
    Case("scores of answers", "N 4, T 1000, V 59, H 64", _scores(4, 1000, 59, 64), (1e-6, 1e-2)),
)


def _error(actual: Array, exact: Array) -> tuple[float, float]:
    """The largest and the mean difference, relative to the largest exact value."""
    difference, size = np.abs(actual - exact), float(np.abs(exact).max())
    return float(difference.max()) / size, float(difference.mean()) / size


def measure(case: Case, precisions: tuple[str, ...], repeats: int) -> Iterator[Measured]:
    """Compare every step of a case in each precision, and time it in the first."""
    exact_steps = case.build(REFERENCE, lambda array: array.astype(np.float64))
    exact = {name: step() for name, step in exact_steps.items()}
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in exact}
    for precision in precisions:
        with products_in(precision):
            for name, step in case.build(OURS, np.copy).items():
                pairs = zip(step(), exact[name], strict=True)
                each = [_error(actual, expected) for actual, expected in pairs]
                errors[name].append((max(e[0] for e in each), max(e[1] for e in each)))
    seconds = dict.fromkeys(exact, float("inf"))
    steps = case.build(OURS, np.copy)
    for _ in range(repeats):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    for name, found in errors.items():
        largest, mean = zip(*found, strict=True)
        yield Measured(case, name, largest, mean, seconds[name])
