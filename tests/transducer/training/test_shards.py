"""Training in shards: on several ranks, here threads, to the bits of one process."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.parallel.communicator import RankError
from fastseq.transducer.network.network import Network
from support.ranks import ThreadRanks, on_threads
from support.transducer.interrupted import Call, raise_in_epoch
from support.transducer.tiny_transducer import timeless, tiny_pairs, tiny_transducer, weights

# batches of 8, and one of 6 at the end
PAIRS = tiny_pairs()


def fit(ranks: Any = None, shards: int = 4, changes: Any = None, **options: Any) -> Transducer:
    model = tiny_transducer(shards=shards, **(changes or {}))
    return model.fit(*PAIRS, communicator=ranks, **options)


@pytest.fixture(scope="module")
def whole() -> Transducer:
    return fit()


@pytest.mark.usefixtures("float32_products")  # a sign that rounding decides is a whole step
@pytest.mark.parametrize("weighted", [False, True])
def test_shards_sum_to_the_gradients_of_the_batch(weighted: bool) -> None:
    """Up to rounding: Adam's first steps depend on signs, so the steps are few and small."""
    changes = {"dropout": 0.0, "unknown_rate": 0.0, "epochs": 1, "attention": "dot"}
    options = {"sample_weight": np.linspace(0.5, 2, len(PAIRS[0]))} if weighted else {}
    one, four = (fit(None, shards, changes, **options) for shards in (1, 4))
    for name, param in one.network_.params.items():
        np.testing.assert_allclose(four.network_.params[name], param, rtol=1e-3, atol=1e-4)
    assert four.history_[0]["loss"] == pytest.approx(one.history_[0]["loss"], rel=1e-5)
    assert weights(one) != weights(four)  # sums in another order


@pytest.mark.parametrize("size", [2, 4])
def test_ranks_come_to_the_bits_of_one_process(size: int, whole: Transducer) -> None:
    models = on_threads(size, fit)
    for model in models:
        assert weights(model) == weights(whole)
        assert timeless(model.history_) == timeless(whole.history_)


def test_more_shards_than_rows() -> None:
    models = on_threads(4, lambda ranks: fit(ranks, 12))
    assert weights(models[3]) == weights(fit(None, 12)) != weights(fit(None, 4))


class Unordered(ThreadRanks):
    """Ranks that mistake the order of the shards."""

    def exchange(self, rows: Any) -> Any:
        return super().exchange(rows)[::-1].copy()


def test_a_sum_in_another_order_is_noticed(whole: Transducer) -> None:
    """The broken twin of the tests above."""
    assert weights(on_threads(4, fit, Unordered)[0]) != weights(whole)


@pytest.mark.parametrize("size", [1, 4])
def test_a_checkpoint_goes_on_with_another_number_of_ranks(
    size: int, whole: Transducer, tmp_path: Path
) -> None:
    def stopped(ranks: Any) -> None:
        fit(ranks, checkpoint=tmp_path, callbacks=[raise_in_epoch(2)])

    assert all(isinstance(error, RankError) for error in on_threads(2, stopped))
    if size == 1:
        models = [fit(checkpoint=tmp_path, resume=True)]
    else:
        models = on_threads(size, lambda ranks: fit(ranks, checkpoint=tmp_path, resume=True))
    for model in models:
        assert weights(model) == weights(whole)
        assert timeless(model.history_) == timeless(whole.history_)


def test_an_error_on_one_rank_ends_all() -> None:
    def failing(ranks: Any) -> None:
        callback = raise_in_epoch(2) if ranks.rank == 1 else Call(lambda model, logs: None)
        fit(ranks, callbacks=[callback])

    for error in on_threads(2, failing):
        assert isinstance(error, RankError)
        assert str(error) == "rank 1: RuntimeError: stopped by the test"


def test_an_error_within_a_step_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = Network.backward
    calls = 0

    def failing(network: Network) -> None:
        nonlocal calls
        calls += threading.current_thread() is last[0]
        if threading.current_thread() is last[0] and calls == 5:
            raise MemoryError("no room")
        backward(network)

    last: list[threading.Thread] = []

    def remembered(ranks: Any) -> None:
        if ranks.rank == 1:
            last.append(threading.current_thread())
        ranks.collect(np.zeros(1))
        fit(ranks)

    monkeypatch.setattr(Network, "backward", failing)
    for error in on_threads(2, remembered):
        assert isinstance(error, RankError)
        assert str(error) == "rank 1: MemoryError: no room"


def test_an_error_within_a_step_of_every_process_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(network: Network) -> None:
        raise RuntimeError("stopped by the test")

    monkeypatch.setattr(Network, "backward", failing)
    with pytest.raises(RuntimeError, match="^stopped by the test$"):
        fit()
    for error in on_threads(2, fit):
        assert isinstance(error, RankError)
        assert str(error) == "RuntimeError: stopped by the test"


def test_ranks_with_other_data_or_settings_are_refused() -> None:
    def other(ranks: Any) -> None:
        pairs = tiny_pairs(seed=ranks.rank)
        tiny_transducer(shards=2).fit(*pairs, communicator=ranks)

    for error in on_threads(2, other):
        assert isinstance(error, ValueError)
        assert str(error).startswith("rank 1: pairs: expected ")

    def rate(ranks: Any) -> None:
        fit(ranks, changes={"learning_rate": 0.01 + ranks.rank})

    for error in on_threads(2, rate):
        assert "rank 1: hyperparameters and symbols: expected " in str(error)


def test_wrong_arguments() -> None:
    for error in on_threads(3, fit):
        assert str(error) == "shards: expected a multiple of 3, the number of processes; got 4"
    with pytest.raises(TypeError, match="communicator: expected one of mpi4py, got str"):
        fit("MPI")
    with pytest.raises(ValueError, match="shards: expected 1 to 65536, got 0"):
        fit(shards=0)
