"""The functions of fastseq.decoding: valid calls, and the same loop in NumPy."""

from typing import Any

import numpy as np

from fastseq import decoding
from fastseq.layers import RecurrentStack

from .case import Arguments, Case, Draw
from .decode_calls import Row, decoded
from .recurrent_calls import weight_names, weights


class _Network:
    """The arguments that `greedy` and `score` share, and those of `decode` of the same network."""

    def __init__(self, draw: Draw) -> None:
        self.cell = draw.choice("lstm", "gru", "rnn")
        reset_after, L = draw.maybe(), draw.choice(1, 1, 2)
        N, D, H, V = draw.size(), draw.size(1), draw.size(1), draw.size(1)
        self.N, self.V, self.L = N, V, L
        self.kernel_cell = "gru_reset_after" if self.cell == "gru" and reset_after else self.cell
        self._sizes = {"input_size": D, "hidden_size": H, "num_layers": L}
        self._sizes["reset_after"] = reset_after
        layers = [weights(draw, self.kernel_cell, H if layer else D, H) for layer in range(L)]
        states = [draw.floats(L, N, H) for _ in range(2)]
        self.terms = 9 * L * (D + 8 * H) + V
        self.arguments: Arguments = {
            "params": [each for layer in layers for each in layer],
            "embedding": draw.floats(V, D),
            "output_weight": draw.weight(H, V),
            "output_bias": draw.choice(None, draw.floats(V)),
            "state": states if self.cell == "lstm" else states[0],
            "start_id": int(draw.ids(V)),
        }

    def call(self, function: Any, given: Arguments) -> Any:
        """The function's result, with a stack of the parameters."""
        others = dict(given)
        stack = RecurrentStack(self.cell, params=others.pop("params"), **self._sizes)
        return function(stack, **others)

    def of_decode(self, given: Arguments, **others: Any) -> Arguments:
        """The arguments of `decode`."""
        params, bias, state = given["params"], given["output_bias"], given["state"]
        count = len(params) // self.L
        pair = state if self.cell == "lstm" else (state, None)
        unused = ("peek", "hs_enc", "encoder_lengths", "W_query", "keys", "v", "combine", "jump")
        return {
            "cell": self.kernel_cell,
            "h0": pair[0].copy(),
            "c0": None if pair[1] is None else pair[1].copy(),
            "layers": [params[first : first + count] for first in range(0, len(params), count)],
            "embedding": given["embedding"],
            "output": (given["output_weight"], np.zeros(self.V) if bias is None else bias),
            "start_id": given["start_id"],
            "first_id": 0,
            "scored": True,
            **dict.fromkeys(unused),
            **others,
        }

    words = weight_names() | {"stack"}


def greedy(draw: Draw) -> Case:
    network = _Network(draw)
    steps = int(draw.choice(0, 1, 2, 5, 9))
    limits = draw.lengths(network.N, 0, steps)
    arguments = network.arguments | {
        "max_length": steps if limits is None else limits,
        "end_id": draw.choice(None, int(draw.ids(network.V))),
    }

    def call(given: Arguments) -> Any:
        found = network.call(decoding.greedy, given)
        ids = [row[:taken].tolist() for row, taken in zip(found.ids, found.lengths, strict=True)]
        return ids, found.log_probabilities.tolist()

    def expected(given: Arguments) -> Any:
        limits = np.broadcast_to(given["max_length"], network.N)
        wanted = network.of_decode(given, steps=steps, limits=limits, end_id=given["end_id"])
        found = decoded(wanted)
        return found and (found[0][:2], {})

    return Case(
        "greedy",
        call,
        arguments,
        expected,
        limits={} if limits is None else {"max_length": (0, 2**20)},
        terms=(steps + 1) * network.terms,
        words=network.words,
    )


def score(draw: Draw) -> Case:
    network = _Network(draw)
    T = draw.size()
    arguments = network.arguments | {
        "targets": draw.ids(network.V, network.N, T),
        "lengths": draw.lengths(network.N, 0, T),
    }

    def expected(given: Arguments) -> Any:
        totals = []
        lengths = np.full(network.N, T) if given["lengths"] is None else given["lengths"]
        wanted = network.of_decode(given)
        for n in range(network.N):
            row, total = Row(wanted, n), 0.0
            inputs = [given["start_id"], *given["targets"][n]]
            for t in range(int(lengths[n])):
                log_p, _ = row.step(int(inputs[t]))
                total += float(log_p[inputs[t + 1]])
            totals.append(total)
        return np.array(totals), {}

    return Case(
        "score",
        lambda given: network.call(decoding.score, given),
        arguments,
        expected,
        limits={"targets": (0, network.V - 1), "lengths": (0, T)},
        terms=(T + 1) * network.terms,
        words=network.words,
    )


DECODING = {"greedy": greedy, "score": score}
