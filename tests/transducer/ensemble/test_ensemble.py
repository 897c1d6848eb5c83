"""Ensembles: the mean of the probabilities, their training in processes, their file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import fastseq
from fastseq import Ensemble, Transducer
from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.vocabulary import START
from fastseq.transducer.ensemble.mixture import Mixture
from fastseq.transducer.search.answers import search
from fastseq.transducer.search.beam_search import beam_search
from support.transducer.tiny_transducer import SMALL, tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()
TESTED = [*PAIRS[0][:20], "", "a", "abcdefabcdefabcdef", "x?"]
# the last has unknown symbols; tests/transducer/test_texts.py is about their warning
pytestmark = pytest.mark.filterwarnings("ignore::fastseq.UnknownSymbolWarning")


@pytest.fixture(scope="module")
def members() -> list[Transducer]:
    """Models that differ in more than their seed."""
    settings: list[dict[str, Any]] = [
        {"seed": 1},
        {"seed": 2, "hidden_size": 20, "reverse": True},
        {"seed": 3, "cell": "gru", "attention": "additive"},
        {"seed": 4, "attention": "hard"},
    ]
    pairs = tiny_pairs(200)
    return [tiny_transducer(epochs=6, **each).fit(*pairs) for each in settings]


def test_the_probability_of_a_symbol_is_the_mean(members: list[Transducer]) -> None:
    sources = Sequences.encode(members[0].vocabulary_.source, TESTED)
    batch = sources.ended(np.arange(len(TESTED)))
    start = np.full(len(TESTED), START)

    def step(network: Any) -> Any:
        encoded = network.encode(*batch)
        return network.step(encoded, network.first_state(encoded), start)

    each = [step(model.network_) for model in members]
    together, _, attention = step(Mixture([model.network_ for model in members]))
    expected = np.mean([np.exp(own.astype(np.float64)) for own, _, _ in each], axis=0)
    # float32: each logarithm, of magnitude below 16, is rounded by up to 2^-21
    np.testing.assert_allclose(np.exp(together.astype(np.float64)), expected, rtol=2e-6)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(attention, np.mean([own for _, _, own in each], axis=0), rtol=1e-6)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_one_model_several_times_answers_as_it_does_alone(
    members: list[Transducer], beam_size: int
) -> None:
    alone, scores = members[0].predict(TESTED, beam_size, return_scores=True)
    together, same = Ensemble([members[0]] * 3).predict(TESTED, beam_size, return_scores=True)
    assert together == alone
    np.testing.assert_allclose(same, scores, rtol=1e-5)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_ensemble_of_one_has_the_bits_of_the_model(
    members: list[Transducer], beam_size: int
) -> None:
    for model in members:
        alone = model.predict(TESTED, beam_size, return_scores=True)
        assert Ensemble([model]).predict(TESTED, beam_size, return_scores=True) == alone


def test_greedy_answers_have_the_bits_of_the_steps(isa: str, members: list[Transducer]) -> None:
    ensemble = Ensemble(members)
    assert ensemble.network_.answers_at_once
    texts, scores = ensemble.predict(TESTED, return_scores=True)
    steps = np.full(len(TESTED), 40)
    sources = Sequences.encode(ensemble.vocabulary_.source, TESTED)
    found = beam_search(ensemble.network_, *sources.ended(np.arange(len(TESTED))), steps, 1)
    decode = ensemble.vocabulary_.target.decode
    for [answer], text, score in zip(found, texts, scores, strict=True):
        assert (decode(answer.ids), answer.log_probability) == (text, score)


def test_models_of_two_precisions_answer_step_by_step(members: list[Transducer]) -> None:
    mixed = Mixture([model.network_ for model in members[:2]], ["float32", "bfloat16"])
    assert not mixed.answers_at_once
    sources = Sequences.encode(members[0].vocabulary_.source, TESTED)
    steps = np.full(len(TESTED), 20)
    found = search(mixed, sources, steps)
    expected = beam_search(mixed, *sources.ended(np.arange(len(TESTED))), steps, 1)
    assert [each.ids for [each] in found] == [each.ids for [each] in expected]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_answer_depends_on_no_other_row_nor_on_the_threads(
    members: list[Transducer], beam_size: int
) -> None:
    ensemble = Ensemble(members)
    together = ensemble.predict(TESTED, beam_size, return_scores=True)
    for place, text in enumerate(TESTED):
        alone = ensemble.predict([text], beam_size, return_scores=True)
        assert [part[place] for part in together] == [part[0] for part in alone]
    threads = fastseq.get_num_threads()
    try:
        fastseq.set_num_threads(1 if threads > 1 else 2)
        assert ensemble.predict(TESTED, beam_size, return_scores=True) == together
    finally:
        fastseq.set_num_threads(threads)


def test_each_model_computes_in_its_own_precision() -> None:
    rounded = tiny_transducer(precision="bfloat16").fit(*PAIRS)
    exact = tiny_transducer(precision="float32").fit(*PAIRS)
    pairs = PAIRS[0][:10], PAIRS[1][:10]
    each = [model.log_probability(*pairs) for model in (rounded, exact)]
    assert abs(each[0] - each[1]).max() > 1e-3
    for model, expected in zip((rounded, exact), each, strict=True):
        together = Ensemble([model, model]).log_probability(*pairs)
        np.testing.assert_allclose(together, expected, rtol=1e-6)
    # by the mean at each step, the probability of an answer lies between those of the models
    mixed = Ensemble([rounded, exact]).log_probability(*pairs)
    assert (mixed > np.minimum(*each) - 1e-3).all() and (mixed < np.maximum(*each) + 1e-3).all()


def test_the_precision_that_is_set_holds_in_the_processes() -> None:
    before = fastseq.get_precision()
    fastseq.set_precision("bfloat16")
    try:
        [model] = Ensemble([tiny_transducer()]).fit(*PAIRS).members_
    finally:
        fastseq.set_precision(before)
    expected = tiny_transducer(precision="bfloat16").fit(*PAIRS)
    other = tiny_transducer(precision="float32").fit(*PAIRS)
    assert weights(model) == weights(expected) != weights(other)


def test_the_attention_is_the_mean_and_needs_that_of_all(members: list[Transducer]) -> None:
    shown, symbols, answer = Ensemble(members).attention("abc")
    assert shown.shape == (len(answer), len(symbols))
    np.testing.assert_allclose(shown.sum(axis=1), 1, rtol=1e-5)
    without = tiny_transducer(attention="none").fit(*tiny_pairs(200))
    with pytest.raises(ValueError, match="this Ensemble was trained without"):
        Ensemble([*members, without]).attention("abc")


def test_models_must_have_the_same_vocabularies(members: list[Transducer]) -> None:
    def fitted(sources: list[str], targets: list[str], **changes: Any) -> Transducer:
        return tiny_transducer(**changes).fit(sources, targets, validation=None)

    sources, targets = ["ab", "b"], ["AB", "B"]
    first = fitted(sources, targets)
    cases = [
        (fitted(["ab", "bz"], targets), "source .* got one that also has 'z'"),
        (fitted(sources, ["BB", "B"]), "target .* got one without 'A'"),
        (fitted(["ab", "a"], targets), "source .* got one in another order"),
        (fitted(sources, targets, target_tokens="space"), "target .* of form 'space' instead"),
    ]
    for other, message in cases:
        with pytest.raises(ValueError, match=rf"models\[1\]: expected the {message}"):
            Ensemble([first, other])
    with pytest.raises(TypeError, match=r"models\[1\]: expected a Transducer, got str"):
        Ensemble([first, "model"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="models: expected 1 to 100, got 0"):
        Ensemble([])
    with pytest.raises(RuntimeError, match="this Ensemble is not trained"):
        Ensemble([first, tiny_transducer()]).predict(["a"])


# training


@pytest.mark.parametrize("processes", [1, 3])
def test_fit_trains_each_model_as_it_would_alone(processes: int) -> None:
    models = [tiny_transducer(seed=seed) for seed in (3, 4, 5)]
    seen: list[tuple[int, int]] = []

    class Callback:
        def on_epoch_end(self, ensemble: Any, logs: dict[str, Any]) -> None:
            assert ensemble is trained
            seen.append((logs["model"], logs["epoch"]))

    trained = Ensemble(models)
    assert trained.fit(*PAIRS, processes=processes, callbacks=[Callback()]) is trained
    assert not hasattr(models[0], "network_")
    expected = [tiny_transducer(seed=seed).fit(*PAIRS) for seed in (3, 4, 5)]
    assert list(map(weights, trained.members_)) == list(map(weights, expected))
    assert sorted(seen) == [(model, epoch) for model in (1, 2, 3) for epoch in (1, 2, 3)]


def test_checkpoints_and_logs_are_those_of_each_model(tmp_path: Path) -> None:
    def fit(**options: Any) -> Ensemble:
        models = [tiny_transducer(seed=seed, epochs=epochs) for seed in (0, 1)]
        return Ensemble(models).fit(*PAIRS, **options)

    epochs, where = 1, {"checkpoint": tmp_path / "state", "log": tmp_path / "log.jsonl"}
    fit(**where)
    epochs = 3
    resumed = fit(**where, resume=True)
    assert list(map(weights, resumed.members_)) == list(map(weights, fit().members_))
    for number in (1, 2):
        lines = (tmp_path / f"log.{number}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    with pytest.raises(FileExistsError, match="there is a checkpoint already"):
        fit(**where)


def test_what_a_model_refuses_comes_from_its_process(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sources and targets: expected as many of both"):
        Ensemble([tiny_transducer(), tiny_transducer(seed=1)]).fit(["a", "b"], ["A"])
    with pytest.raises(TypeError, match="hidden_size: expected an integer"):
        Ensemble([tiny_transducer(), tiny_transducer(hidden_size="8")]).fit(*PAIRS)


def test_a_model_that_fails_ends_the_training_and_the_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / "log.2.jsonl").mkdir()
    ensemble = Ensemble(tiny_transducer(seed=seed) for seed in range(3))
    with pytest.raises(OSError, match=r"log\.2\.jsonl"):
        ensemble.fit(*PAIRS, processes=1, log=tmp_path / "log.jsonl")
    assert list(map(weights, ensemble.members_)) == [weights(tiny_transducer().fit(*PAIRS))]
    assert len(ensemble.predict(["a"])) == 1


def test_ctrl_c_ends_the_training_and_keeps_the_models_so_far(tmp_path: Path) -> None:
    program = f"""
