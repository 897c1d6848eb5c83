"""A model under its name, and its answers as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.forms import Text, as_string
from fastseq.transducer.data.unknown import unknown_symbols
from fastseq.transducer.ensemble.ensemble import Ensemble
from fastseq.transducer.estimator import Transducer
from fastseq.transducer.search.hypothesis import Answer


class Result(NamedTuple):
    """What is known of the answers to one text.

    Attributes
    ----------
    answers : list of Answer
        The best first.
    unknown : list of str
        The symbols of the text that the training data did not have.
    attention : dict or None
        For JSON: the symbols of both sides, and the weights.
    """

    answers: list[Answer]
    unknown: list[str]
    attention: dict[str, Any] | None

    def to_json(self, text: str, scores: bool) -> dict[str, Any]:
        """The document of a text: as a line of ``fastseq predict --json``, and its attention."""
        listed = [
            {"text": as_string(answer.text)}
            | ({"score": answer.score} if scores else {})
            | {"cut": answer.cut}
            for answer in self.answers
        ]
        document: dict[str, Any] = {"input": text, "answers": listed}
        if self.unknown:
            document["unknown"] = self.unknown
        if self.attention is not None:
            document["attention"] = self.attention
        return document


class Model:
    """A trained model that is served.

    Parameters
    ----------
    name : str
        What requests call it.
    predictor : Transducer or Ensemble

    Attributes
    ----------
    name : str
    has_attention : bool
        Whether there is a map of it.
    """

    def __init__(self, name: str, predictor: Transducer | Ensemble) -> None:
        self.name = name
        self.has_attention = predictor.network_.has_attention
        self._predictor = predictor
        self._columns = Columns.parse(predictor.columns)

    def source_of(self, text: str) -> Text:
        """A text as the model takes it.

        Raises
        ------
        ValueError
            The model has features, and the text has more or fewer columns.
        """
        return self._columns.source_of_line(text, self._predictor.vocabulary_.source.form)

    @property
    def source_columns(self) -> list[str]:
        """What the columns of a text are, in their order; only one without features."""
        columns = self._columns
        places = [columns.source, *columns.features]
        if not columns.names:
            places.sort(key=int)
        number = {place: n for n, place in enumerate(columns.features, start=1)}
        name = "features {}" if len(number) > 1 else "features"
        return [name.format(number[place]) if place in number else "text" for place in places]

    def describe(self) -> dict[str, Any]:
        """What a client may want to know of the model, for JSON."""
        source, target = self._predictor.vocabulary_
        predictor = self._predictor
        return {
            "name": self.name,
            "models": len(predictor.members_) if isinstance(predictor, Ensemble) else 1,
            "attention": self.has_attention,
            "columns": self.source_columns,
            "source_symbols": len(source),
            "target_symbols": len(target),
            "longest_source": self._predictor.lengths_.source,
            "longest_target": self._predictor.lengths_.target,
        }

    def answer(self, search: Search, sources: Sequence[Text]) -> list[Result]:
        """Answer some sources."""
        vocabulary = self._predictor.vocabulary_.source
        found = self._predictor.answers(sources, search.beam, search.n_best, unknown="ignore")
        return [
            Result(
                answers,
                unknown_symbols(vocabulary, source),
                self._attention(source, search.beam) if search.attention else None,
            )
            for source, answers in zip(sources, found, strict=True)
        ]

    def _attention(self, source: Text, beam: int) -> dict[str, Any]:
        weights, symbols, output = self._predictor.attention(source, "ignore", beam)
        rows = [[round(float(weight), 6) for weight in row] for row in weights]
        return {"input": symbols, "output": output, "weights": rows}


class Search(NamedTuple):
    """How texts are answered; those of equal ones may be answered together."""

    model: Model
    beam: int
    n_best: int
    attention: bool

    def answer(self, sources: Sequence[Text]) -> list[Result]:
        """Answer some sources."""
        return self.model.answer(self, sources)
