"""Wrong arguments: always an exception that names the argument, never a crash."""

from typing import Any

import numpy as np
import pytest

from fastseq import _kernels
from support.kernels.hostile import (
    decode,
    decoder,
    draw,
    isolated,
    lstm_gradients,
    lstm_weights,
    refused,
    right_or_refused,
)
from support.kernels.hostile_values import Converting, Counting, OwnError, raise_own_error

RAGGED = [[1.0], [2.0, 3.0]]
BEYOND = (-1, 9, 2**31, 2**63 - 1)


# ---- ignore_label ----


@pytest.mark.parametrize("wrong", ["array", "large_array", "list", "text", "float", "complex"])
@isolated
def test_an_ignore_label_is_an_integer(wrong: str) -> None:
    value: Any = {
        "array": np.full((2000, 1), 9),
        "large_array": np.full((200_000, 1), 9),
        "list": [9],
        "text": "9",
        "float": 9.5,
        "complex": 9j,
    }[wrong]
    scores, labels = np.zeros((3, 5)), [0, 1, 2]
    refused(
        lambda: _kernels.softmax_loss_forward(scores, labels, value),
        "ignore_label",
        kinds=(TypeError,),
    )
    refused(
        lambda: _kernels.softmax_loss_backward(scores, labels, value, 1.0),
        "ignore_label",
        kinds=(TypeError,),
    )


def test_an_ignore_label_may_be_any_integer() -> None:
    scores = draw(3, 5)
    loss, _, count = _kernels.softmax_loss_forward(scores, [0, -1, 4], -1)
    assert count == 2
    for label in (np.int8(-1), Counting(-1)):
        assert _kernels.softmax_loss_forward(scores, [0, -1, 4], label)[0] == loss
    for label in (2**63, -(2**70)):  # no label can be so large: none is ignored, or refused
        right_or_refused(
            lambda label=label: _kernels.softmax_loss_forward(scores, [0, 1, 4], label)[2],
            lambda count: np.testing.assert_equal(count, 3),
            "ignore_label",
        )


# ---- decode ----


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 6, 9, 12, 60])
@pytest.mark.parametrize("layer", [0, 1])
@isolated
def test_a_decoder_layer_with_another_number_of_arrays(count: int, layer: int) -> None:
    layers = decoder()["layers"]
    layers[layer] = (20 * layers[layer])[:count]
    refused(lambda: decode(layers=layers), f"layers[{layer}]", kinds=(ValueError,))


