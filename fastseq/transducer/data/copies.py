"""What may be copied: which source symbol is which target symbol, and symbols new to both sides.

The ids of both go on where a vocabulary ends: see `fastseq.transducer.network.copying`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.vocabulary import SPECIAL_SYMBOLS, UNKNOWN, Vocabulary
from fastseq.transducer.network.parameters import NOT_COPIED, UNSEEN


def copied_as(source: Vocabulary, target: Vocabulary) -> tuple[int, ...]:
    """For each source id the target id of the same symbol, as in `NetworkConfig.copies`."""
    ids = target.ids()
    symbols = [
        ids.get(entry, UNSEEN) if isinstance(entry, str) else NOT_COPIED for entry in source.entries
    ]
    return (*[NOT_COPIED] * len(SPECIAL_SYMBOLS), *symbols)


def with_copies(
    source: Vocabulary, target: Vocabulary, texts: Sequence[Text], sources: Sequences
) -> tuple[Sequences, list[list[str]]]:
    """Let what is unknown be copied.

    Parameters
    ----------
    source, target : Vocabulary
    texts : sequence of str, or of lists of str
    sources : Sequences
        Their ids, `UNKNOWN` for symbols that the source vocabulary does not have.

    Returns
    -------
    sources : Sequences
        Each of these symbols has an id of its own, from ``len(source)`` on.
    unseen : list of lists of str
        For each text its symbols that the target vocabulary does not have either: those of the
        target ids from ``len(target)`` on.
    """
    known = target.ids()
    ids = sources.ids.copy()
    unseen: list[list[str]] = [[] for _ in texts]
    for row in [row for row in range(len(sources)) if UNKNOWN in sources.row(row)]:
        begin = sources.offsets[row]
        for place, symbol in enumerate(source.text_form.split(texts[row]), start=begin):
            if ids[place] == UNKNOWN:
                ids[place] = len(source) + _target_id(symbol, target, known, unseen[row])
    return Sequences(ids, sources.offsets), unseen


def targets_with_copies(
    target: Vocabulary, texts: Sequence[Text], unseen: Sequence[Sequence[str]]
) -> Sequences:
    """The ids of some targets, where symbols may be those of a list for each."""
    targets = Sequences.encode(target, texts)
    for row in [row for row, symbols in enumerate(unseen) if symbols]:
        ids = targets.ids[targets.offsets[row] : targets.offsets[row + 1]]
        for place in np.flatnonzero(ids == UNKNOWN):
            symbol = target.split(texts[row])[place]
            if symbol in unseen[row]:
                ids[place] = len(target) + list(unseen[row]).index(symbol)
    return targets


def _target_id(symbol: str, target: Vocabulary, known: dict[str, int], unseen: list[str]) -> int:
    """The id of a symbol as a target; `unseen` has it afterwards if it is not known."""
    if symbol in known:
        return known[symbol]
    if symbol not in unseen:
        unseen.append(symbol)
    return len(target) + unseen.index(symbol)
