"""How good and how fast a trained model is on pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastseq.transducer.metrics.edit_distance import symbol_error_rate
from fastseq.transducer.metrics.exact_match import exact_match
from fastseq.transducer.metrics.questions import Questions

if TYPE_CHECKING:
    from fastseq.transducer.data.forms import Text
    from fastseq.transducer.data.unknown import Unknown
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
    cut : int
        The answers that reached the longest length that is searched before they ended.
    """

    words: int
    accuracy: float
    symbol_error_rate: float
    words_per_second: float
    cut: int


def evaluate(
    model: Predictor,
    sources: Sequence[Text],
    targets: Sequence[Text],
    beam_size: int = 1,
    length_penalty: float = 0.0,
    unknown: Unknown = "warn",
) -> Evaluation:
    """Let a model answer every different source once, and compare with its targets.

    Parameters
    ----------
    model : Transducer or Ensemble
    sources, targets : as many str, or lists of str
        A source with several right answers is there several times.
    beam_size, length_penalty, unknown
        As in `Transducer.predict`.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError, ValueError
        The arguments do not fit the model, or there is no pair.
    """
    questions = Questions.of(model.vocabulary_, sources, ([target] for target in targets))
    if not questions.sources:
        raise ValueError("sources: expected at least one, got none")

    start = time.perf_counter()
    found = model.answers(
        questions.sources, beam_size, length_penalty=length_penalty, unknown=unknown
    )
    seconds = time.perf_counter() - start

    answers = [best for [best] in found]
    spelled = [model.vocabulary_.target.split(answer.text) for answer in answers]
    return Evaluation(
        words=len(questions.sources),
        accuracy=exact_match(spelled, questions.accepted),
        symbol_error_rate=symbol_error_rate(spelled, questions.accepted),
        words_per_second=len(questions.sources) / seconds,
        cut=sum(answer.cut for answer in answers),
    )
