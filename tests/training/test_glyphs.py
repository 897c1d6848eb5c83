"""Labels in any script: a font that has the glyph, or the code point."""

from pathlib import Path
from typing import Any

import pytest

from fastseq import plot
from fastseq.plot.glyphs import legible_labels, width

font_manager = pytest.importorskip("matplotlib.font_manager")


def only_default_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    monkeypatch.setattr(font_manager, "findSystemFonts", list)


def test_latin_letters_need_no_other_font() -> None:
    labels, families = legible_labels([*"aé1-", "word"], font_manager)
    assert labels == ["a", "é", "1", "-", "word"]
    assert families == ["monospace", "sans-serif"]


def test_what_cannot_be_seen_is_made_visible() -> None:
    labels, _ = legible_labels([" ", "a b", "e\u0301", "\u200d", "\u3000"], font_manager)
    assert labels == ["␣", "a␣b", "e\u0301", "U+200D", "U+3000"]


def test_a_mark_by_itself_is_its_code_point() -> None:
    labels, _ = legible_labels(["\u0301", "\ufe0f", "\u0323\u0302"], font_manager)
    assert labels == ["U+0301", "U+FE0F", "U+0323\u0302"]
    assert [width(label) for label in ("q\u0323\u0302", "</s>", "")] == [1, 4, 0]


def test_a_character_without_a_glyph_is_its_code_point(monkeypatch: pytest.MonkeyPatch) -> None:
    only_default_fonts(monkeypatch)
    labels, _ = legible_labels(["漢", "x漢", "🎉"], font_manager)
    assert labels == ["U+6F22", "x U+6F22", "U+1F389"]


def test_a_font_that_has_the_glyph_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Font:
        def __init__(self, path: str) -> None:
            self.path = path

        def get_char_index(self, character: int) -> int:
            return int(self.path == "han.ttf" or character < 256)

    def get_font(path: str) -> Font:
        asked.append(path)
        if path == "broken.ttf":
            raise RuntimeError("no font")
        return Font(path)

    def entry(name: str, path: str) -> Any:
        return font_manager.FontEntry(name=name, fname=path, style="normal")

    entries = [entry("Han", "han.ttf"), entry("Broken", "broken.ttf"), entry("Latin", "l.ttf")]
    monkeypatch.setattr(font_manager, "get_font", get_font)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)
    labels, families = legible_labels(["漢", "é"], font_manager)
    assert labels == ["漢", "é"]
    assert families == ["monospace", "sans-serif", "Han"]
    assert "broken.ttf" in asked


def test_a_font_installed_since_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is a copy of one that comes with matplotlib, for a phonetic letter."""
    known = Path(font_manager.findfont("STIXGeneral"))
    new = tmp_path / "new.ttf"
    new.write_bytes(known.read_bytes())
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    only_default_fonts(monkeypatch)
    paths = [str(new), str(tmp_path / "broken.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    assert font_manager.get_font(new).get_char_index(ord("\u1d81"))
    labels, families = legible_labels(["\u1d81", "漢"], font_manager)
    assert labels == ["\u1d81", "U+6F22"]
    assert families == ["monospace", "sans-serif", "STIXGeneral"]


@pytest.mark.filterwarnings("error")
def test_a_picture_of_any_symbols_is_drawn_without_a_warning(tmp_path: Any) -> None:
    symbols = [*"aé漢क$", "$x$", "\u0301", "🎉", "\x00", "</s>"]
    axes = plot.attention_map([[0.1] * len(symbols)], symbols, ["$"])
    plot.save(axes, tmp_path / "map.png")
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[4:6] == ["$", "$x$"]
    assert labels[8:] == ["U+0000", "</s>"]
