"""An evaluation as one self-contained page: numbers, lengths, confusions, and the errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

from fastseq.page import body, definitions, page, row, section, table
from fastseq.transducer.metrics.edit_distance import alignment
from fastseq.transducer.metrics.evaluation import Evaluation
from fastseq.transducer.metrics.judgement import Judgement, accuracy_by_length, confusions
from fastseq.transducer.model_config import Vocabularies

_MOST_CONFUSIONS = 20
_MOST_ERRORS = 500
NOTHING = "∅"


def as_html(result: Evaluation, vocabulary: Vocabularies, facts: Iterable[tuple[str, str]]) -> str:
    """Format an evaluation as a page.

    Parameters
    ----------
    result : Evaluation
    vocabulary : Vocabularies
        Of the model, to spell sources and answers.
    facts : iterable of pairs of str
        Names and values that say what was evaluated, and how.

    Returns
    -------
    str
    """
    headline = (
        f"<strong>{100 * result.accuracy:.2f} %</strong> of {result.words:,} words right, "
        f"<strong>{100 * result.symbol_error_rate:.2f} %</strong> of the symbols wrong"
    )
    if result.n_best > 1:
        headline += (
            f"; among {result.n_best} answers a right one for "
            f"<strong>{100 * result.oracle:.2f} %</strong>"
        )
    rows = list(facts)
    summary = ", ".join(f"{name}: {value}" for name, value in rows[:2])
    sections = [_lengths(result), _confusions(result), _errors(result, vocabulary)]
    more = [("words a second", f"{result.words_per_second:,.0f}")]
    if result.cut:
        more.append(("answers cut", f"{result.cut:,}"))
    about = section("about", "What was evaluated", "", definitions([*rows, *more]))
    return page("fastseq evaluation", headline, summary, [*sections, about])


def _lengths(result: Evaluation) -> str:
    columns = ["words", "right", ""]
    lines = []
    for each in accuracy_by_length(result.judgements):
        share = each.right / each.words
        label = f"{each.least}" if each.least == each.most else f"{each.least} to {each.most}"
        cells = [f"{each.words:,}", f"{100 * share:.1f} %", _bar(share)]
        lines.append(row(label, cells, columns))
    explanation = "Accuracy by the number of symbols of the source."
    content = table("Accuracy by length", ["symbols", *columns], [body("plain", lines)], "narrow")
    return section("lengths", "Length", explanation, content)


def _bar(share: float) -> str:
    return f'<span class="track"><span class="bar" style="width: {100 * share:.1f}%"></span></span>'


def _confusions(result: Evaluation) -> str:
    found = confusions(result.judgements)
    if not found:
        return ""
    columns = ["answered", "times"]
    lines = [
        row(each.expected or NOTHING, [escape(each.got or NOTHING), f"{each.times:,}"], columns)
        for each in found[:_MOST_CONFUSIONS]
    ]
    explanation = (
        "What the wrong answers have in place of the symbols of the closest right answer; "
        f"{NOTHING} stands for nothing. {_shown(len(lines), len(found), 'kinds')}"
    )
    content = table("Confusions", ["expected", *columns], [body("plain", lines)], "narrow")
    return section("confusions", "Most frequent confusions", explanation, content)


def _errors(result: Evaluation, vocabulary: Vocabularies) -> str:
    wrong = [judgement for judgement in result.judgements if not judgement.is_right]
    if not wrong:
        return ""
    spell, spell_source = (_speller(each.form) for each in vocabulary[::-1])
    columns = ["expected", "answered", "score", "edits"]
    if result.n_best > 1:
        columns.insert(3, "right one")
    wrong.sort(key=lambda judgement: -judgement.score)
    lines = [
        row(spell_source(each.source), _error(each, spell, result.n_best), columns)
        for each in wrong[:_MOST_ERRORS]
    ]
    explanation = (
        "The answers that the model is surest of come first: mistakes of the data are often among "
        "them. What differs from the closest right answer is marked. "
        f"{_shown(len(lines), len(wrong), 'errors')}"
    )
    content = table("Errors", ["source", *columns], [body("plain", lines)], "errors")
    return section("errors", "Errors", explanation, content)


def _error(judgement: Judgement, spell: Callable[[Iterable[str]], str], n_best: int) -> list[str]:
    """The cells of one error, as HTML."""
    pairs = alignment(judgement.closest, judgement.answer)
    expected = spell(_marked(own, own != other) for own, other in pairs if own)
    answered = spell(_marked(own, own != other) for other, own in pairs if own)
    others = [right for right in judgement.accepted if right != judgement.closest]
    if others:
        listed = " | ".join(spell(map(escape, right)) for right in others)
        expected += f" <small>or {listed}</small>"
    if judgement.cut:
        answered += " <small>cut</small>"
    cells = [expected, answered, f"{judgement.score:.3f}", f"{judgement.edits}"]
    if n_best > 1:
        cells.insert(3, "" if judgement.rank is None else f"at place {judgement.rank}")
    return cells


def _marked(symbol: str, differs: bool) -> str:
    return f"<mark>{escape(symbol)}</mark>" if differs else escape(symbol)


def _speller(form: str) -> Callable[[Iterable[str]], str]:
    """What makes one text of symbols."""
    return ("" if form == "char" else " ").join


def _shown(count: int, total: int, noun: str) -> str:
    return f"The first {count:,} of {total:,} {noun}." if count < total else ""
