"""RecurrentStack: what it says of wrong arguments."""

from __future__ import annotations

from typing import Any

import pytest

import fastseq_reference
from fastseq.layers import RecurrentStack
from support.layers.recurrent_stack import Case, Shape


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("tree", 3, 4), ValueError, "cell: expected one of lstm, gru, rnn, got 'tree'"),
        (("gru_reset_after", 3, 4), ValueError, "cell: expected one of lstm, gru, rnn, got"),
        ((None, 3, 4), ValueError, "cell: expected one of lstm, gru, rnn, got NoneType"),
        (("lstm", 0, 4), ValueError, "input_size: expected 1 to .*, got 0"),
        (("lstm", 3, -1), ValueError, "hidden_size: expected 1 to .*, got -1"),
        (("lstm", 3, 4, 0), ValueError, "num_layers: expected 1 to 65536, got 0"),
        (("lstm", 3, 4, 2**40), ValueError, "num_layers: expected 1 to 65536, got"),
        (("lstm", 3.5, 4), TypeError, "input_size: expected an integer, got float"),
    ],
)
def test_wrong_construction(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        RecurrentStack(*arguments)


@pytest.mark.parametrize("shape", [Shape("gru", K=2), Shape("gru", bias=False), Shape("lstm")])
def test_wrong_weights(shape: Shape) -> None:
    case = Case(shape)
    params = case.params
    count = len(params)
    case.params = params[:-1]
    with pytest.raises(ValueError, match=f"^params: expected {count} arrays, got {count - 1}"):
        case.stack()
    case.params = 3  # type: ignore[assignment]
    with pytest.raises(TypeError, match="^params: expected a sequence, got int"):
        case.stack()
    for i, param in enumerate(params):
        for wrong, error in ((param[..., 1:], ValueError), (param > 0, TypeError)):
            case.params = [*params[:i], wrong, *params[i + 1 :]]
            with pytest.raises(error, match=rf"^params\[{i}\]: expected"):
                case.stack()


def test_a_wrong_weight_is_said_by_its_name() -> None:
    case = Case(Shape("gru", L=2, K=2, D=4, H=5))
    case.params[9] = case.params[9][1:]  # the second layer reads both directions
    message = r"^params\[9\]: expected shape of Wh = \(5, 15\), got \(4, 15\)"
    with pytest.raises(ValueError, match=message):
        case.stack()
    case = Case(Shape("gru", L=2, K=2, D=4, H=5))
    case.params[8] = case.params[8][:5]
    message = r"^params\[8\]: expected shape of Wx = \(10, 15\), got \(5, 15\)"
    with pytest.raises(ValueError, match=message):
        case.stack()


@pytest.mark.parametrize("method", ["run", "forward"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_wrong_sequences_and_lengths(method: str, batch_first: bool) -> None:
    case = Case(Shape("lstm", N=3, T=5, D=4, batch_first=batch_first))
    call, xs = getattr(case.stack(), method), case.xs
    letters = r"\(N, T, D\)" if batch_first else r"\(T, N, D\)"
    for wrong in (xs[0], xs[..., 1:]):
        with pytest.raises(ValueError, match=f"^xs: expected shape {letters}"):
            call(wrong)
    with pytest.raises(TypeError, match="^xs: expected an array of numbers, got dtype"):
        call(xs.astype(str))
    for wrong, error, message in (
        ([1, 2], ValueError, r"lengths: expected shape \(3,\)"),
        ([1, 2, 6], ValueError, r"lengths\[2\]: expected 0 to 5.*got 6"),
        ([1, -1, 5], ValueError, r"lengths\[1\]: expected 0 to 5.*got -1"),
        ([1.0, 2.0, 3.0], TypeError, "lengths: expected"),
    ):
        with pytest.raises(error, match=f"^{message}"):
            call(xs, wrong)


@pytest.mark.parametrize("name", ["state", "dstate"])
def test_wrong_state(name: str) -> None:
    lstm, gru = Case(Shape("lstm", K=2)), Case(Shape("gru", K=2))

    def call(case: Case, state: Any) -> None:
        stack = case.stack()
        if name == "state":
            stack.run(case.xs, state=state)
        else:
            stack.forward(case.xs)
            stack.backward(case.dhs, state)

    h, c = lstm.dstate
    for case, state, error, message in (
        (lstm, h, TypeError, r": expected a tuple \(h, c\), got ndarray"),
        (lstm, (h,), ValueError, r": expected a tuple \(h, c\), got 1 items"),
        (lstm, (h, c, c), ValueError, r": expected a tuple \(h, c\), got 3 items"),
        (
            lstm,
            (h, c[:2]),
            ValueError,
            r"\[1\]: expected shape \(L K, N, H\) = \(4, 3, 9\), got \(2, 3, 9\)",
        ),
        (
            lstm,
            (h[0], c),
            ValueError,
            r"\[0\]: expected shape \(L K, N, H\) = \(4, 3, 9\), got \(3, 9\)",
        ),
        (lstm, (h, None), TypeError, r"\[1\]: expected an array of numbers, got dtype object"),
        (gru, (h, c), TypeError, ": expected an array h, as a gru has no c; got tuple"),
        (
            gru,
            h[:, :2],
            ValueError,
            r": expected shape \(L K, N, H\) = \(4, 3, 9\), got \(4, 2, 9\)",
        ),
        (gru, "h", TypeError, ": expected an array of numbers, got dtype"),
    ):
        with pytest.raises(error, match=f"^{name}{message}"):
            call(case, state)


@pytest.mark.parametrize("batch_first", [True, False])
def test_wrong_gradients(batch_first: bool) -> None:
    case = Case(Shape("lstm", K=2, batch_first=batch_first))
    stack = case.stack()
    stack.forward(case.xs)
    letters = r"\(N, T, K H\)" if batch_first else r"\(T, N, K H\)"
    sizes = r"\(3, 5, 18\)" if batch_first else r"\(5, 3, 18\)"
    for wrong in (case.dhs[..., 1:], case.dhs[:, :2], case.dhs[0]):
        with pytest.raises(ValueError, match=f"^dhs: expected shape {letters} = {sizes}, got"):
            stack.backward(wrong)


def test_backward_before_forward() -> None:
    case = Case(Shape("lstm"))
    for stack in (case.stack(), case.stack(fastseq_reference)):
        stack.run(case.xs)
        with pytest.raises(RuntimeError, match="^RecurrentStack.backward was called before forwa"):
            stack.backward(case.dhs)


def test_backward_after_a_forward_that_failed() -> None:
    case = Case(Shape("lstm"))
    stack = case.stack()
    stack.forward(case.xs)
    stack.params[3] = stack.params[3][1:]  # of the second layer
    with pytest.raises(ValueError, match="Wx"):
        stack.forward(2 * case.xs)
    with pytest.raises(RuntimeError, match="forward"):
        stack.backward(case.dhs)