@isolated
def test_a_wrong_argument_of_decode_is_named() -> None:
    b = draw(9)
    enc = draw(2, 6, 8)
    combine = (draw(16, 8), draw(8))
    peeky = {"layers": [lstm_weights(13, 8), lstm_weights(8, 8)], "output": (draw(16, 9), b)}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("output", {"output": (RAGGED, b)}),
        ("output", {"output": [draw(8, 9)]}),
        ("output", {"output": [draw(8, 9), b, b]}),
        ("output", {"output": None}),
        ("output", {"output": (draw(7, 9), b)}),
        ("output", {"output": (draw(8, 9), draw(8))}),
        ("combine", {"hs_enc": enc, "combine": (RAGGED, draw(8))}),
        ("combine", {"hs_enc": enc, "combine": [draw(16, 8)]}),
        ("combine", {"hs_enc": enc, "combine": (draw(8, 8), draw(8))}),
        ("v", {"hs_enc": enc, "combine": combine, "keys": draw(2, 6, 8)}),
        ("keys", {"hs_enc": enc, "combine": combine, "v": draw(8)}),
        ("keys", {"hs_enc": enc, "combine": combine, "keys": draw(2, 5, 8), "v": draw(8)}),
        ("W_query", {"hs_enc": enc, "combine": combine, "W_query": draw(8, 7)}),
        ("hs_enc", {"hs_enc": draw(2, 6, 7), "combine": combine}),
        ("hs_enc", {"hs_enc": draw(2, 0, 8), "combine": combine}),
        ("hs_enc", {"hs_enc": draw(3, 6, 8), "combine": combine}),
        ("encoder_lengths", {"hs_enc": enc, "combine": combine, "encoder_lengths": [6, 7]}),
        ("encoder_lengths", {"hs_enc": enc, "combine": combine, "encoder_lengths": [0, 6]}),
        ("encoder_lengths", {"hs_enc": enc, "combine": combine, "encoder_lengths": [6]}),
        ("hs_enc", {"encoder_lengths": [6, 6]}),
        ("limits", {"limits": [3]}),
        ("limits", {"limits": [4, 3]}),
        ("limits", {"limits": [-1, 3]}),
        ("limits", {"limits": [1.0, 3.0]}),
        ("scale", {"hs_enc": enc, "combine": combine, "scale": "1"}),
        ("h0", {"h0": draw(3, 2, 8)}),
        ("h0", {"h0": draw(2, 8)}),
        ("h0", {"h0": RAGGED}),
        ("c0", {"c0": draw(2, 3, 8)}),
        ("embedding", {"embedding": draw(9, 5, 1)}),
        ("peek", peeky | {"peek": draw(2, 7)}),
        ("peek", peeky | {"peek": draw(3, 8)}),
        ("peek", peeky | {"peek": RAGGED}),
        ("cell", {"cell": "LSTM"}),
        ("cell", {"cell": ["lstm"]}),
        ("cell", {"cell": None}),
        ("layers", {"layers": []}),
        ("layers", {"layers": 3}),
        ("layers[1]", {"layers": [lstm_weights(5, 8), 3]}),
        ("layers[1]", {"layers": [lstm_weights(5, 8), lstm_weights(5, 8)]}),
        ("steps", {"steps": -1}),
        ("steps", {"steps": "3"}),
        ("steps", {"steps": 2.5}),
    ]
    for name, changes in cases:
        try:
            refused(lambda changes=changes: decode(**changes), name)
        except BaseException as error:
            raise AssertionError(f"{name}: {changes.keys()}") from error


@isolated
def test_an_id_of_decode_is_in_the_vocabulary() -> None:
    for name in ("start_id", "first_id", "end_id"):
        for wrong in (*BEYOND, 2**64, -(2**70)):
            refused(
                lambda name=name, wrong=wrong: decode(**{name: wrong}),
                name,
                kinds=(IndexError, ValueError),
            )
        for text in ("1", 1.0, np.array([1, 2])):
            refused(
                lambda name=name, text=text: decode(**{name: text}),
                name,
                kinds=(TypeError,),
            )


@isolated
def test_more_steps_than_memory_holds() -> None:
    for steps in (2**40, 2**62, 2**63 - 1, 2**70):
        with pytest.raises((MemoryError, ValueError)):
            decode(steps=steps)


@isolated
def test_an_integer_is_converted_once() -> None:
    expected = decode()
    for name, first, later in (
        ("steps", 3, 10**9),
        ("steps", 3, -1),
        ("start_id", 1, 10**9),
        ("first_id", 0, -(10**9)),
        ("end_id", 8, 2**60),
    ):
        actual = decode(**{name: Counting(first, later)})
        reference = expected if name != "end_id" else decode(end_id=8)
        np.testing.assert_array_equal(actual.ids, reference.ids)


@isolated
def test_decode_reads_each_layer_of_the_list_once() -> None:
    expected = decode()
    layers = decoder()["layers"]
    taken = decode(layers=iter([iter(layer) for layer in layers]))
    np.testing.assert_array_equal(taken.ids, expected.ids)

    class Growing(list[Any]):
        """A list whose length is wrong."""

        def __len__(self) -> int:
            return 50

    liar = decode(layers=Growing(layers))
    np.testing.assert_array_equal(liar.ids, expected.ids)
    for changed in ([], [None] * 9):
        layers = decoder()["layers"]

        def change(layers: list[Any] = layers, changed: list[Any] = changed) -> None:
            layers[1][:] = changed

        layers[0][0] = Converting(layers[0][0], action=change)
        right_or_refused(
            lambda layers=layers: decode(layers=layers).ids,
            lambda ids: np.testing.assert_array_equal(ids, expected.ids),
            "layers[1]",
        )


# ---- ids ----


