"""Makes a `RecurrentStack` of the weights of another library."""

from __future__ import annotations

from collections.abc import Sequence

from fastseq.interop.gates import Convention, Weights, to_fastseq
from fastseq.layers.recurrent.stack import RecurrentStack


def make_stack(
    convention: Convention,
    cell: str,
    layers: Sequence[Sequence[Weights]],
    batch_first: bool = True,
) -> RecurrentStack:
    """A stack of layers, each of one direction or two.

    Parameters
    ----------
    convention : Convention
        Of the library that the weights are from.
    cell : {"rnn", "gru", "gru_reset_after", "lstm"}
    layers : sequence of sequence of Weights
        For each layer, its directions, whose shapes fit each other.
    batch_first : bool

    Raises
    ------
    ValueError
        A layer has another hidden size or number of directions than the first, or does not take
        what the layer below returns.
    """
    first = layers[0]
    D, H = len(first[0].Wx), len(first[0].Wh)
    for number, directions in enumerate(layers):
        columns = D if number == 0 else H * len(first)
        for weights in directions:
            got = len(weights.Wx), len(weights.Wh), len(directions)
            if got != (columns, H, len(first)):
                raise ValueError(
                    f"layer {number}: expected {columns} inputs, {H} hidden units, {len(first)} "
                    f"directions, got {got[0]}, {got[1]}, {got[2]}"
                )
    every = [weights for directions in layers for weights in directions]
    has_bias = any(weights.bx is not None for weights in every)
    params = []
    for weights in every:
        arrays = to_fastseq(convention, cell, weights)
        params += arrays if has_bias else arrays[:2]  # Wx and Wh alone
    return RecurrentStack(
        "gru" if cell == "gru_reset_after" else cell,
        D,
        H,
        len(layers),
        bidirectional=len(first) == 2,
        reset_after=cell == "gru_reset_after",
        bias=has_bias,
        batch_first=batch_first,
        params=params,
    )
