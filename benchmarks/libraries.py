"""The works of `works.py` carried out by fastseq, by its NumPy reference, and the limit.

fastseq and the reference have the same names, so one function serves both. Each library is imported
only in the process that measures it.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from works import (
    LEARNING_RATE,
    MAX_NORM,
    SEED,
    AttentionLayer,
    Limit,
    LstmLayer,
    TrainingStep,
    Work,
)

Array = npt.NDArray[Any]

MODULES = {"fastseq": "fastseq", "reference": "fastseq_reference", "torch": "torch"}
PARITY_STEPS = 5


class Prepared(NamedTuple):
    """A work that is ready to run in this process."""

    step: Callable[[], Any]  # what is timed
    results: Callable[[], dict[str, Any]]  # runs it, and gives what must agree between libraries
    about: dict[str, Any]  # versions and threads, as the library itself reports them


def prepare(library: str, work: Work | Limit) -> Prepared:
    """Import a library and build a work with it.

    Parameters
    ----------
    library : {"fastseq", "reference", "torch", "limit"}
    work : Work or Limit
        "limit" takes a `Limit`, the others a `Work`.
    """
    if isinstance(work, Limit):
        return _prepare_limit(work)
    if library == "torch":
        import peer_torch

        return peer_torch.prepare(work)
    module = importlib.import_module(MODULES[library])
    step, results = _build(module, work)
    return Prepared(step, results, _about(library, module))


def first_steps(
    step: Callable[[], float], gradients: Callable[[], Iterable[Array]]
) -> dict[str, Any]:
    """The losses of the first training steps, and the gradients of the very first, by name.

    Losses alone would not do: the first updates of Adam hardly depend on the size of a gradient.

    Parameters
    ----------
    step : callable
        Does a training step and returns its loss.
    gradients : callable
        Gives the gradients of the last step, clipped, in the order of the models' ``grads``.
    """
    results: dict[str, Any] = {"loss of step 1": step()}
    for number, gradient in enumerate(gradients()):
        results[f"gradient {number} of step 1"] = gradient.copy()
    for number in range(2, PARITY_STEPS + 1):
        results[f"loss of step {number}"] = step()
    return results


def _build(module: Any, work: Work) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    if isinstance(work, TrainingStep):
        return _training_step(module, work)
    if isinstance(work, LstmLayer):
        return _lstm_layer(module, work)
    return _attention_layer(module, work)


def _training_step(
    module: Any, work: TrainingStep
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    np.random.seed(SEED)  # the models draw their weights from the global generator
    model = getattr(module, work.model)(work.V, work.D, work.H)
    optimizer = module.Adam(lr=LEARNING_RATE)
    batches = itertools.cycle(work.batches())

    def step() -> float:
        xs, ts = next(batches)
        loss = model.forward(xs, ts)
        model.backward()
        params, grads = module.remove_duplicate(model.params, model.grads)
        module.clip_grads(grads, MAX_NORM)
        optimizer.update(params, grads)
        return float(loss)

    return step, lambda: first_steps(step, lambda: model.grads)


def _lstm_layer(
    module: Any, work: LstmLayer
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    arrays = work.arrays()
    xs, dhs = arrays["xs"], arrays["dhs"]
    layer = module.TimeLSTM(arrays["Wx"], arrays["Wh"], arrays["b"])

    def forward() -> tuple[Array, ...]:
        return (layer.forward(xs),)

    def both() -> tuple[Array, ...]:
        return layer.forward(xs), layer.backward(dhs), *layer.grads

    step = both if work.backward else forward
    return step, lambda: dict(zip(("hs", "dxs", "dWx", "dWh", "db"), step(), strict=False))


def _attention_layer(
    module: Any, work: AttentionLayer
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    arrays = work.arrays()
    layer = module.TimeAttention()

    def step() -> tuple[Array, ...]:
        contexts = layer.forward(arrays["hs_enc"], arrays["hs_dec"])
        return contexts, *layer.backward(arrays["dout"])

    return step, lambda: dict(zip(("contexts", "dhs_enc", "dhs_dec"), step(), strict=True))


def _prepare_limit(work: Limit) -> Prepared:
    random = np.random.RandomState(SEED)
    a, b = (random.rand(work.size, work.size).astype(np.float32) for _ in range(2))
    out = np.empty_like(a)
    return Prepared(lambda: np.dot(a, b, out=out), dict, {"numpy": np.__version__})


def _about(library: str, module: Any) -> dict[str, Any]:
    if library == "fastseq":
        config: dict[str, Any] = importlib.import_module("fastseq.config").get_config()
        return config
    return {"numpy": np.__version__}
