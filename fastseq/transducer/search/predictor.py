"""What a fitted model does with texts: predict, score, show its attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from fastseq.precision import products_in
from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.texts import accepted_answers, check_equal_length, checked_texts
from fastseq.transducer.data.vocabulary import END, SPECIAL_SYMBOLS, Text
from fastseq.transducer.metrics.exact_match import exact_match
from fastseq.transducer.model_config import Lengths, ModelConfig, Vocabularies
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.answers import search
from fastseq.transducer.search.hypothesis import Hypothesis
from fastseq.transducer.search.limits import default_steps

Answer = Any  # str where the targets of `fit` were, else list of str


class Predictor:
    """The methods of a Transducer that need its network and vocabularies, once it has them.

    Attributes
    ----------
    network_ : Network
    vocabulary_ : named tuple of source and target, each a Vocabulary
    lengths_ : named tuple of source and target, each an int
    """

    network_: Network
    vocabulary_: Vocabularies
    lengths_: Lengths
    _config: ModelConfig

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        n_best: Literal[1] = ...,
        return_scores: Literal[False] = ...,
        *,
        length_penalty: float = ...,
    ) -> list[Answer]: ...

    @overload
    def predict(  # type: ignore[overload-overlap]  # n_best=1 comes first
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        n_best: Literal[1] = ...,
        *,
        return_scores: Literal[True],
        length_penalty: float = ...,
    ) -> tuple[list[Answer], list[float]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int,
        n_best: int,
        return_scores: Literal[False] = ...,
        *,
        length_penalty: float = ...,
    ) -> list[list[Answer]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int,
        n_best: int,
        return_scores: Literal[True],
        *,
        length_penalty: float = ...,
    ) -> tuple[list[list[Answer]], list[list[float]]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        *,
        n_best: int,
        return_scores: Literal[False] = ...,
        length_penalty: float = ...,
    ) -> list[list[Answer]]: ...

    @overload
    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = ...,
        *,
        n_best: int,
        return_scores: Literal[True],
        length_penalty: float = ...,
    ) -> tuple[list[list[Answer]], list[list[float]]]: ...

    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = 1,
        n_best: int = 1,
        return_scores: bool = False,
        *,
        length_penalty: float = 0.0,
    ) -> Any:
        """The answers to some sources.

        The answer to one does not depend on the others. An answer ends of itself, or after a
        number of symbols that depends on the source's length alone, at most 65,536.

        Parameters
        ----------
        words : iterable of str, or of lists of str
            As the sources in `fit`. Symbols that were not there are read as unknown.
        beam_size : int
            How many beginnings of an answer are kept at each step; 1 is the greedy answer.
        n_best : int
            How many answers to give, at most `beam_size`.
        return_scores : bool
            Return the scores too.
        length_penalty : float
            The score of an answer is its log probability divided by ``((5 + length) / 6) **
            length_penalty``, where the end counts as a symbol (Wu et al. 2016, equation 14).

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
        found = self._search(words, beam_size, n_best, length_penalty)
        decode = self.vocabulary_.target.decode
        answers: list[Any] = [[decode(each.ids) for each in listed] for listed in found]
        scores: list[Any] = [[each.score for each in listed] for listed in found]
        if n_best == 1:
            answers, scores = [best for [best] in answers], [best for [best] in scores]
        return (answers, scores) if return_scores else answers

    def score(self, sources: Iterable[Text], targets: Iterable[Any]) -> float:
        """The share of sources whose greedy answer is right.

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
        split = self.vocabulary_.target.split
        answers = [split(answer) for answer in self.predict(sources)]
        return exact_match(answers, [[split(text) for text in texts] for texts in accepted])

    def attention(self, text: Text) -> tuple[npt.NDArray[np.float32], list[str], list[str]]:
        """Where the network looks while it writes its greedy answer.

        Parameters
        ----------
        text : str, or list of str
            One source.

        Returns
        -------
        weights : float32 array (T_out, T_in)
            Row i holds how much output symbol i looked at each input symbol; its sum is 1.
        input_symbols : list of T_in str
            Those of the text, and ``</s>`` for its end, which the network sees too.
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
        if self.network_.config.attention == "none":
            raise ValueError("attention: this Transducer was trained without (attention='none')")
        [[best]] = self._search([text], with_weights=True)
        symbols = [*self.vocabulary_.source.split(text), SPECIAL_SYMBOLS[END]]
        output = [self.vocabulary_.target.symbols[id] for id in best.ids]
        return best.attention(len(symbols)), symbols, output

    def _search(self, texts: Iterable[Text], *how: Any, **options: Any) -> list[list[Hypothesis]]:
        self._require_fitted()
        vocabulary = self.vocabulary_.source
        sources = Sequences.encode(vocabulary, checked_texts("sources", texts, vocabulary))
        steps = default_steps(sources.lengths, self.lengths_)
        with products_in(self._config.params["precision"]):
            return search(self.network_, sources, steps, *how, **options)

    def _require_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise not_fitted("this Transducer is not trained: fit or load it first")


def not_fitted(message: str) -> RuntimeError:
    """The error of a model that nothing was trained for yet.

    Returns
    -------
    RuntimeError
        Where scikit-learn is installed, its ``NotFittedError`` as well.
    """
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return RuntimeError(message)

    class NotFitted(NotFittedError, RuntimeError):  # type: ignore[misc]
        def __reduce__(self) -> Any:  # to leave a worker process
            return not_fitted, (message,)

    return NotFitted(message)
