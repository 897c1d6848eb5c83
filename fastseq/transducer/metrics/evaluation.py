"""How good and how fast a trained model is on pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastseq.transducer.metrics.edit_distance import symbol_error_rate
from fastseq.transducer.metrics.exact_match import exact_match

if TYPE_CHECKING:
    from fastseq.transducer.data.vocabulary import Text
    from fastseq.transducer.search.predictor import Predictor


class Evaluation(NamedTuple):
    """What `evaluate` measures.

    Attributes
    ----------
    words : int
        How many different sources there are.
    accuracy : float
        The share of them whose answer is one of their targets.
    symbol_error_rate : float
        The symbols that are wrong, as edit distances, for each symbol of the targets; of several
        targets the closest counts.
    words_per_second : float
    """

    words: int
    accuracy: float
    symbol_error_rate: float
    words_per_second: float


def evaluate(
    model: Predictor,
    sources: Sequence[Text],
    targets: Sequence[Text],
    beam_size: int = 1,
    length_penalty: float = 0.0,
) -> Evaluation:
    """Let a model answer every different source once, and compare with its targets.

    Parameters
    ----------
    model : Transducer or Ensemble
    sources, targets : as many str, or lists of str
        A source with several right answers is there several times.
    beam_size, length_penalty
        As in `Transducer.predict`.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError, ValueError
        The arguments do not fit the model, or there is no pair.
    """
    split_source, split = model.vocabulary_.source.split, model.vocabulary_.target.split
    questions: dict[tuple[str, ...], Text] = {}
    accepted: dict[tuple[str, ...], list[list[str]]] = {}
    for source, target in zip(sources, targets, strict=True):
        key = tuple(split_source(source))
        questions.setdefault(key, source)
        accepted.setdefault(key, []).append(split(target))
    if not questions:
        raise ValueError("sources: expected at least one, got none")

    start = time.perf_counter()
    answers = model.predict(
        list(questions.values()), beam_size=beam_size, length_penalty=length_penalty
    )
    seconds = time.perf_counter() - start

    spelled = [split(answer) for answer in answers]
    references = list(accepted.values())
    return Evaluation(
        words=len(questions),
        accuracy=exact_match(spelled, references),
        symbol_error_rate=symbol_error_rate(spelled, references),
        words_per_second=len(questions) / seconds,
    )
