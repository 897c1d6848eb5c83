"""What a fitted model does with texts: predict, score, show its attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from fastseq.models.base import check_sizes
from fastseq.precision import products_in
from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.copies import targets_with_copies, with_copies
from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.texts import accepted_answers, check_equal_length, checked_texts
from fastseq.transducer.data.unknown import Unknown, encode_sources
from fastseq.transducer.data.vocabulary import END, SPECIAL_SYMBOLS, UNKNOWN
from fastseq.transducer.metrics.exact_match import exact_match
from fastseq.transducer.metrics.questions import Questions
from fastseq.transducer.model_config import Lengths, Vocabularies
from fastseq.transducer.search.active import Decodable
from fastseq.transducer.search.answers import search
from fastseq.transducer.search.fitted import Fitted
from fastseq.transducer.search.hypothesis import Answer, Hypothesis, Output
from fastseq.transducer.search.limits import default_steps
from fastseq.transducer.search.scoring import log_probabilities


class Predictor(Fitted):
    """The methods of a Transducer, and of an Ensemble, that need its network and vocabularies.

    Attributes
    ----------
    network_ : Network, or what decodes as one
    vocabulary_ : named tuple of source and target, each a Vocabulary
    lengths_ : named tuple of source and target, each an int
    """

    network_: Decodable
    vocabulary_: Vocabularies
    lengths_: Lengths
    # what the operands of products are rounded to, unless the networks differ in it
    _precision = "default"

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        n_best: Literal[1] = ...,
        return_scores: Literal[False] = ...,
        *,
        length_penalty: float = ...,
        unknown: Unknown = ...,
        max_length: int | None = ...,
    ) -> list[Output]: ...

    @overload
    def predict(  # type: ignore[overload-overlap]  # n_best=1 comes first
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        n_best: Literal[1] = ...,
        *,
        return_scores: Literal[True],
        length_penalty: float = ...,
        unknown: Unknown = ...,
        max_length: int | None = ...,
    ) -> tuple[list[Output], list[float]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int,
        n_best: int,
        return_scores: Literal[False] = ...,
        *,
        length_penalty: float = ...,
        unknown: Unknown = ...,
        max_length: int | None = ...,
    ) -> list[list[Output]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int,
        n_best: int,
        return_scores: Literal[True],
        *,
        length_penalty: float = ...,
        unknown: Unknown = ...,
        max_length: int | None = ...,
    ) -> tuple[list[list[Output]], list[list[float]]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        *,
        n_best: int,
        return_scores: Literal[False] = ...,
        length_penalty: float = ...,
        unknown: Unknown = ...,
        max_length: int | None = ...,
    ) -> list[list[Output]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        *,
        n_best: int,
        return_scores: Literal[True],
        length_penalty: float = ...,
        unknown: Unknown = ...,
        max_length: int | None = ...,
    ) -> tuple[list[list[Output]], list[list[float]]]: ...

    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = 1,
        n_best: int = 1,
        return_scores: bool = False,
        *,
        length_penalty: float = 0.0,
        unknown: Unknown = "warn",
        max_length: int | None = None,
    ) -> Any:
        """The answers to some sources.

        The answer to one does not depend on the others. An answer ends of itself, or is cut after a
        number of symbols that depends on the source's length alone, at most 65,536: `answers` tells
        which.

        Parameters
        ----------
        words : iterable of str, or of lists of str
            As the sources in `fit`.
        beam_size : int
            How many beginnings of an answer are kept at each step; 1 is the greedy answer.
        n_best : int
            How many answers to give, at most `beam_size`.
        return_scores : bool
            Return the scores too.
        length_penalty : float
            The score of an answer is its log probability divided by ``((5 + length) / 6) **
            length_penalty``, where the end counts as a symbol (Wu et al. 2016, equation 14).
        unknown : {"warn", "ignore", "error", "drop"}
            What becomes of symbols that were not in the training data: they are read as the unknown
            symbol, and one `UnknownSymbolWarning` says which, or none; or they are an error; or
            left out.
        max_length : int, optional
            End each answer after so many symbols at the latest.

        Returns
        -------
        answers : list of str, or of lists of str
            As the targets in `fit`. With `n_best` above 1 a list of answers, best first, for each
            source.
        scores : list of float, or of lists of float
            Only with `return_scores`: of each answer.

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        TypeError, ValueError
            An argument is wrong.
        """
        found = self.answers(
            words,
            beam_size,
            n_best,
            length_penalty=length_penalty,
            unknown=unknown,
            max_length=max_length,
        )
        texts: list[Any] = [[each.text for each in listed] for listed in found]
        scores: list[Any] = [[each.score for each in listed] for listed in found]
        if n_best == 1:
            texts, scores = [best for [best] in texts], [best for [best] in scores]
        return (texts, scores) if return_scores else texts

    def answers(
        self,
        words: Iterable[Text],
        beam_size: int = 1,
        n_best: int = 1,
        *,
        length_penalty: float = 0.0,
        unknown: Unknown = "warn",
        max_length: int | None = None,
    ) -> list[list[Answer]]:
        """The answers to some sources, with all that is known of each.

        Parameters
        ----------
        words : iterable of str, or of lists of str
        beam_size, n_best : int
        length_penalty : float
        unknown : str
        max_length : int, optional
            As in `predict`.

        Returns
        -------
        list of lists of Answer
            For each source its answers, best first, each with ``text``, ``score``,
            ``log_probability`` and ``cut``.

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        TypeError, ValueError
            An argument is wrong.

        Examples
        --------
        >>> from fastseq import Transducer
        >>> words, capitals = ["abc", "bca", "cab", "bac"], ["ABC", "BCA", "CAB", "BAC"]
        >>> model = Transducer(hidden_size=32, dropout=0.0, learning_rate=0.02, epochs=60)
        >>> _ = model.fit(words, capitals, validation=None)
        >>> [[answer]] = model.answers(["cab"])
        >>> answer.text, answer.cut
        ('CAB', False)
        """
        found, unseen = self._search(
            words, beam_size, n_best, length_penalty, unknown=unknown, max_length=max_length
        )
        decode = self.vocabulary_.target.decode
        return [
            [
                Answer(decode(each.ids, own), each.score, each.log_probability, not each.finished)
                for each in listed
            ]
            for listed, own in zip(found, unseen, strict=True)
        ]

    def log_probability(
        self, sources: Iterable[Text], targets: Iterable[Text]
    ) -> npt.NDArray[np.float64]:
        """How probable given answers are: the natural logarithm of the probability of each.

        It is the sum over the symbols of the answer and its end, each after those before it, as in
        the scores of `predict` without a length penalty.

        Parameters
        ----------
        sources : iterable of str, or of lists of str
        targets : iterable of as many
            The answer to each.

        Returns
        -------
        float64 array (N)
            Minus infinity for an answer with a symbol that is not in the vocabulary: it is never
            produced.

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        TypeError, ValueError
            An argument is wrong.

        Examples
        --------
        >>> from fastseq import Transducer
        >>> words, capitals = ["abc", "bca", "cab", "bac"], ["ABC", "BCA", "CAB", "BAC"]
        >>> model = Transducer(hidden_size=32, dropout=0.0, learning_rate=0.02, epochs=60)
        >>> _ = model.fit(words, capitals, validation=None)
        >>> right, wrong = model.log_probability(["cab", "cab"], ["CAB", "ABC"])
        >>> bool(wrong < right < 0)
        True
        """
        self._require_fitted()
        sources = checked_texts("sources", sources, self.vocabulary_.source)
        targets = checked_texts("targets", targets, self.vocabulary_.target)
        check_equal_length(sources, targets)
        encoded, unseen = self._encoded(sources, "warn")
        wanted = targets_with_copies(self.vocabulary_.target, targets, unseen)
        with products_in(self._precision):
            return log_probabilities(self.network_, encoded, wanted)

    def score(self, sources: Iterable[Text], targets: Iterable[Any]) -> float:
        """The share of sources whose greedy answer is right.

        A source that comes several times is one source, and each of its targets is right: the rule
        of ``fastseq evaluate`` and of the validation in `fit`.

        Parameters
        ----------
        sources : iterable of str, or of lists of str
        targets : iterable of as many
            Each one a right answer, or a list of right answers.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        TypeError, ValueError
            An argument is wrong, or there is nothing to score.
        """
        self._require_fitted()
        sources = checked_texts("sources", sources, self.vocabulary_.source)
        accepted = accepted_answers(targets, self.vocabulary_.target)
        check_equal_length(sources, accepted)
        if not sources:
            raise ValueError("sources: expected at least one, got none")
        questions = Questions.of(self.vocabulary_, sources, accepted)
        split = self.vocabulary_.target.split
        answers = [split(answer) for answer in self.predict(questions.sources)]
        return exact_match(answers, questions.accepted)

    def attention(
        self, text: Text, unknown: Unknown = "warn", beam_size: int = 1
    ) -> tuple[npt.NDArray[np.float32], list[str], list[str]]:
        """Where the network looks while it writes its answer.

        Parameters
        ----------
        text : str, or list of str
            One source.
        unknown : {"warn", "ignore", "error", "drop"}
        beam_size : int
            Both as in `predict`.

        Returns
        -------
        weights : float32 array (T_out, T_in)
            Row i holds how much output symbol i looked at each input symbol; its sum is 1.
        input_symbols : list of T_in str
            Those of the text as they are read (normalized, features as ``<tag>``), and ``</s>``
            for its end, which the network sees too.
        output_symbols : list of T_out str

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        TypeError
            The text is of another kind than those trained on.
        ValueError
            The network has no attention.
        """
        self._require_fitted()
        if not self.network_.has_attention:
            kind = type(self).__name__
            raise ValueError(f"attention: this {kind} was trained without (attention='none')")
        [[best]], [unseen] = self._search([text], beam_size, with_weights=True, unknown=unknown)
        vocabulary = self.vocabulary_.source
        symbols = [*vocabulary.split(text), SPECIAL_SYMBOLS[END]]
        if unknown == "drop":
            ids = [*vocabulary.encode(text), END]
            symbols = [symbol for symbol, id in zip(symbols, ids, strict=True) if id != UNKNOWN]
        output = self.vocabulary_.target.spelled(best.ids, unseen)
        return best.attention(len(symbols)), symbols, output

    def _search(
        self,
        texts: Iterable[Text],
        *how: Any,
        unknown: Unknown = "warn",
        max_length: int | None = None,
        **options: Any,
    ) -> tuple[list[list[Hypothesis]], list[list[str]]]:
        """The answers to each text, and its symbols that their ids go on with."""
        self._require_fitted()
        listed = checked_texts("sources", texts, self.vocabulary_.source)
        sources, unseen = self._encoded(listed, unknown)
        steps = default_steps(sources.lengths, self.lengths_)
        if max_length is not None:
            check_sizes(max_length=max_length)
            steps = np.minimum(steps, max_length)
        with products_in(self._precision):
            return search(self.network_, sources, steps, *how, **options), unseen

    def _encoded(self, texts: list[Text], unknown: Unknown) -> tuple[Sequences, list[list[str]]]:
        """The ids of some texts, and for each its symbols that may be copied though unseen."""
        sources = encode_sources(self.vocabulary_.source, texts, unknown)
        if not self.network_.copies or unknown == "drop":
            return sources, [[] for _ in texts]
        return with_copies(*self.vocabulary_, texts, sources)
