"""Compares the exported graph of a Transducer, run by onnxruntime, with the Transducer itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.precision import products_in
from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.vocabulary import END, SPECIAL_SYMBOLS, START
from fastseq.transducer.estimator import Transducer
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.greedy import greedy
from fastseq.transducer.search.hypothesis import Hypothesis
from fastseq.transducer.search.limits import default_steps

Array = npt.NDArray[Any]

_SOURCES = 200
# Both compute in float32, and sum in another order. An error of the graph is of the order of 1.
_TOLERANCE = 1e-3


class Comparison(NamedTuple):
    """The result of a comparison in which nothing differs.

    Attributes
    ----------
    sources : int
        How many were answered.
    difference : float
        The largest of their answers' log probabilities.
    runtime : str
        The version of onnxruntime.
    """

    sources: int
    difference: float
    runtime: str


@products_in("float32")  # whatever the model's own precision is: the graphs have this one
def compare(model: Transducer, content: bytes) -> Comparison:
    """Answer sources of random symbols, of all lengths seen in training, by both.

    An answer may differ where two symbols are equally probable, up to rounding.

    Parameters
    ----------
    model : Transducer
    content : bytes
        That of ``greedy.onnx``.

    Raises
    ------
    ArithmeticError
        An answer or its log probability is another.
    ImportError
        onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'the check needs onnxruntime: pip install "fastseq-kernels[onnxruntime]"'
        ) from error
    session = onnxruntime.InferenceSession(content)
    sources = _random_sources(model)
    ids, lengths = sources.ended(np.arange(len(sources)))
    limits = default_steps(sources.lengths, model.lengths_)
    theirs = session.run(None, {"ids": ids, "lengths": lengths})
    largest = 0.0
    rows = zip(greedy(model.network_, ids, lengths, limits), *theirs, strict=True)
    for row, (own, answer, count, log_probability) in enumerate(rows):
        given = answer[:count].tolist()
        if given == own.ids:
            difference = abs(log_probability - own.log_probability)
            largest = max(largest, difference)
        else:
            source = ids[row : row + 1, : lengths[row]]
            difference = _lead(model.network_, source, own, given)
        if not difference <= _TOLERANCE:  # NaN too
            raise ArithmeticError(
                f"greedy.onnx: expected ids {own.ids} of log probability {own.log_probability:.4f} "
                f"as the answer to {sources.row(row)}, got {given} of {log_probability:.4f}"
            )
    return Comparison(len(sources), largest, onnxruntime.__version__)


def _random_sources(model: Transducer) -> Sequences:
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, model.lengths_.source + 1, _SOURCES)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    size = len(model.vocabulary_.source)
    # with the unknown symbol and without start and end, which no source has
    symbols = generator.integers(len(SPECIAL_SYMBOLS) - 1, size, offsets[-1])
    return Sequences(np.where(symbols == END, 0, symbols).astype(np.int32), offsets)


def _lead(network: Network, source: Array, own: Hypothesis, given: list[int]) -> float:
    """By how much the own symbol is more probable, in logarithms, where the answers part."""
    mine, others = [*own.ids, END], [*given, END]
    parting = next(
        k for k, pair in enumerate(zip(mine, others, strict=False)) if pair[0] != pair[1]
    )
    encoded = network.encode(source, np.array([source.shape[1]]))
    state = network.first_state(encoded)
    for id in [START, *mine[:parting]]:
        log_probabilities, state, _ = network.step(encoded, state, np.array([id]))
    lead: float = log_probabilities[0, mine[parting]] - log_probabilities[0, others[parting]]
    return lead
