"""The functions of fastseq._kernels, each with valid arguments and its formula in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastseq import _kernels

from .case import Arguments, Array, Case, Draw

Strategy = Callable[[Draw], Case]


def call_of(name: str, arguments: Arguments, expected: Callable[..., Any], **more: Any) -> Case:
    """The case of a kernel without outputs; `expected` returns the result."""
    return written_by(name, arguments, lambda **a: (expected(**a), {}), **more)


def written_by(name: str, arguments: Arguments, expected: Callable[..., Any], **more: Any) -> Case:
    """The case of a kernel; `expected` returns the result, and the outputs by name."""
    return Case(
        name,
        lambda given: getattr(_kernels, name)(**given),
        arguments,
        lambda given: expected(**given),
        **more,
    )


# ---- elementwise, softmax, loss ----


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def function(name: str) -> Strategy:
    def strategy(draw: Draw) -> Case:
        x = draw.floats(*draw.shape("soft" in name), scale=draw.choice(1, 5))
        return call_of(name, {"x": x}, lambda x: FUNCTIONS[name](x), terms=x.size)

    return strategy


def log_mean_exp(draw: Draw) -> Case:
    arguments = {"x": draw.floats(draw.size(1), draw.size(), draw.size())}

    def expected(x: Array) -> Array:
        largest = x.max(axis=0)
        return np.asarray(largest + np.log(np.exp(x - largest).mean(axis=0)))

    return call_of("log_mean_exp", arguments, expected, terms=arguments["x"].shape[0])


def _labels(draw: Draw) -> tuple[Array, Array, int | None]:
    V = draw.size(1)
    shape = draw.shape(0, 2)
    labels = draw.ids(V, *shape)
    ignored = draw.choice(None, None, -1, V, 0, 2**40)
    if ignored is not None:
        labels = np.where(draw.rng.random(shape) < 0.3, ignored, labels)
    return draw.floats(*shape, V), labels, ignored


def softmax_loss_forward(draw: Draw) -> Case:
    xs, labels, ignored = _labels(draw)

    def expected(xs: Array, labels: Array, ignore_label: int | None) -> Any:
        kept = np.ones(labels.shape, bool) if ignore_label is None else labels != ignore_label
        if not kept.any():
            raise ValueError("all labels are ignored")
        log_p = np.take_along_axis(log_softmax(xs), np.where(kept, labels, 0)[..., None], -1)
        return float(-log_p[..., 0][kept].mean()), softmax(xs), int(kept.sum())

    arguments = {"xs": xs, "labels": labels, "ignore_label": ignored}
    case = call_of("softmax_loss_forward", arguments, expected, terms=xs.size)
    case.limits = {} if ignored is not None else {"labels": (0, xs.shape[-1] - 1)}
    kept = labels.size if ignored is None else np.count_nonzero(labels != ignored)
    case.empty = kept == 0  # refused
    return case


def softmax_loss_backward(draw: Draw) -> Case:
    xs, labels, ignored = _labels(draw)

    def expected(probabilities: Array, labels: Array, ignore_label: Any, scale: float) -> Array:
        kept = np.ones(labels.shape, bool) if ignore_label is None else labels != ignore_label
        onehot = np.arange(probabilities.shape[-1]) == np.where(kept, labels, 0)[..., None]
        return (probabilities - onehot) * scale * kept[..., None]

    arguments = {"probabilities": xs, "labels": labels, "ignore_label": ignored}
    arguments["scale"] = draw.number(1.0, 0.25, -2.0)
    case = call_of("softmax_loss_backward", arguments, expected)
    case.limits = {} if ignored is not None else {"labels": (0, xs.shape[-1] - 1)}
    return case


# ---- embedding, affine ----


def embedding_forward(draw: Draw) -> Case:
    V, D = draw.size(1), draw.size()
    arguments = {"W": draw.floats(V, D), "ids": draw.ids(V, *draw.shape())}
    return call_of(
        "embedding_forward", arguments, lambda W, ids: W[ids], limits={"ids": (0, V - 1)}
    )


def embedding_backward(draw: Draw) -> Case:
    V, D = draw.size(1), draw.size()
    ids = draw.ids(V, *draw.shape())

    def expected(dW: Array, ids: Array, dout: Array) -> Any:
        sums = np.zeros_like(dW)
        np.add.at(sums, ids, dout)
        return None, {"dW": sums}

    arguments = {"dW": draw.output(V, D), "ids": ids, "dout": draw.floats(*ids.shape, D)}
    return written_by(
        "embedding_backward",
        arguments,
        expected,
        written={"dW"},
        limits={"ids": (0, V - 1)},
        terms=ids.size,
    )


def affine_forward(draw: Draw) -> Case:
    K, M, rows = draw.size(), draw.size(), draw.shape(0, 2)
    b = draw.choice(None, draw.floats(M), draw.floats(*rows, M))
    arguments = {"x": draw.floats(*rows, K), "W": draw.floats(K, M), "b": b}
    return call_of(
        "affine_forward", arguments, lambda x, W, b: x @ W + (0 if b is None else b), terms=K
    )


def affine_backward(draw: Draw) -> Case:
    K, M, rows = draw.size(), draw.size(), draw.shape(0, 2)
    arguments = {"dout": draw.floats(*rows, M), "x": draw.floats(*rows, K)}
    arguments |= {"W": draw.floats(K, M), "dW": draw.output(K, M)}
    arguments["db"] = draw.choice(None, draw.output(M))

    def expected(dout: Array, x: Array, W: Array, dW: Array, db: Array | None) -> Any:
        R = int(np.prod(dout.shape[:-1]))
        flat = dout.reshape(R, dout.shape[-1])
        written = {"dW": x.reshape(R, x.shape[-1]).T @ flat}
        if db is not None:
            written["db"] = flat.sum(axis=0)
        return dout @ W.T, written

    terms = M + int(np.prod(rows))
    return written_by("affine_backward", arguments, expected, written={"dW", "db"}, terms=4 * terms)


# ---- the optimizers ----


def _sgd(p: Array, g: Array, rate: float) -> None:
    p -= rate * g


def _momentum(p: Array, g: Array, v: Array, rate: float, momentum: float) -> None:
    v[...] = momentum * v - rate * g
    p += v


def _nesterov(p: Array, g: Array, v: Array, rate: float, momentum: float) -> None:
    v[...] = momentum * v - rate * g
    p += momentum**2 * v
    p -= (1 + momentum) * rate * g


def _adagrad(p: Array, g: Array, h: Array, rate: float, epsilon: float = 1e-7) -> None:
    h += g**2
    p -= rate * g / (np.sqrt(h) + epsilon)


def _rmsprop(p: Array, g: Array, h: Array, rate: float, decay: float, eps: float = 1e-7) -> None:
    h[...] = decay * h + (1 - decay) * g**2
    p -= rate * g / (np.sqrt(h) + eps)


def _adam(p: Array, g: Array, m: Array, v: Array, rate: float, beta1: float, beta2: float) -> None:
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g**2 - v)
    p -= rate * m / (np.sqrt(v) + 1e-7)


STEPS: dict[str, tuple[Callable[..., None], list[str], list[str]]] = {
    "sgd_step": (_sgd, [], []),
    "momentum_step": (_momentum, ["velocities"], ["momentum"]),
    "nesterov_step": (_nesterov, ["velocities"], ["momentum"]),
    "adagrad_step": (_adagrad, ["square_sums"], []),
    "rmsprop_step": (_rmsprop, ["square_means"], ["decay_rate"]),
    "adam_step": (_adam, ["first_moments", "second_moments"], ["beta1", "beta2"]),
}


def step(name: str) -> Strategy:
    formula, states, numbers = STEPS[name]

    def strategy(draw: Draw) -> Case:
        shapes = [draw.shape() for _ in range(draw.rng.integers(0, 4))]
        arguments: Arguments = {
            "params": [draw.floats(*shape) for shape in shapes],
            "grads": [draw.floats(*shape) for shape in shapes],
        }
        for state in states:
            arguments[state] = [np.asarray(1 + abs(draw.floats(*shape))) for shape in shapes]
        arguments["learning_rate"] = draw.number(0.5, 0.125, 1.0)
        for number in numbers:
            arguments[number] = draw.number(0.5, 0.75)

        def expected(params: list[Array], grads: list[Array], **given: Any) -> Any:
            lists = [given[state] for state in states]
            values = [given[number] for number in ("learning_rate", *numbers)]
            for p, g, *each in zip(params, grads, *lists, strict=True):
                formula(p, g, *each, *values)
            return None, {"params": params} | {state: given[state] for state in states}

        return written_by(name, arguments, expected, written={"params", *states})

    return strategy


def global_norm(draw: Draw) -> Case:
    grads = [draw.floats(*draw.shape()) for _ in range(draw.rng.integers(0, 4))]

    def expected(grads: list[Array]) -> float:
        return float(np.sqrt(sum(np.sum(grad**2) for grad in grads)))

    return call_of("global_norm", {"grads": grads}, expected, terms=5000)


def scale(draw: Draw) -> Case:
    arrays = [draw.floats(*draw.shape()) for _ in range(draw.rng.integers(0, 4))]

    def expected(arrays: list[Array], factor: float) -> Any:
        return None, {"arrays": [array * factor for array in arrays]}

    arguments = {"arrays": arrays, "factor": draw.number(0.5, -3.0, 0.0)}
    return written_by("scale", arguments, expected, written={"arrays"})


# ---- settings ----


def set_isa(draw: Draw) -> Case:
    arguments = {"name": draw.choice(*_kernels.available_isas())}
    return call_of("set_isa", arguments, lambda name: None, words={"isa"})


def set_num_threads(draw: Draw) -> Case:
    arguments = {"num_threads": draw.choice(1, 2, 3, 64)}
    return call_of("set_num_threads", arguments, lambda num_threads: None)


def set_precision(draw: Draw) -> Case:
    # results of later calls are compared with those of float32 products
    arguments = {"precision": "float32"}
    return call_of("set_precision", arguments, lambda precision: None)


def exchange_thread_precision(draw: Draw) -> Case:
    arguments = {"precision": None}
    return call_of("exchange_thread_precision", arguments, lambda precision: None)


KERNELS: dict[str, Strategy] = {
    **{name: function(name) for name in FUNCTIONS},
    **{name: step(name) for name in STEPS},
    "log_mean_exp": log_mean_exp,
    "softmax_loss_forward": softmax_loss_forward,
    "softmax_loss_backward": softmax_loss_backward,
    "embedding_forward": embedding_forward,
    "embedding_backward": embedding_backward,
    "affine_forward": affine_forward,
    "affine_backward": affine_backward,
    "global_norm": global_norm,
    "scale": scale,
    "set_isa": set_isa,
    "set_num_threads": set_num_threads,
    "set_precision": set_precision,
    "exchange_thread_precision": exchange_thread_precision,
}
