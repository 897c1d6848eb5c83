"""The workloads: the count of operations, and that all backends compute the same."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq.bench import measure, workloads
from fastseq.bench.backends import Backend, numpy_layers
from fastseq.bench.measure import ParityError
from fastseq.bench.workloads import WORKLOADS, Peak, Workload
from fastseq.bench.workloads.base import Curve
from fastseq.precision import products_in
from support.bench.benchmarking import TINY

ROOT = Path(__file__).parents[2]


# the workloads


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        # a product of (m, k) and (k, n): 2 m k n. x·Wx and h·Wh at 3 steps of 4 blocks; 3 passes
        ("lstm", 3 * 3 * (2 * 2 * 4 * 20 + 2 * 2 * 5 * 20)),
        ("lstm-forward", 3 * (2 * 2 * 4 * 20 + 2 * 2 * 5 * 20)),
        ("lstm-N2", 3 * 3 * (2 * 2 * 4 * 20 + 2 * 2 * 5 * 20)),
        ("gru", 3 * 3 * (2 * 2 * 4 * 15 + 2 * 2 * 5 * 15)),
        ("rnn", 3 * 3 * (2 * 2 * 4 * 5 + 2 * 2 * 5 * 5)),
        ("bilstm", 2 * 3 * 3 * (2 * 2 * 4 * 20 + 2 * 2 * 5 * 20)),
        # for each of 2 rows (3, 5)·(5, 4), then (3, 4)·(4, 5)
        ("attention", 3 * 2 * (2 * 3 * 5 * 4 + 2 * 3 * 4 * 5)),
        ("affine", 3 * (2 * 6 * 4 * 5)),
        ("embedding", None),
        ("loss", None),
        # encoder of 3 steps, decoder of 2, affine map of 2 · 2 rows from 4 to 5
        ("seq2seq", 3 * (5 * (2 * 2 * 3 * 16 + 2 * 2 * 4 * 16) + 2 * 4 * 4 * 5)),
        # the decoder reads 4 + 3 values, the affine map 4 + 4
        (
            "peeky",
            3
            * (
                3 * (2 * 2 * 3 * 16 + 2 * 2 * 4 * 16)
                + 2 * (2 * 2 * 7 * 16 + 2 * 2 * 4 * 16)
                + 2 * 4 * 8 * 5
            ),
        ),
        # the affine map reads 4 + 4 values; the attention is of (2, 4) and (3, 4) for 2 rows
        (
            "attention-model",
            3
            * (
                5 * (2 * 2 * 3 * 16 + 2 * 2 * 4 * 16)
                + 2 * 4 * 8 * 5
                + 2 * (2 * 2 * 4 * 3 + 2 * 2 * 3 * 4)
            ),
        ),
        ("busy", None),
        # two LSTM layers of 3 steps from 4 to 4, affine map of 2 · 3 rows from 4 to 5
        ("rnnlm", 3 * (2 * 3 * (2 * 2 * 4 * 16 + 2 * 2 * 4 * 16) + 2 * 6 * 4 * 5)),
        # forward only, one row
        (
            "one",
            5 * (2 * 3 * 16 + 2 * 4 * 16) + 2 * 2 * 8 * 5 + (2 * 2 * 4 * 3 + 2 * 2 * 3 * 4),
        ),
        (
            "evaluation",
            3 * (5 * (2 * 3 * 16 + 2 * 4 * 16) + 2 * 2 * 8 * 5 + (2 * 2 * 4 * 3 + 2 * 2 * 3 * 4)),
        ),
    ],
)
def test_operations_are_those_of_the_products(name: str, operations: int | None) -> None:
    assert TINY[name].operations == operations


def test_operations_of_the_peak() -> None:
    assert Peak(size=3).operations == 2 * 3 * 3 * 3


@pytest.mark.parametrize(
    "workload", [*TINY.values(), *WORKLOADS.values(), Peak()], ids=lambda w: w.name
)
def test_a_workload_survives_json(workload: Workload) -> None:
    assert (
        workloads.from_message(json.loads(json.dumps(workloads.as_message(workload)))) == workload
    )


def test_the_files_of_benchmarks_measure_all_workloads() -> None:
    measured = []
    for file in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        content: dict[str, Any] = {}
        exec(compile(file.read_text("utf-8"), file, "exec"), content)
        assert {workload.noun for workload in content["WORKLOADS"]} == {
            file.stem.removeprefix("bench_")
        }
        measured += [workload.name for workload in content["WORKLOADS"]]
    assert sorted(measured) == sorted(WORKLOADS)


def test_numbers_of_threads() -> None:
    assert TINY["lstm"].numbers_of_threads([1, 2]) == [1, 2]
    assert TINY["busy"].numbers_of_threads([1, 2, 4]) == [2, 4]
    assert WORKLOADS["import"].numbers_of_threads([2, 4]) == [1]


def test_workloads_in_bfloat16_are_those_with_products() -> None:
    names = [each.name for each in workloads.in_precisions(TINY.values(), ["bfloat16"])]
    without = {"embedding", "loss", "busy", "lstm-N2"}
    assert names == [f"{name}-bfloat16" for name in TINY if name not in without]
    assert workloads.in_precisions(TINY.values()) == list(TINY.values())
    both = workloads.in_precisions([TINY["lstm"]], ["float32", "bfloat16"])
    assert [each.precision for each in both] == ["float32", "bfloat16"]
    assert both[1].description == f"{both[0].title}, products of bfloat16"
    assert workloads.from_message(workloads.as_message(both[1])) == both[1]


def test_scaling_points_lie_on_their_curve() -> None:
    workload = WORKLOADS["lstm-both-H64"]
    assert workload.curve == Curve("lstm-both", "H", 64)
    assert workload.sizes == WORKLOADS["lstm-both"].sizes | {"H": 64}
    assert WORKLOADS["lstm-both"].curve is None


# parity


def compare(workload: Workload, backend: str = "fastseq") -> float:
    """The largest difference of a backend from the reference, in this process."""
    expected, actual = (
        {
            result: np.asarray(array)
            for result, array in numpy_layers.prepare(name, workload).results().items()
        }
        for name in ("reference", backend)
    )
    return measure.largest_difference(backend, actual, expected)


@pytest.mark.parametrize("workload", TINY.values(), ids=lambda workload: workload.name)
def test_fastseq_computes_what_the_reference_does(workload: Workload) -> None:
    assert compare(workload) < measure.LOSS_TOLERANCE


@pytest.mark.parametrize(
    ("backend", "workload"),
    [
        pytest.param(backend, workload, id=f"{backend}-{workload.name}")
        for backend in measure.PEERS
        for workload in TINY.values()
        if backend in workload.backends
    ],
)
def test_a_peer_computes_what_the_reference_does(backend: str, workload: Workload) -> None:
    pytest.importorskip(backend)
    assert compare(workload, backend) < measure.LOSS_TOLERANCE


@pytest.mark.parametrize(
    ("backend", "workload"),
    [
        pytest.param(name, workload, id=f"{name}-{workload.name}")
        for workload in workloads.in_precisions(TINY.values(), ["bfloat16"])
        for name in workload.timed
    ],
)
def test_results_in_bfloat16_are_near(backend: str, workload: Workload) -> None:
    # oneDNN has no LSTM in bfloat16 for some processors; PyTorch itself has
    one_dnn = nullcontext()
    if backend.startswith("torch"):
        one_dnn = pytest.importorskip("torch").backends.mkldnn.flags(enabled=backend != "torch")
    precision = Backend(backend).precision(workload)
    expected = numpy_layers.prepare("reference", workload).results()
    with one_dnn, products_in("float32" if precision == "int8" else precision):
        actual = numpy_layers.prepare(backend, workload).results()
    as_arrays = ({name: np.asarray(a) for name, a in each.items()} for each in (actual, expected))
    largest = measure.largest_difference(backend, *as_arrays, measure.TOLERANCES[precision])
    rounded = precision != "float32" and workload.kind in ("layer", "step")
    assert largest > 1e-3 or not rounded


@pytest.mark.parametrize("peer", measure.PEERS)
def test_a_peer_needs_nothing_but_its_library(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"fastseq.bench.backends.{peer}", raising=False)
    monkeypatch.setitem(sys.modules, peer, None)  # as if it were not installed
    with pytest.raises(ImportError) as caught:
        numpy_layers.prepare(peer, TINY["lstm"])
    assert caught.value.name == peer


# Where each workload's result is broken: the class, and its method.
BREAK: dict[str, tuple[type, str]] = {
    "lstm": (fastseq.TimeLSTM, "backward"),
    "lstm-forward": (fastseq.TimeLSTM, "forward"),
    "gru": (fastseq.TimeGRU, "forward"),
    "rnn": (fastseq.TimeRNN, "backward"),
    "bilstm": (fastseq.TimeBiLSTM, "forward"),
    "attention": (fastseq.TimeAttention, "forward"),
    "embedding": (fastseq.TimeEmbedding, "forward"),
    "affine": (fastseq.TimeAffine, "backward"),
    "loss": (fastseq.TimeSoftmaxWithLoss, "backward"),
    "seq2seq": (fastseq.TimeAffine, "backward"),
    "rnnlm": (fastseq.TimeLSTM, "backward"),
}


@pytest.mark.parametrize("name", BREAK)
def test_a_result_that_is_a_little_off_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, method = BREAK[name]
    whole = getattr(broken, method)
    monkeypatch.setattr(broken, method, lambda self, *given: whole(self, *given) * 1.0001)
    with pytest.raises(ParityError, match=r"fastseq: .* differs from the reference's by"):
        compare(TINY[name])


@pytest.mark.parametrize("name", ["one", "many", "evaluation"])
def test_an_answer_that_differs_in_one_symbol_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fastseq.AttentionSeq2seq.generate_batch

    def broken(self: Any, *given: Any) -> Any:
        answers = whole(self, *given)
        answers[-1, -1] += 1
        return answers

    monkeypatch.setattr(fastseq.AttentionSeq2seq, "generate_batch", broken)
    with pytest.raises(ParityError, match="answers differs"):
        compare(TINY[name])


@pytest.mark.parametrize(
    "broken",
    [
        {"hs": np.float32([1, np.nan])},
        {"hs": np.float32([1, 2, 3])},
        {"hs": np.float32([1, 2]), "dxs": np.float32([0])},
        {"hs": np.float32([1.00003, 2])},
    ],
    ids=["nan", "shape", "another", "beyond the tolerance"],
)
def test_whatever_is_not_the_reference_is_no_parity(broken: dict[str, Any]) -> None:
    expected = {"hs": np.float32([1, 2])}
    assert measure.largest_difference("x", {"hs": np.float32([1.00001, 2])}, expected) < 1e-5
    with pytest.raises(ParityError):
        measure.largest_difference("x", broken, expected)
