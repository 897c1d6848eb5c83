"""The different sources of some pairs, with all answers that are right for each.

Scores, evaluations and validations count by one rule: a source that comes several times is asked
once, and any of its targets is right.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.vocabulary import Vocabulary
from fastseq.transducer.model_config import Vocabularies


class Questions(NamedTuple):
    """Different sources, and the symbols of the answers that are right.

    Attributes
    ----------
    sources : list of str, or of lists of str
        In the order of their first appearance.
    accepted : list of lists of lists of str
        For each source the right answers, without repetitions, each as its symbols.
    """

    sources: list[Text]
    accepted: list[list[list[str]]]

    @classmethod
    def of(
        cls,
        vocabulary: Vocabularies,
        sources: Iterable[Text],
        targets: Iterable[Iterable[Text]],
    ) -> Self:
        """Gather the right answers of each source.

        Parameters
        ----------
        vocabulary : Vocabularies
        sources : iterable of str, or of lists of str
        targets : iterable of as many iterables of str, or of lists of str
            The right answers that come with each.
        """
        questions: dict[Hashable, tuple[Text, list[list[str]]]] = {}
        for source, right in zip(sources, targets, strict=True):
            _, accepted = questions.setdefault(key(vocabulary.source, source), (source, []))
            for target in map(vocabulary.target.split, right):
                if target not in accepted:
                    accepted.append(target)
        texts, answers = zip(*questions.values(), strict=True) if questions else ((), ())
        return cls(list(texts), list(answers))


def key(vocabulary: Vocabulary, text: Text) -> Hashable:
    """What texts of the same symbols, known or not, have in common."""
    return tuple(vocabulary.split(text))


def numbers(keys: Iterable[Hashable]) -> npt.NDArray[np.int64]:
    """The same number for each equal key."""
    found: dict[Hashable, int] = {}
    return np.array([found.setdefault(each, len(found)) for each in keys], dtype=np.int64)