@isolated
def test_an_id_of_any_integer_type_is_in_the_vocabulary() -> None:
    W, dW = draw(9, 4), draw(9, 4)
    for wrong in (*BEYOND, -(2**31), -(2**63), 2**64 - 1, 2**63):
        kind = np.uint64 if wrong >= 2**63 else np.int64
        ids = np.array([[0, 1], [wrong, 2]], kind)
        for call in (
            lambda ids=ids: _kernels.embedding_forward(W, ids),
            lambda ids=ids: _kernels.embedding_backward(dW, ids, draw(2, 2, 4)),
            lambda ids=ids: _kernels.recurrent_forward(
                None, "lstm", ids, lstm_weights(4, 8), embedding=W
            ),
        ):
            with pytest.raises(IndexError, match=rf"(ids|xs)\[1, 0\].*{wrong}"):
                call()
        for call in (
            lambda ids=ids: _kernels.softmax_loss_forward(draw(2, 2, 9), ids, None),
            lambda ids=ids: _kernels.softmax_loss_backward(draw(2, 2, 9), ids, None, 1.0),
        ):
            with pytest.raises(IndexError, match=rf"labels\[1, 0\].*{wrong}"):
                call()
    for wrong in (4, -1, 2**63 - 1, 2**64 - 1):
        lengths = np.array([1, wrong], np.uint64 if wrong >= 2**63 else np.int64)
        refused(
            lambda lengths=lengths: _kernels.recurrent_forward(
                None, "lstm", draw(2, 3, 4), lstm_weights(4, 8), lengths=lengths
            ),
            "lengths[1]",
        )
        refused(
            lambda lengths=lengths: _kernels.attention_forward(
                draw(2, 3, 4), draw(2, 3, 4), encoder_lengths=lengths
            ),
            "encoder_lengths[1]",
        )


# ---- settings and messages ----


class Between(int):
    """An integer whose comparisons are all true."""

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__


@isolated
def test_a_setting_of_the_wrong_kind_is_named() -> None:
    before = _kernels.isa(), _kernels.get_num_threads()
    for wrong in (np.array(["avx2", "baseline"]), np.array("baseline"), 3, None, [], b"baseline"):
        refused(lambda wrong=wrong: _kernels.set_isa(wrong), "isa")
    for wrong in (np.array([2]), np.array(2.0), 2.0, "2", None, [], np.float32(2)):
        refused(
            lambda wrong=wrong: _kernels.set_num_threads(wrong),
            "num_threads",
        )
    for number in (Between(100_000), Between(-3), 2**40, 2**70):
        refused(
            lambda number=number: _kernels.set_num_threads(number),
            "num_threads",
        )
    assert (_kernels.isa(), _kernels.get_num_threads()) == before


@isolated
def test_a_number_of_the_wrong_kind_is_named() -> None:
    p, enc = [draw(3)], draw(2, 3, 4)
    for wrong in ("0.1", None, [0.1], np.array([0.1, 0.2]), 1j, object()):
        cases = {
            "learning_rate": [
                lambda x=wrong: _kernels.sgd_step(p, p, x),
                lambda x=wrong: _kernels.momentum_step(p, p, [draw(3)], x, 0.9),
                lambda x=wrong: _kernels.adam_step(p, p, [draw(3)], [draw(3)], x, 0.9, 0.9),
            ],
            "momentum": [lambda x=wrong: _kernels.nesterov_step(p, p, [draw(3)], 0.1, x)],
            "decay_rate": [lambda x=wrong: _kernels.rmsprop_step(p, p, [draw(3)], 0.1, x)],
            "epsilon": [lambda x=wrong: _kernels.adagrad_step(p, p, [draw(3)], 0.1, x)],
            "beta2": [lambda x=wrong: _kernels.adam_step(p, p, [draw(3)], [draw(3)], 0.1, 0.9, x)],
            "factor": [lambda x=wrong: _kernels.scale(p, x)],
            "scale": [
                lambda x=wrong: _kernels.attention_forward(enc, enc, x),
                lambda x=wrong: _kernels.softmax_loss_backward(draw(2, 9), [1, 2], None, x),
            ],
        }
        for name, calls in cases.items():
            for call in calls:
                refused(call, name, kinds=(TypeError,))
    refused(lambda: _kernels.sgd_step(p, p, 10**400), "learning_rate")


