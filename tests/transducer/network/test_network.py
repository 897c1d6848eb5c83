"""The Transducer's network: central differences pin the reference, and it every instruction set."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference.transducer as reference
from fastseq.transducer.network.network import Network, NetworkConfig, parameter_shapes
from fastseq.transducer.network.rows import Dropout
from support.helpers import CENTRAL_DIFFERENCES, assert_close, operand_rounding
from support.transducer.networks import (
    CONFIGS,
    SMALL,
    SMOOTHING,
    assert_results_close,
    assert_same_bits,
    decode,
    draw_batch,
    generator,
    large_case,
    large_params,
    loss_of,
    rows_of,
    run,
    run_both,
    small_batch,
    with_params,
)

Array = npt.NDArray[Any]


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> NetworkConfig:
    return CONFIGS[request.param]


# ---- parameters ----


def test_parameters_have_the_names_and_shapes_of_the_twin(config: NetworkConfig) -> None:
    network, twin = Network(config, generator()), reference.Network(config, generator())
    assert list(parameter_shapes(config).items()) == list(
        reference.parameter_shapes(config).items()
    )
    for params in (network.params, network.grads, twin.params, twin.grads):
        assert {name: param.shape for name, param in params.items()} == parameter_shapes(config)
    assert list(network.params) == list(network.grads) == list(parameter_shapes(config))
    for name, param in network.params.items():
        assert param.dtype == network.grads[name].dtype == np.float32
        assert param.flags.c_contiguous
        assert np.array_equal(param, twin.params[name].astype(np.float32)), name


def test_first_values() -> None:
    config = NetworkConfig(50, 40, embedding_size=64, hidden_size=128, attention="additive")
    params = Network(config, generator()).params
    # the standard deviation of the deviation of 3,200 draws is 1 / sqrt(2 * 3,200) = 0.0125
    assert abs(params["source_embedding"].std() - 1) < 0.06
    for name, n in {
        "encoder.0.1.Wx": 64,
        "encoder.0.0.Wh": 64,
        "decoder.0.Wx": 128,
        "attention.encoder": 128,
        "attention.v": 128,
        "combine.W": 256,
        "output.W": 128,
    }.items():
        assert 0.9 / np.sqrt(n) < np.abs(params[name]).max() <= np.float32(1 / np.sqrt(n)), name
    for name, width in {"encoder.0.0.b": 64, "decoder.0.b": 128}.items():
        assert (params[name][:width] == 1).all()
        assert not params[name][width:].any()
    assert not params["output.b"].any()
    gru = Network(dataclasses.replace(config, cell="gru"), generator()).params
    assert not gru["decoder.0.b"].any()
    # the same draws: bh starts from zeros
    after = Network(dataclasses.replace(config, cell="gru", reset_after=True), generator()).params
    for name, shape in {"encoder.0.0.bh": 64, "encoder.0.1.bh": 64, "decoder.0.bh": 128}.items():
        bh = after.pop(name)
        assert bh.shape == (shape,)
        assert not bh.any()
    assert list(after) == list(gru)
    assert all(np.array_equal(param, gru[name]) for name, param in after.items())


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("source_size", 0, ValueError),
        ("hidden_size", 3.5, TypeError),
        ("hidden_size", 5, ValueError),
        ("cell", "rnn", ValueError),
        ("cell", "gru_reset_after", ValueError),
        ("reset_after", 1, TypeError),
        ("reset_after", True, ValueError),  # of an LSTM
        ("encoder", "both", ValueError),
        ("attention", None, ValueError),
        ("peeky", 1, TypeError),
        ("reverse", "no", TypeError),
        ("peeky", True, ValueError),  # with hard attention
        ("dropout", 1.0, ValueError),
        ("dropout", float("nan"), ValueError),
        ("dropout", "0", TypeError),
    ],
)
def test_wrong_configuration(field: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{field}: expected"):
        NetworkConfig(**{**SMALL, "attention": "hard", field: value})


# ---- the reference ----


def test_reference_by_central_differences(config: NetworkConfig) -> None:
    batch = small_batch(config)
    network = with_params(reference.Network(config, generator()), large_params(config))
    gradients = run(network, batch)
    rng, step = generator(), 1e-6
    for name, param in network.params.items():
        for place in rng.permutation(param.size)[:6]:
            original = param.flat[place]
            losses = []
            for sign in (1, -1):
                param.flat[place] = original + sign * step
                losses.append(loss_of(network, batch))
            param.flat[place] = original
            numerical = (losses[0] - losses[1]) / (2 * step)
            assert_close(gradients[name].flat[place], numerical, **CENTRAL_DIFFERENCES)


def test_reference_loss_is_the_formula() -> None:
    config = CONFIGS["general_gru"]
    batch = small_batch(config)
    network = with_params(reference.Network(config, generator()), large_params(config))
    encoded = network.encode(batch.sources, batch.source_lengths)
    state, total = network.first_state(encoded), 0.0
    for t in range(3):
        log_p, state, _ = network.step(encoded, state, batch.inputs[:, t])
        for n in np.flatnonzero(t < batch.target_lengths):
            total -= (1 - SMOOTHING) * log_p[n, batch.targets[n, t]] + SMOOTHING * log_p[n].mean()
    assert_close(loss_of(network, batch), total / batch.target_lengths.sum(), rtol=1e-14, atol=0)


# ---- loss and gradients ----


@pytest.mark.parametrize("name", CONFIGS)
def test_is_the_reference(isa: str, name: str) -> None:
    config, batch = large_case(name)
    actual, expected = run_both(config, batch)
    assert all(np.abs(value).max() > 1e-3 for value in expected.values())
    assert_results_close(actual, expected, config)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, factor: float) -> None:
    config, batch = large_case("additive_dropout")
    actual, expected = run_both(config, batch)
    for name, value in expected.items():
        wrong = value.copy()
        wrong.flat[np.abs(wrong).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**expected, name: wrong}, config)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize(
    ("field", "value"),
    [("attention", "scaled_dot"), ("reverse", True), ("dropout", 0.1)],
)
def test_comparison_notices_another_network(isa: str, field: str, value: object) -> None:
    config, batch = large_case("dot")
    actual, _ = run_both(config, batch)
    _, expected = run_both(dataclasses.replace(config, **{field: value}), batch)
    for name in ("loss", "source_embedding", "combine.W"):
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**actual, name: expected[name]}, config)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing(isa: str, smoothing: float) -> None:
    config, batch = large_case("dot")
    ours = with_params(Network(config, generator()), large_params(config))
    twin = with_params(reference.Network(config, generator()), ours.params)
    losses = [network.loss(batch, label_smoothing=smoothing) for network in (ours, twin)]
    assert_close(*losses, rtol=1e-5 + operand_rounding(), atol=0)
    for network in (ours, twin):
        network.backward()
    assert_results_close(ours.grads, twin.grads, config)


def test_backward_twice_is_the_same_in_the_same_arrays(config: NetworkConfig) -> None:
    network = Network(config, generator())
    kept = dict(network.grads)
    first = run(network, small_batch(config))
    network.backward()
    for name, grad in network.grads.items():
        assert grad is kept[name]
        assert_same_bits(grad, first[name])


def test_backward_before_loss() -> None:
    for network in (
        Network(CONFIGS["dot"], generator()),
        reference.Network(CONFIGS["dot"], generator()),
    ):
        with pytest.raises(RuntimeError, match="before loss"):
            network.backward()


def test_inference_between_loss_and_backward_changes_nothing(config: NetworkConfig) -> None:
    batch = small_batch(config)
    network = Network(config, generator())
    expected = run(network, batch)
    loss_of(network, batch)
    encoded = network.encode(batch.sources[:, ::-1], np.array([2, 2, 2]))
    network.step(encoded, network.first_state(encoded), batch.inputs[:, 1])
    network.backward()
    for name, grad in network.grads.items():
        assert_same_bits(grad, expected[name])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copy_is_a_network_of_its_own(duplicate: Callable[[Network], Network]) -> None:
    config = CONFIGS["additive_dropout"]
    batch = small_batch(config)
    network = Network(config, generator())
    expected = run(network, batch)
    other = duplicate(network)
    for param in other.params.values():
        param *= 2
    doubled = run(other, batch)
    assert doubled["loss"] != expected["loss"]
    twin = with_params(Network(config, generator()), other.params)
    for actual, wanted in ((doubled, run(twin, batch)), (run(network, batch), expected)):
        assert all(np.array_equal(actual[name], value) for name, value in wanted.items())


def test_a_step_of_gradient_descent_lowers_the_loss(config: NetworkConfig) -> None:
    batch = small_batch(config)
    network = Network(config, generator())
    before = loss_of(network, batch)
    network.backward()
    for name, param in network.params.items():
        param -= np.float32(0.1) * network.grads[name]
    assert loss_of(network, batch) < before


# ---- rows and padding ----


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_is_the_mean_of_the_rows_alone(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    alone = [network.loss(rows_of(batch, [n]), label_smoothing=0.1) for n in range(7)]
    mean = np.average(alone, weights=batch.target_lengths)
    # scores have the same bits; only the double precision sum of their losses has another order
    for rows, padding in (([0, 1, 2, 3, 4, 5, 6], 0), ([4, 2, 0, 6, 1, 5, 3], 3)):
        loss = network.loss(rows_of(batch, rows, padding), label_smoothing=0.1)
        assert_close(loss, mean, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["none_peeky_gru", "dot_two_layers", "additive_one_way"])
def test_padding_never_matters(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    expected = run(network, batch)
    for ids, lengths in (
        (batch.sources, batch.source_lengths),
        (batch.inputs, batch.target_lengths),
        (batch.targets, batch.target_lengths),
    ):
        ids[np.arange(ids.shape[1]) >= lengths[:, np.newaxis]] = -(2**40)
    encoded = network.encode(batch.sources, batch.source_lengths)
    padding = np.arange(7) >= batch.source_lengths[:, np.newaxis]
    assert not encoded.outputs[padding].any()
    actual = run(network, batch)
    assert actual["loss"] == expected["loss"]
    for name in network.grads:
        assert_same_bits(actual[name], expected[name])


# ---- dropout ----


def test_dropout_keeps_the_mean() -> None:
    x, share = np.full((400, 500), 2, np.float32), 0.3
    dropout = Dropout(share)
    y = dropout.forward(x, generator())
    zeros = float((y == 0).mean())
    # the standard deviation of a mean of 200,000 draws is sqrt(0.3 * 0.7 / 200,000) = 0.001
    assert abs(zeros - share) < 0.006
    assert np.array_equal(np.unique(y), np.array([0, 2 / 0.7], np.float32))
    assert abs(float(y.mean()) - 2) < 2 * 0.006 / 0.7
    assert_same_bits(dropout.backward(x), y)


def test_dropout_is_off_but_in_training() -> None:
    x = np.ones((3, 4), np.float32)
    for dropout, masks in ((Dropout(0.5), None), (Dropout(0.0), generator())):
        assert dropout.forward(x, masks) is x
        assert dropout.backward(x) is x
    config = CONFIGS["additive_dropout"]
    batch = small_batch(config)
    network = Network(config, generator())
    without = with_params(
        Network(dataclasses.replace(config, dropout=0.0), generator()), network.params
    )
    assert network.loss(batch, generator=generator()) == without.loss(batch)
    for one, other in zip(decode(network, batch, 2), decode(without, batch, 2), strict=True):
        assert_same_bits(one[0], other[0])


def test_dropout_repeats_with_its_seed() -> None:
    config = CONFIGS["additive_dropout"]
    batch = small_batch(config)
    network = Network(config, generator())
    losses = [network.loss(batch, training=True, generator=generator(seed)) for seed in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    assert losses[0] != network.loss(batch)
    with pytest.raises(ValueError, match="^generator: expected one"):
        network.loss(batch, training=True)


# ---- threads, wrong arguments ----


def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    config = dataclasses.replace(
        CONFIGS["additive_dropout"], hidden_size=128, embedding_size=33, target_size=65
    )
    rng = generator()
    batch = draw_batch(config, list(rng.integers(1, 12, 40)), list(rng.integers(1, 12, 40)))
    set_threads(1)
    network = Network(config, generator())
    expected, steps = run(network, batch), decode(network, batch, 2)
    for threads in (2, 4):
        set_threads(threads)
        actual = run(network, batch)
        assert actual["loss"] == expected["loss"]
        for name in network.grads:
            assert_same_bits(actual[name], expected[name])
        for one, other in zip(decode(network, batch, 2), steps, strict=True):
            assert_same_bits(one[0], other[0])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sources": np.full((3, 4), 7)}, IndexError, r"sources\[0, 0\].*0 to 6 .*size 7.*got 7"),
        ({"inputs": np.full((3, 3), -1)}, IndexError, r"inputs\[0, 0\].*0 to 5.*got -1"),
        ({"targets": np.full((3, 3), 6)}, IndexError, r"targets\[0, 0\].*0 to 5.*got 6"),
        ({"sources": np.zeros((3, 4))}, TypeError, "sources: expected an array of integers"),
        ({"sources": np.zeros(3, int)}, ValueError, r"sources: expected shape \(N, T\)"),
        (
            {"source_lengths": np.array([1, 5, 1])},
            ValueError,
            "lengths of sources.*got 5 for row",
        ),
        ({"target_lengths": np.array([1, 1, 0])}, ValueError, "lengths of inputs.*got 0 for row 2"),
        ({"target_lengths": np.array([1, 1])}, ValueError, r"lengths of inputs: expected shape"),
        ({"targets": np.zeros((3, 4), int)}, ValueError, "batch: expected as many rows"),
        ({"targets": np.zeros((2, 3), int)}, ValueError, "lengths of targets: expected shape"),
        ({"sources": np.zeros((0, 4), int)}, ValueError, "sources: expected at least one row"),
    ],
)
def test_wrong_batch(changes: dict[str, Array], error: type[Exception], message: str) -> None:
    network = Network(CONFIGS["dot"], generator())
    batch = small_batch(CONFIGS["dot"])
    network.loss(batch)
    with pytest.raises(error, match=f"^{message}"):
        network.loss(dataclasses.replace(batch, **changes))
    with pytest.raises(RuntimeError, match="before loss"):
        network.backward()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_wrong_label_smoothing(smoothing: float) -> None:
    config = CONFIGS["dot"]
    with pytest.raises(ValueError, match="^label_smoothing: expected at least 0 and below 1"):
        Network(config, generator()).loss(small_batch(config), label_smoothing=smoothing)
