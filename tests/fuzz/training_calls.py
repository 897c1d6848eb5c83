"""The optimizers and `clip_grads`: valid calls. Their methods do not document hostile arguments."""

from typing import Any

import fastseq
import fastseq_reference

from .case import Arguments, Array, Case, Draw
from .kernel_calls import Strategy

OPTIMIZERS = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam")
UPDATES = 2


def optimizer(name: str) -> Strategy:
    """Some updates of a list of parameters."""

    def run(package: Any, given: Arguments) -> Any:
        optimizer = getattr(package, name)(given["lr"])
        for grads in given["grads"]:
            optimizer.update(given["params"], grads)
        return [param.copy() for param in given["params"]], {"params": given["params"]}

    def strategy(draw: Draw) -> Case:
        shapes = [draw.shape() for _ in range(draw.rng.integers(1, 4))]
        return Case(
            name,
            lambda given: run(fastseq, given)[0],
            {
                "lr": draw.number(0.5, 0.125),
                "params": _arrays(draw, shapes),
                "grads": [_arrays(draw, shapes) for _ in range(UPDATES)],
            },
            lambda given: run(fastseq_reference, given),
            written={"params"},
            hostile=False,
        )

    return strategy


def clip_grads(draw: Draw) -> Case:
    def run(package: Any, given: Arguments) -> Any:
        package.clip_grads(given["grads"], given["max_norm"])
        return [grad.copy() for grad in given["grads"]], {"grads": given["grads"]}

    shapes = [draw.shape() for _ in range(draw.rng.integers(1, 4))]
    return Case(
        "clip_grads",
        lambda given: run(fastseq, given)[0],
        {"grads": _arrays(draw, shapes), "max_norm": draw.number(0.5, 4.0, 64.0)},
        lambda given: run(fastseq_reference, given),
        written={"grads"},
        hostile=False,
    )


def _arrays(draw: Draw, shapes: list[tuple[int, ...]]) -> list[Array]:
    return [draw.floats(*shape) for shape in shapes]


TRAINING: dict[str, Strategy] = {
    **{name: optimizer(name) for name in OPTIMIZERS},
    "clip_grads": clip_grads,
}
