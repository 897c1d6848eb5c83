"""One source decoded by one kernel call: the bits of the steps one by one, and wrong arguments."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import Transducer, _kernels
from fastseq.transducer.decoding import greedy
from fastseq.transducer.live import END_ID, START_ID
from fastseq.transducer.network import Network
from networks import CONFIGS, generator, large_case, large_params, with_params

Array = npt.NDArray[Any]

STEPS = 7


def answer(network: Network, source: Array, steps: int) -> tuple[list[int], float]:
    ids, log_probability = network.answer(
        source, np.array([source.shape[1]]), START_ID, END_ID, END_ID, steps
    )
    assert ids.dtype == np.int64
    return ids.tolist(), log_probability


@pytest.mark.parametrize("name", CONFIGS)
def test_an_answer_has_the_bits_of_its_steps(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    ended = 0
    expected = greedy(network, batch.sources, batch.source_lengths, STEPS)
    for row, (ids, log_probability) in enumerate(expected):
        source = batch.sources[row : row + 1, : batch.source_lengths[row]]
        own, own_probability = answer(network, source, STEPS)
        ended += own[-1] == END_ID
        assert [each for each in own if each != END_ID] == ids
        assert own_probability == log_probability
        shorter, _ = answer(network, source, 2)
        assert shorter == own[:2]
    network.params["output.b"][END_ID] = 1e3
    assert answer(network, source, STEPS)[0] == [END_ID]
    network.params["output.b"][:END_ID] = 1e6  # <unk> and <s> are never chosen
    assert answer(network, source, STEPS)[0] == [END_ID]


def test_nothing_to_choose_from_is_said() -> None:
    model = Transducer(hidden_size=4, embedding_size=3, epochs=1)
    model.fit(["ab", "ba"] * 4, ["b", "a"] * 4, validation=None)
    assert model.predict(["ab"]) == model.predict(["ab", "b"])[:1]
    for value in (np.nan, -np.inf):
        model.network_.params["output.b"][...] = value
        with pytest.raises(FloatingPointError, match="log probabilities are NaN or all minus inf"):
            model.predict(["ab"])


def arguments(**changed: Any) -> dict[str, Any]:
    V, D, H = 9, 5, 8

    def weights(*shape: int) -> Array:
        return generator().normal(size=shape).astype(np.float32)

    return {
        "cell": "lstm",
        "start_id": 1,
        "first_id": 2,
        "end_id": 2,
        "steps": 3,
        "h0": weights(2, H),
        "c0": weights(2, H),
        "embedding": weights(V, D),
        "layers": [
            [weights(D + H, 4 * H), weights(H, 4 * H), weights(4 * H)],
            [weights(H, 4 * H), weights(H, 4 * H), weights(4 * H)],
        ],
        "output": [weights(2 * H, V), weights(V)],
        "peek": weights(H),
        "hs_enc": weights(6, H),
        "combine": [weights(2 * H, H), weights(H)],
        "W_query": weights(H, H),
        "keys": weights(6, H),
        "v": weights(H),
    } | changed


def zeros(*shape: int) -> Array:
    return np.zeros(shape, dtype=np.float32)


def test_arguments_that_fit() -> None:
    ids, log_probability = _kernels.decode_row(**arguments())
    assert 1 <= len(ids) <= 3
    assert log_probability < 0
    assert _kernels.decode_row(**arguments(steps=0))[0].shape == (0,)
    read_only = arguments()
    for each in ("h0", "peek", "hs_enc"):
        read_only[each].flags.writeable = False
    assert _kernels.decode_row(**read_only)[1] == log_probability


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cell": "tanh"}, "cell: expected one of rnn, gru, lstm"),
        ({"h0": zeros(8)}, "h0: expected 2 dimensions"),
        ({"h0": zeros(1, 8)}, r"h0, layers, steps: .* got shape \(1, 8\), 2 and 3"),
        ({"steps": -1}, "h0, layers, steps: .* and -1"),
        ({"layers": [], "h0": zeros(0, 8)}, "h0, layers, steps: .* at least 1 layer"),
        ({"c0": None}, "c0: expected an array with lstm"),
        ({"c0": zeros(2, 7)}, r"c0: expected shape \(2, 8\).*got \(2, 7\)"),
        ({"peek": None}, r"W: expected shape \(8, 9\).*got \(16, 9\)"),
        ({"peek": zeros(7)}, r"peek: expected shape \(8,\)"),
        ({"embedding": zeros(9, 4)}, r"Wx: expected shape \(12, 32\)"),
        ({"output": [zeros(16, 9), zeros(8)]}, r"b: expected shape \(9,\)"),
        ({"hs_enc": zeros(0, 8)}, r"hs_enc: expected shape \(Te, 8\), Te at least 1"),
        ({"combine": [zeros(8, 8), zeros(8)]}, r"W_combine: expected shape \(16, 8\)"),
        ({"combine": [zeros(16, 8), zeros(9)]}, r"b_combine: expected shape \(8,\)"),
        ({"W_query": zeros(8, 9)}, r"W_query: expected shape \(8, 8\)"),
        ({"keys": zeros(5, 8)}, r"keys: expected shape \(6, 8\)"),
        ({"v": zeros(9)}, r"v: expected shape \(8,\)"),
    ],
)
def test_wrong_shapes(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.decode_row(**arguments(**changed))


@pytest.mark.parametrize("changed", [{"start_id": 9}, {"start_id": -1}, {"first_id": 9}])
def test_wrong_ids(changed: dict[str, Any]) -> None:
    with pytest.raises(IndexError, match=r"start_id, first_id: .* 0 to 8 \(vocabulary size 9\)"):
        _kernels.decode_row(**arguments(**changed))


@pytest.mark.parametrize("changed", [{"steps": 2.0}, {"h0": "h"}, {"output": [None, None]}])
def test_wrong_kinds(changed: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        _kernels.decode_row(**arguments(**changed))
