"""Symbols of any script as labels of a picture: in a font that has them, else as code points."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_SPACE = "␣"
_FIRST_CHOICE = ("monospace", "sans-serif")
# It has a box for every code point, and so would always be found.
_NO_REAL_FONT = "Last Resort"


def legible_labels(symbols: Sequence[str], font_manager: Any) -> tuple[list[str], list[str]]:
    """What to write for some symbols, and in which font families, the first to be tried first.

    A space is shown as ␣. A character that is invisible, a combining mark by itself, or what no
    installed font has, becomes its code point: U+6F22.

    Parameters
    ----------
    symbols : sequence of str
    font_manager : module
        ``matplotlib.font_manager``.

    Returns
    -------
    labels : list of as many str
    families : list of str
    """
    labels = [_visible(symbol) for symbol in symbols]
    needed = {ord(char) for label in labels for char in label}
    families, missing = _choose_families(needed, font_manager)
    return [_without(label, missing) for label in labels], families


def legible_text(text: str, font_manager: Any) -> tuple[str, list[str]]:
    """Like :func:`legible_labels` for one running text, whose spaces stay spaces."""
    visible = _visible(text).replace(_SPACE, " ")
    families, missing = _choose_families(set(map(ord, visible)), font_manager)
    return "".join(_code_point(c) if ord(c) in missing else c for c in visible), families


def width(label: str) -> int:
    """How many characters stand side by side: combining marks do not."""
    return sum(unicodedata.category(char)[0] != "M" for char in label)


def _visible(symbol: str) -> str:
    parts = []
    for char in symbol:
        category = unicodedata.category(char)
        if char == " ":
            parts.append(_SPACE)
        # control, format, unassigned, separators; a mark with nothing to stand on, because few
        # fonts set it on a dotted circle
        elif category[0] in "CZ" or (category[0] == "M" and not parts):
            parts.append(_code_point(char))
        else:
            parts.append(char)
    return "".join(parts)


def _without(label: str, missing: set[int]) -> str:
    if not missing & set(map(ord, label)):
        return label
    return " ".join(_code_point(char) if ord(char) in missing else char for char in label)


def _code_point(char: str) -> str:
    return f"U+{ord(char):04X}"


def _choose_families(needed: set[int], manager: Any) -> tuple[list[str], set[int]]:
    """Font families that have the characters, as few as possible, and the characters none has."""
    families = list(_FIRST_CHOICE)
    missing = set(needed)
    for family in _FIRST_CHOICE:
        path = manager.findfont(manager.FontProperties(family=[family]))
        missing -= _covered(manager, path, missing)
    if not missing:
        return families, missing
    missing = _add_families(families, missing, manager)
    if missing and _add_new_fonts(manager):
        missing = _add_families(families, missing, manager)
    return families, missing


def _add_families(families: list[str], missing: set[int], manager: Any) -> set[int]:
    """Append those that have missing characters, the most first; the characters none has."""
    paths = {
        entry.name: entry.fname
        for entry in manager.fontManager.ttflist
        if entry.style == "normal" and _NO_REAL_FONT not in entry.name
    }
    covered = {name: _covered(manager, path, missing) for name, path in sorted(paths.items())}
    while missing and covered:
        name = max(covered, key=lambda name: len(covered[name] & missing))
        if not covered[name] & missing:
            break
        families.append(name)
        missing = missing - covered.pop(name)
    return missing


def _add_new_fonts(manager: Any) -> bool:
    """Tell matplotlib, which keeps a list, of the fonts installed since; whether there are any."""
    known = {entry.fname for entry in manager.fontManager.ttflist}
    new = set(manager.findSystemFonts()) - known
    for path in sorted(new):
        # matplotlib cannot read some kinds, as bitmaps
        with contextlib.suppress(Exception):
            manager.fontManager.addfont(path)
    return bool(new)


def _covered(manager: Any, path: str, characters: Iterable[int]) -> set[int]:
    """The characters that a font file has glyphs for; none where it cannot be read."""
    try:
        font = manager.get_font(path)
    except (OSError, RuntimeError):
        return set()
    return {character for character in characters if font.get_char_index(character)}
