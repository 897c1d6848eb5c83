"""The workloads in fastseq and in its NumPy reference; the peak; and `prepare` for all backends.

fastseq and the reference have the same names, so one function serves both. Each backend is imported
only in the process that measures it (fastseq's package is imported as well, since this module is
part of it; its kernels are idle then).
"""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.bench.backends import Backend
from fastseq.bench.memory import STATUS, peak_bytes
from fastseq.bench.workloads import Peak, Workload
from fastseq.bench.workloads.base import SEED, Layer
from fastseq.bench.workloads.decoding import START_ID, Decoding, Evaluation, Import
from fastseq.bench.workloads.models import TrainingStep

Array = npt.NDArray[Any]
Step = Callable[[], Any]
Results = Callable[[], dict[str, Any]]

MODULES = {
    "fastseq": "fastseq",
    "reference": "fastseq_reference",
    "torch": "torch",
    "jax": "jax",
    "numpy": "numpy",
}
PARITY_STEPS = 5


class Prepared(NamedTuple):
    """A workload that is ready to run in this process.

    Attributes
    ----------
    step : callable
        What is timed.
    results : callable
        Runs the workload, and returns what must agree between backends, by name.
    about : dict
        The number of threads and the precision, where the backend reports them.
    peak_bytes : callable
        The most memory that was resident so far, in bytes; None where the system does not report
        it.
    """

    step: Step
    results: Results
    about: dict[str, Any]
    peak_bytes: Callable[[], int | None]


def prepare(backend: str, workload: Workload | Peak) -> Prepared:
    """Import a backend and build a workload with it.

    Parameters
    ----------
    backend : {"fastseq", "reference", "torch", "jax", "numpy", "peak"}
        Or one of them with a variant, as the name of a `Backend`.
    workload : Workload or Peak
        "peak" takes a `Peak`, the others a `Workload`; "numpy" an `Import` only.
    """
    if isinstance(workload, Import):
        return _prepare_import(backend)
    if isinstance(workload, Peak):
        step, results = _peak(workload)
        return Prepared(step, results, {}, peak_bytes)
    library, precision = Backend(backend).library, Backend(backend).precision(workload)
    if library in ("torch", "jax"):
        peer = importlib.import_module(f"fastseq.bench.backends.{library}")
        step, results = peer.build(workload, precision)
        return Prepared(step, results, peer.about(), peak_bytes)
    module = importlib.import_module(MODULES[library])
    step, results = _build(module, workload)
    about = {}
    if library == "fastseq":
        about = {"threads": module.get_num_threads(), "precision": module.get_precision()}
    return Prepared(step, results, about, peak_bytes)


def first_steps(
    step: Callable[[], float], gradients: Callable[[], Iterable[Array]]
) -> dict[str, Any]:
    """The losses of the first training steps, and the gradients of the very first, by name.

    Losses alone do not suffice: the first updates of Adam hardly depend on the scale of a gradient.

    Parameters
    ----------
    step : callable
        Does a training step and returns its loss.
    gradients : callable
        Returns the gradients of the last step, clipped, in the order of the models' ``grads``,
        without those of parameters that are the same as an earlier one.
    """
    results: dict[str, Any] = {"loss of step 1": step()}
    for number, gradient in enumerate(gradients()):
        results[f"gradient {number} of step 1"] = gradient.copy()
    for number in range(2, PARITY_STEPS + 1):
        results[f"loss of step {number}"] = step()
    return results


def decoding_model(module: Any, workload: Decoding) -> Any:
    """The model of a `Decoding`, of fastseq or of the reference."""
    np.random.seed(SEED)  # the models draw their weights from the global generator
    model = getattr(module, workload.model)(workload.V, workload.D, workload.H)
    for embedding in (model.encoder.embed, model.decoder.embed):
        embedding.params[0][...] *= 100
    return model


def _build(module: Any, workload: Workload) -> tuple[Step, Results]:
    if isinstance(workload, TrainingStep):
        return _training_step(module, workload)
    if isinstance(workload, Layer):
        return _layer(module, workload)
    if isinstance(workload, Evaluation):
        return _evaluation(module, workload)
    if isinstance(workload, Decoding):
        return _decoding(module, workload)
    raise TypeError(f"{workload.name}: {module.__name__} has no implementation")


