"""How good and how fast a trained model is on pairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastseq.transducer.metrics.edit_distance import closest
from fastseq.transducer.metrics.judgement import Judgement
from fastseq.transducer.metrics.questions import Questions

if TYPE_CHECKING:
    from fastseq.transducer.data.forms import Text
    from fastseq.transducer.data.unknown import Unknown
    from fastseq.transducer.search.hypothesis import Answer
    from fastseq.transducer.search.predictor import Predictor


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measures.

    Attributes
    ----------
    words : int
        How many different sources there are.
    accuracy : float
        The share of them whose answer is one of their targets.
    symbol_error_rate : float
        The symbols that are wrong, as edit distances, for each symbol of the targets; of several
        targets the closest counts, of these the shortest.
    words_per_second : float
    cut : int
        The answers that reached the longest length that is searched before they ended.
    n_best : int
        How many answers were found for each source.
    oracle : float
        The share of sources that have a right one among them.
    judgements : list of Judgement
        One for each source, in the order of their first appearance.
    """

    words: int
    accuracy: float
    symbol_error_rate: float
    words_per_second: float
    cut: int
    n_best: int
    oracle: float
    judgements: list[Judgement] = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """The numbers; that of the oracle only where several answers were found."""
        names = ["words", "accuracy", "symbol_error_rate", "words_per_second", "cut"]
        if self.n_best > 1:
            names += ["n_best", "oracle"]
        return {name: getattr(self, name) for name in names}


def evaluate(
    model: Predictor,
    sources: Sequence[Text],
    targets: Sequence[Text],
    beam_size: int = 1,
    length_penalty: float = 0.0,
    n_best: int = 1,
    unknown: Unknown = "warn",
) -> Evaluation:
    """Let a model answer every different source once, and compare with its targets.

    Parameters
    ----------
    model : Transducer or Ensemble
    sources, targets : as many str, or lists of str
        A source with several right answers is there several times.
    beam_size, length_penalty, n_best, unknown
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
        questions.sources, beam_size, n_best, length_penalty=length_penalty, unknown=unknown
    )
    seconds = time.perf_counter() - start

    judgements = [
        _judge(model, *each)
        for each in zip(questions.sources, questions.accepted, found, strict=True)
    ]
    words = len(judgements)
    symbols = sum(len(each.closest) for each in judgements)
    return Evaluation(
        words=words,
        accuracy=sum(each.is_right for each in judgements) / words,
        symbol_error_rate=sum(each.edits for each in judgements) / max(1, symbols),
        words_per_second=words / seconds,
        cut=sum(each.cut for each in judgements),
        n_best=n_best,
        oracle=sum(each.rank is not None for each in judgements) / words,
        judgements=judgements,
    )


def _judge(
    model: Predictor, source: Text, accepted: list[list[str]], found: list[Answer]
) -> Judgement:
    """Compare the answers to one source, best first, with those that are right."""
    answers = [model.vocabulary_.target.split(answer.text) for answer in found]
    ranks = (place for place, answer in enumerate(answers, start=1) if answer in accepted)
    edits, right = closest(answers[0], accepted)
    return Judgement(
        source=model.vocabulary_.source.split(source),
        accepted=accepted,
        answer=answers[0],
        score=found[0].score,
        edits=edits,
        closest=right,
        rank=next(ranks, None),
        cut=found[0].cut,
    )