@isolated
def test_a_float_is_converted_once() -> None:
    class Number(float):
        """A float that converts to another value."""

        def __float__(self) -> float:
            return 0.25

    p = np.ones(3, np.float32)
    _kernels.sgd_step([p], [np.ones(3)], Number(0.5))
    assert float(p[0]) in (0.5, 0.75)
    _kernels.scale([p], np.float16(0.5))
    assert float(p[0]) in (0.25, 0.375)


@isolated
def test_a_ragged_list_is_named() -> None:
    weights = lstm_weights(4, 8)
    refused(lambda: _kernels.exp(RAGGED), "x")
    refused(lambda: _kernels.softmax(RAGGED), "x")
    refused(lambda: _kernels.affine_forward(RAGGED, draw(3, 4)), "x")
    refused(lambda: _kernels.affine_forward(draw(2, 3), RAGGED), "W")
    refused(lambda: _kernels.embedding_forward(draw(3, 4), [[1], [1, 2]]), "ids")
    refused(lambda: _kernels.recurrent_forward(None, "lstm", RAGGED, weights), "xs")
    refused(lambda: _kernels.recurrent_forward(None, "lstm", draw(2, 3, 4), RAGGED), "params")
    refused(
        lambda: _kernels.recurrent_forward(None, "lstm", draw(2, 3, 4), [RAGGED, *weights[1:]]),
        "Wx",
    )
    refused(lambda: _kernels.attention_forward(RAGGED, draw(2, 3, 4)), "hs_enc")
    refused(lambda: _kernels.sgd_step([draw(3)], [RAGGED], 0.1), "grads[0]")
    refused(lambda: _kernels.global_norm([draw(3), RAGGED]), "grads[1]")


@isolated
def test_messages_have_the_documented_form() -> None:
    for lengths in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="lengths") as raised:
            _kernels.recurrent_forward(
                None, "lstm", draw(2, 3, 4), lstm_weights(4, 8), lengths=lengths
            )
        assert ",," not in str(raised.value)
        assert ", got" in str(raised.value)
    refused(
        lambda: _kernels.recurrent_forward(None, ["lstm"], draw(2, 3, 4), lstm_weights(4, 8)),
        "cell",
    )
    refused(lambda: _kernels.global_norm(3), "grads")
    refused(lambda: _kernels.sgd_step(3, [draw(3)], 0.1), "params")
    refused(lambda: _kernels.scale(None, 0.1), "arrays")


@isolated
def test_an_exception_of_the_argument_is_passed_on() -> None:
    bad = Converting(draw(2, 3, 4), action=raise_own_error)
    xs, params = draw(2, 3, 4), lstm_weights(4, 8)
    workspace = _kernels.Workspace()
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", xs, params)
    grads = lstm_gradients(4, 8)
    expected = _kernels.recurrent_backward(workspace, hs, params, grads)
    for call in (
        lambda: _kernels.exp(bad),
        lambda: _kernels.affine_forward(bad, draw(4, 4)),
        lambda: _kernels.recurrent_forward(workspace, "lstm", bad, params),
        lambda: _kernels.recurrent_forward(workspace, "lstm", xs, [*params[:2], bad]),
        lambda: _kernels.recurrent_backward(workspace, bad, params, grads),
        lambda: _kernels.sgd_step([draw(3)], [bad], 0.1),
        lambda: _kernels.attention_forward(xs, xs, 1.0, bad),
        lambda: decode(h0=bad),
        lambda: decode(steps=_Raising()),
        lambda: _kernels.sgd_step([draw(3)], [draw(3)], _Raising()),
        lambda: _kernels.sgd_step(_Raising(), [draw(3)], 0.1),
    ):
        with pytest.raises(OwnError):
            call()
    # refused before any change: the forward pass is still in the workspace
    again = _kernels.recurrent_backward(workspace, hs, params, grads)
    np.testing.assert_array_equal(again[0], expected[0])


class _Raising:
    """An object that raises in every operation."""

    def __index__(self) -> int:
        raise OwnError

    __int__ = __float__ = __len__ = __iter__ = __index__