def _training_step(module: Any, workload: TrainingStep) -> tuple[Step, Results]:
    np.random.seed(SEED)  # the models draw their weights and dropout masks from it
    model = getattr(module, workload.model)(*workload.arguments)
    optimizer = getattr(module, workload.optimizer)(lr=workload.learning_rate)
    batches = itertools.cycle(workload.batches())
    updated: list[Array] = []

    def step() -> float:
        xs, ts = next(batches)
        loss = model.forward(xs, ts)
        model.backward()
        params, grads = module.remove_duplicate(model.params, model.grads)
        module.clip_grads(grads, workload.max_norm)
        optimizer.update(params, grads)
        updated[:] = grads
        return float(loss)

    return step, lambda: first_steps(step, lambda: updated)


def _layer(module: Any, workload: Layer) -> tuple[Step, Results]:
    data = workload.data()
    layer = getattr(module, workload.class_name)(*data.weights)

    def forward() -> tuple[Any, ...]:
        return _values(layer.forward(*data.inputs))

    def both() -> tuple[Any, ...]:
        outputs = forward()
        return *outputs, *_values(layer.backward(*data.upstream)), *layer.grads

    step = both if workload.backward else forward
    return step, lambda: dict(zip(workload.results, step(), strict=False))


def _values(given: Any) -> tuple[Any, ...]:
    """What a layer returned, as a tuple: one array, several, or none where ids have no gradient."""
    if given is None:
        return ()
    return given if isinstance(given, tuple) else (given,)


def _decoding(module: Any, workload: Decoding) -> tuple[Step, Results]:
    model, questions = decoding_model(module, workload), workload.questions()
    answer_all = _one_by_one if module.__name__ == MODULES["reference"] else _in_a_batch

    def one() -> Any:
        return model.generate(questions, START_ID, workload.Td)

    def many() -> Array:
        return answer_all(model, questions, workload.Td)

    return one if workload.N == 1 else many, lambda: {"answers": many()}


def _in_a_batch(model: Any, questions: Array, sample_size: int) -> Array:
    answers: Array = model.generate_batch(questions, START_ID, sample_size)
    return answers


def _one_by_one(model: Any, questions: Array, sample_size: int) -> Array:
    rows = (questions[i : i + 1] for i in range(len(questions)))
    return np.array([model.generate(row, START_ID, sample_size) for row in rows])


def _evaluation(module: Any, workload: Evaluation) -> tuple[Step, Results]:
    model, questions, corrects = (
        decoding_model(module, workload),
        workload.questions(),
        workload.corrects(),
    )
    if module.__name__ == MODULES["reference"]:
        characters = {symbol: chr(ord("0") + symbol) for symbol in range(workload.V)}

        def step() -> float:
            rows = zip(np.split(questions, workload.N), np.split(corrects, workload.N), strict=True)
            right = sum(module.eval_seq2seq(model, *row, characters) for row in rows)
            return float(right) / workload.N

        answer_all = _one_by_one
    else:
        exact_match = importlib.import_module("fastseq.train").exact_match

        def step() -> float:
            return float(exact_match(model, questions, corrects))

        answer_all = _in_a_batch
    return step, lambda: {"answers": answer_all(model, questions, workload.Td), "share": step()}


def _peak(workload: Peak) -> tuple[Step, Results]:
    random = np.random.RandomState(SEED)
    a, b = (random.rand(workload.size, workload.size).astype(np.float32) for _ in range(2))
    out = np.empty_like(a)
    return lambda: np.dot(a, b, out=out), dict


def _prepare_import(backend: str) -> Prepared:
    """Time whole processes; the memory is that of another one, which is not timed."""
    statement = f"import {MODULES[backend]}"

    def step() -> None:
        subprocess.run([sys.executable, "-c", statement], check=True)

    def child_peak_bytes() -> int | None:
        code = f"{statement}; import sys; sys.stdout.write(open({str(STATUS)!r}).read())"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return peak_bytes(child.stdout)

    return Prepared(step, dict, {}, child_peak_bytes)
