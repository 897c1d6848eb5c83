"""Gradients of every layer of the reference, compared with central differences.

In float64, over every input and every parameter. Every comparison is shown to fail if any element
of the gradient is wrong by 1 % of the largest.
"""

import functools

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import CENTRAL_DIFFERENCES, assert_close, numerical_gradient
from support.layers.cells import ReferenceGRUResetAfter, ReferenceTimeGRUResetAfter
from support.layers.layer_cases import (
    AFFINE,
    LABELS,
    Array,
    Case,
    D,
    H,
    N,
    T,
    V,
    attention_case,
    both_directions,
    cell_case,
    dropout_inference_case,
    embedding_case,
    loss_case,
    lstm_case,
    plain_case,
    randn,
    reset_after_weights,
    softmax_case,
    time_case,
    time_dropout_case,
    weights_of,
)

# The loss adds 1e-7 to the probability y, and its gradient by definition omits that: a factor of
# 1 + 1e-7 / y. No label of these tests has a probability below 0.02.
WITH_LOSS = {"rtol": 6e-6, "atol": 1e-7}

IDS = np.array([[0, 1, 1, 4], [1, 4, 3, 1]])  # repeated in a row and in a column; 2 is unused
TIED = {"W": randn(1, V, D).T, "b": randn(2, V)}
EYE = np.eye(V, dtype=int)
CASES: dict[str, Case] = {
    "LSTM": lstm_case(),
    "TimeEmbedding": embedding_case(reference.TimeEmbedding, IDS),
    "TimeAffine": plain_case(
        reference.TimeAffine(**AFFINE), randn(3, N, T, D), randn(4, N, T, V), AFFINE
    ),
    "TimeAffine tied": plain_case(
        reference.TimeAffine(**TIED), randn(3, N, T, D), randn(4, N, T, V), TIED
    ),
    "TimeSoftmaxWithLoss": softmax_case("ids"),
    "TimeSoftmaxWithLoss ignored": softmax_case("ignored"),
    "TimeSoftmaxWithLoss ignored 4": softmax_case("ignored 4"),
    "TimeSoftmaxWithLoss one-hot": softmax_case("one-hot"),
    "WeightSum": attention_case(
        reference.WeightSum(), {"hs": randn(1, N, T, H), "a": randn(2, N, T)}, randn(3, N, H)
    ),
    "AttentionWeight": attention_case(
        reference.AttentionWeight(), {"hs": randn(1, N, T, H), "h": randn(2, N, H)}, randn(3, N, T)
    ),
    "Attention": attention_case(
        reference.Attention(), {"hs": randn(1, N, T, H), "h": randn(2, N, H)}, randn(3, N, H)
    ),
    "TimeAttention": attention_case(
        reference.TimeAttention(),
        {"hs_enc": randn(1, N, T, H), "hs_dec": randn(2, N, 3, H)},
        randn(3, N, 3, H),
    ),
    "TimeDropout": time_dropout_case(train=True),
    "TimeDropout inference": time_dropout_case(train=False),
    "RNN": cell_case(reference.RNN, weights_of(1)),
    "GRU": cell_case(reference.GRU, weights_of(3)),
    "GRU reset after": cell_case(ReferenceGRUResetAfter, reset_after_weights()),
    **{
        f"{cls.__name__} {start}": time_case(cls, weights, width, start)
        for start in ("zeros", "given", "continued")
        for cls, weights, width in (
            (reference.TimeLSTM, weights_of(4), H),
            (reference.TimeRNN, weights_of(1), H),
            (reference.TimeGRU, weights_of(3), H),
            (ReferenceTimeGRUResetAfter, reset_after_weights(), H),
            (reference.TimeBiLSTM, both_directions(), 2 * H),
        )
    },
    "MatMul": plain_case(
        reference.MatMul(AFFINE["W"]), randn(3, 4, D), randn(4, 4, V), {"W": AFFINE["W"]}
    ),
    "Affine": plain_case(reference.Affine(**AFFINE), randn(3, 4, D), randn(4, 4, V), AFFINE),
    "Affine of steps": plain_case(
        reference.Affine(**AFFINE), randn(3, N, T, D), randn(4, N, T, V), AFFINE
    ),
    "Softmax": plain_case(reference.Softmax(), randn(3, 4, V), randn(4, 4, V), {}),
    "Sigmoid": plain_case(reference.Sigmoid(), randn(3, N, T, V), randn(4, N, T, V), {}),
    "Dropout": plain_case(reference.Dropout(0.4), randn(3, N, T, V), randn(4, N, T, V), {}),
    "Dropout inference": dropout_inference_case(),
    "Embedding": embedding_case(reference.Embedding, np.array([0, 1, 1, 4, 1, 0])),
}
LOSS_CASES: dict[str, Case] = {
    "SoftmaxWithLoss": loss_case(reference.SoftmaxWithLoss(), randn(1, T, V), LABELS[0], 1),
    "SoftmaxWithLoss one-hot": loss_case(
        reference.SoftmaxWithLoss(), randn(1, T, V), EYE[LABELS[0]], -2.5
    ),
    "SigmoidWithLoss": loss_case(reference.SigmoidWithLoss(), randn(1, T), LABELS[0] // 2 % 2, 1.5),
    "TimeSigmoidWithLoss": loss_case(
        reference.TimeSigmoidWithLoss(), randn(1, N, T), LABELS % 2, -2.5
    ),
    "Simple_TimeSoftmaxWithLoss": loss_case(
        reference.Simple_TimeSoftmaxWithLoss(), randn(1, N, T, V), LABELS, 1
    ),
    "Simple_TimeSoftmaxWithLoss one-hot": loss_case(
        reference.Simple_TimeSoftmaxWithLoss(), randn(1, N, T, V), EYE[LABELS], -2.5
    ),
}
ALL_CASES = CASES | LOSS_CASES
EVERY_GRADIENT = [(case, name) for case in ALL_CASES for name in ALL_CASES[case].inputs]
every_gradient = pytest.mark.parametrize(("case", "name"), EVERY_GRADIENT)
every_case = pytest.mark.parametrize("case", ALL_CASES.values(), ids=ALL_CASES.keys())


def tolerance(case: str) -> dict[str, float]:
    return WITH_LOSS if case in LOSS_CASES else CENTRAL_DIFFERENCES


def analytic_gradients(case: Case) -> dict[str, Array]:
    case.forward()
    gradients = {name: gradient.copy() for name, gradient in case.backward().items()}
    assert gradients.keys() == case.inputs.keys()
    return gradients


@functools.cache
def analytic_and_numerical(case: str, name: str) -> tuple[Array, Array]:
    numerical = numerical_gradient(ALL_CASES[case].loss, ALL_CASES[case].inputs[name])
    return analytic_gradients(ALL_CASES[case])[name], numerical


@every_gradient
def test_gradient_is_that_of_central_differences(case: str, name: str) -> None:
    analytic, numerical = analytic_and_numerical(case, name)
    assert_close(analytic, numerical, **tolerance(case))


@every_gradient
def test_any_broken_element_of_a_gradient_is_found(case: str, name: str) -> None:
    analytic, numerical = analytic_and_numerical(case, name)
    error = 0.01 * np.abs(analytic).max()
    assert error > 10 * tolerance(case)["atol"]
    for index in np.ndindex(analytic.shape):
        broken = analytic.copy()
        broken[index] += error
        with pytest.raises(AssertionError, match=r"^1 of"):
            assert_close(broken, numerical, **tolerance(case))


@every_case
def test_second_backward_gives_the_same_gradients_in_the_same_arrays(case: Case) -> None:
    arrays = list(case.layer.grads)
    first = analytic_gradients(case)
    for grad in arrays:
        grad.fill(np.nan)  # detects elements that are not overwritten
    second = case.backward()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert len(arrays) == len(case.layer.params) == len(case.layer.grads)
    assert all(a is b for a, b in zip(arrays, case.layer.grads, strict=True))


@every_case
def test_params_are_the_callers_arrays(case: Case) -> None:
    weights = [x for name, x in case.inputs.items() if name[0] in "Wb"]
    assert len(case.layer.params) == len(weights)
    assert all(a is b for a, b in zip(case.layer.params, weights, strict=True))
    assert [grad.shape for grad in case.layer.grads] == [weight.shape for weight in weights]


@every_case
def test_backward_before_forward_is_refused(case: Case) -> None:
    weights = case.layer.params
    layer = type(case.layer)(*weights)
    douts = [np.ones(1)] * (2 if isinstance(layer, reference.LSTM) else 1)
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(*douts)