from fastseq import Ensemble, Transducer

class Line:
    def on_epoch_end(self, ensemble, logs):
        print(logs["model"], logs["epoch"], flush=True)

settings = {SMALL | {"epochs": 10**6, "patience": None}!r}
ensemble = Ensemble([Transducer(seed=seed, **settings) for seed in range(3)])
ensemble.fit({PAIRS[0]!r}, {PAIRS[1]!r}, processes=2, callbacks=[Line()])
assert ensemble.interrupted_
ensemble.save({str(tmp_path / "model")!r})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    begun = set()
    while len(begun) < 2:
        begun.add(process.stdout.readline().split()[0])
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == "\nfastseq: interrupted: ending after this step (Ctrl-C again: at once)\n"
    assert process.returncode == 0
    assert len(Ensemble.load(tmp_path / "model").members_) == 2


def test_the_processes_end_with_a_parent_that_is_killed() -> None:
    program = f"""
import subprocess
from fastseq import Ensemble, Transducer

class Noted(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        workers.append(self.pid)

class Line:
    def on_epoch_end(self, ensemble, logs):
        print(workers[0], flush=True)

workers = []
subprocess.Popen = Noted

settings = {SMALL | {"epochs": 10**6, "patience": None}!r}
Ensemble([Transducer(**settings)]).fit({PAIRS[0]!r}, {PAIRS[1]!r}, callbacks=[Line()])
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if "Z" in Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2]:
            return  # ended, and not yet collected
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker went on")


# files


def test_one_file_holds_all_models(members: list[Transducer], tmp_path: Path) -> None:
    ensemble = Ensemble(members)
    ensemble.save(tmp_path / "model")
    loaded = Ensemble.load(tmp_path / "model")
    assert list(map(weights, loaded.members_)) == list(map(weights, members))
    assert loaded.members_[0].vocabulary_ is loaded.members_[1].vocabulary_
    assert [each.get_params() for each in loaded.members_] == [m.params_ for m in members]
    assert loaded.members_[1].n_epochs_ == members[1].n_epochs_
    assert loaded.predict(TESTED, 2) == ensemble.predict(TESTED, 2)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    ensemble.save(tmp_path / "half", dtype="float16")
    size = (tmp_path / "model").stat().st_size
    assert (tmp_path / "half").stat().st_size < 0.75 * size


def test_load_combines_files_of_either_kind(members: list[Transducer], tmp_path: Path) -> None:
    Ensemble(members[:2]).save(tmp_path / "two")
    members[2].save(tmp_path / "one")
    loaded = Ensemble.load(tmp_path / "two", tmp_path / "one")
    assert loaded.predict(TESTED) == Ensemble(members[:3]).predict(TESTED)
    with pytest.raises(ValueError, match=r"an ensemble, which fastseq\.Ensemble\.load reads"):
        Transducer.load(tmp_path / "two")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": []}, "models: expected a list of 1 to 100"),
        ({"models": {}}, "models: expected a list of 1 to 100"),
        ({"models": [1]}, r"models\[0\]: expected an object with configuration and history"),
        ({"models": [{"configuration": {}, "history": 0}]}, "history: expected a list, got int"),
        ({"lengths": 3}, "lengths: expected two whole numbers"),
        ({"models": None}, "models: expected a list of 1 to 100"),
    ],
)
def test_a_file_that_is_not_consistent_is_refused(
    members: list[Transducer], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    Ensemble(members).save(tmp_path / "model")
    with safe_open(tmp_path / "model", framework="numpy") as file:
        document = json.loads(file.metadata()["fastseq"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays, tmp_path / "bad", {"fastseq": json.dumps(document | change)})
    with pytest.raises(ValueError, match=message):
        Ensemble.load(tmp_path / "bad")
    del arrays["1.output.b"]
    save_file(arrays, tmp_path / "bad", {"fastseq": json.dumps(document)})
    with pytest.raises(ValueError, match=r"1\.output\.b: expected shape .* got no such array"):
        Ensemble.load(tmp_path / "bad")
