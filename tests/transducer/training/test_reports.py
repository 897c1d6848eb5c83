"""What training shows: bars and lines on a terminal and in a notebook, and a summary."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from support.ranks import on_threads
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

PAIRS = tiny_pairs(24)
Capture = pytest.CaptureFixture[str]


def epoch_lines(shown: str) -> list[str]:
    """The lines that stay of a bar."""
    return [line for line in shown.splitlines() if "words/s" in line and "|" not in line]


def test_nothing_is_shown_where_nobody_watches(capsys: Capture) -> None:
    tiny_transducer(epochs=1).fit(*PAIRS)
    tiny_transducer(epochs=1).fit(*PAIRS, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_bar_leaves_a_line_for_each_epoch(capsys: Capture) -> None:
    model = tiny_transducer(epochs=2).fit(*PAIRS, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch 1/2" in captured.err
    lines = epoch_lines(captured.err)
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"]]
    assert f"loss {model.history_[1]['loss']:7.4f}" in lines[1]
    assert "% right" in lines[1]


def test_the_bar_alone_leaves_none(capsys: Capture) -> None:
    tiny_transducer(epochs=1).fit(*PAIRS, progress="bar")
    assert "epoch 1/1" in (shown := capsys.readouterr().err)
    assert "% right" not in shown


def test_of_several_processes_one_shows_its_training(capsys: Capture) -> None:
    def fit(ranks: Any) -> None:
        tiny_transducer(epochs=2, shards=2).fit(*PAIRS, communicator=ranks, progress=True)

    assert on_threads(2, fit) == [None, None]
    assert [line.split()[1] for line in epoch_lines(capsys.readouterr().err)] == ["1", "2"]


def test_a_notebook_has_bar_and_lines_in_its_output(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    tiny_transducer(epochs=1).fit(*PAIRS)
    captured = capsys.readouterr()
    assert captured.out.startswith("epoch   1   loss")
    assert "IProgress" not in captured.err


def test_other_progress_is_refused() -> None:
    with pytest.raises(ValueError, match="^progress: expected True, False, None or 'bar', got 'x'"):
        tiny_transducer(epochs=1).fit(*PAIRS, progress="x")  # type: ignore[arg-type]


def test_a_notebook_shows_what_a_model_is() -> None:
    model = tiny_transducer(epochs=2)
    assert model._repr_html_() == f"<code>{model!r}</code>, not trained yet".replace("'", "&#x27;")
    shown = model.fit(*PAIRS)._repr_html_()
    assert "Transducer(" in shown
    assert "best of 2 epochs: " in shown
    assert "% of the held-out answers right" in shown
    assert "held-out" not in model.fit(*PAIRS, None)._repr_html_()
