"""Pictures: what they show, that they are whole files, and that they need no display."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import plot
from fastseq.train import Trainer

pytest.importorskip("matplotlib")

QUESTION = "september 27, 1994   "
ANSWER = "1994-09-27"


def png_size(file_name: Path) -> tuple[int, int]:
    """Width and height of a whole PNG file."""
    content = file_name.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def weights() -> Any:
    values = np.random.default_rng(0).random((len(ANSWER), len(QUESTION)))
    return values / values.sum(axis=1, keepdims=True)


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def colorbar(axes: Any) -> Any:
    """The axes of the bar, which are within those of the map."""
    (bar,) = axes.child_axes
    return bar


DRAWINGS: dict[str, Callable[[], Any]] = {
    "one accuracy": lambda: plot.accuracy_curve([0.1, 0.5, 0.995]),
    "accuracies": lambda: plot.accuracy_curve({"plain": [0.0, 0.1], "Peeky": [0.3]}),
    "loss": lambda: plot.loss_curve([3.0, 2.0, 1.0], interval=20),
    "no loss yet": lambda: plot.loss_curve([]),
    "attention": lambda: plot.attention_map(weights(), QUESTION, ANSWER),
    "tiny attention": lambda: plot.attention_map([[1.0]], "a", "b"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_are_whole_files_of_a_sensible_size(name: str, tmp_path: Path) -> None:
    file_name = tmp_path / "picture.png"
    plot.save(DRAWINGS[name](), file_name)
    width, height = png_size(file_name)
    assert 350 <= width <= 2500
    assert 250 <= height <= 1500
    assert list(tmp_path.iterdir()) == [file_name]


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_is_the_format(suffix: str, start: bytes, tmp_path: Path) -> None:
    file_name = tmp_path / f"picture{suffix}"
    plot.save(plot.accuracy_curve([0.5]), file_name)
    assert file_name.read_bytes().startswith(start)


def test_a_picture_that_cannot_be_written_names_its_path(tmp_path: Path) -> None:
    file_name = tmp_path / "missing" / "picture.png"
    with pytest.raises(OSError, match="picture.png"):
        plot.save(plot.accuracy_curve([0.5]), file_name)


def test_accuracies_are_percentages_by_epoch() -> None:
    axes = plot.accuracy_curve({"plain": [0.0, 0.05, 0.11], "Peeky": [0.3, 0.992]}, title="Sums")
    plain, peeky = axes.lines
    np.testing.assert_allclose(plain.get_xydata(), [[1, 0], [2, 5], [3, 11]])
    np.testing.assert_allclose(peeky.get_xydata(), [[1, 30], [2, 99.2]])
    assert sorted(texts(axes)) == ["Peeky  99.2 % (epoch 2)", "plain  11.0 %"]
    assert (axes.get_xlabel(), axes.get_title("left")) == ("epoch", "Sums")
    assert plain.get_color() != peeky.get_color()


def test_labels_of_close_lines_keep_apart() -> None:
    accuracies = [0.995, 0.99, 0.992, 0.01, 0.0, 0.5]
    axes = plot.accuracy_curve({f"model {i}": [value] for i, value in enumerate(accuracies)})
    heights = sorted(text.xy[1] for text in axes.texts)
    assert len(heights) == 6
    assert min(np.diff(heights)) > 0.055
    assert 0 <= heights[0] < heights[-1] <= 1


def test_losses_are_placed_by_iteration() -> None:
    axes = plot.loss_curve([3.0, 2.0, 1.25], interval=20)
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 3], [20, 2], [40, 1.25]])
    assert texts(axes) == ["1.25"]
    assert axes.get_ylim()[0] == 0
    assert plot.loss_curve([3.0, 2.0], ylim=(1, 4)).get_ylim() == (1, 4)


def test_the_heat_map_reads_in_both_directions() -> None:
    values = weights()
    axes = plot.attention_map(values, QUESTION, ANSWER, title="A date")
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert columns == [*"september␣27,␣1994", "pad"]
    assert rows == list(ANSWER)
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown[:, :-1], values[:, : len("september 27, 1994")])
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    first_row, last_row = (axes.transData.transform((0, row))[1] for row in (0, len(rows) - 1))
    assert first_row > last_row  # the output is read downwards
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input", "output")
    assert colorbar(axes).get_ylabel() == "attention weight"


@pytest.mark.parametrize("shape", [(1, 2), (2, 10), (10, 3)])
def test_the_colorbar_is_as_tall_as_the_map(shape: tuple[int, int]) -> None:
    axes = plot.attention_map(np.full(shape, 1 / shape[1]), "a" * shape[1], "b" * shape[0])
    axes.figure.canvas.draw()
    heights = [each.get_window_extent().height for each in (colorbar(axes), axes)]
    assert heights[0] == pytest.approx(heights[1], abs=1)


@pytest.mark.parametrize(("source", "answer"), [("ab", ""), ("", "ab"), ("", "")])
@pytest.mark.filterwarnings("error")
def test_no_symbols_are_no_warning(source: str, answer: str, tmp_path: Path) -> None:
    weights = np.zeros((len(answer), len(source)))
    plot.save(plot.attention_map(weights, source, answer), tmp_path / "map.png")


@pytest.mark.filterwarnings("error")
def test_title_of_an_answer(tmp_path: Path) -> None:
    title = plot.answer_title("x\uffff$_1$  ", "y ")
    assert title == "Attention: x\uffff$_1$ → y"
    axes = plot.attention_map([[1.0]], "a", "b", title=title)
    assert axes.get_title(loc="left") == "Attention: xU+FFFF$_1$ → y"
    plot.save(axes, tmp_path / "map.png")


def test_an_input_without_padding_has_no_column_for_it() -> None:
    axes = plot.attention_map(np.eye(3), "a b", "abc")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣", "b"]


def test_marks_do_not_turn_a_label() -> None:
    axes = plot.attention_map([[0.5, 0.5]], ["q\u0323\u0302", "</s>"], "a")
    assert [label.get_rotation() for label in axes.get_xticklabels()] == [0, 90]


@pytest.mark.parametrize(
    ("outputs", "inputs", "inches"),
    [(3, 20, (9, 3)), (10, 110, (21, 5)), (3, 600, (21, 3)), (5000, 3, (4, 20)), (2000, 600, None)],
)
def test_a_map_of_many_symbols_is_no_larger(outputs: int, inputs: int, inches: Any) -> None:
    symbols = [chr(ord("a") + k % 26) for k in range(max(outputs, inputs))]
    axes = plot.attention_map(np.eye(outputs, inputs), symbols[:inputs], symbols[:outputs])
    size = axes.figure.get_size_inches()
    assert (size <= (inches or (21, 20))).all()
    columns, rows = axes.get_xticklabels(), axes.get_yticklabels()
    assert len(columns) == inputs if inputs <= 110 else 80 <= len(columns) <= 112
    assert len(rows) == outputs if outputs <= 110 else 80 <= len(rows) <= 112
    for label in columns:
        assert label.get_text() == symbols[round(label.get_position()[0])]


def test_cells_that_nobody_could_see_are_drawn_together() -> None:
    values = np.zeros((1, 8999))
    values[0, [0, 4000, 8998]] = 0.2, 0.9, 0.5
    axes = plot.attention_map(values, "a" * 8999, "b")
    [image] = axes.images
    shown = np.asarray(image.get_array())
    assert shown.shape == (1, 3000)
    assert [shown[0, 0], shown[0, 1333], shown[0, 2999]] == [0.2, 0.9, 0.5]
    assert image.get_extent() == [-0.5, 8999.5, 0.5, -0.5]
    assert axes.get_xlim() == (-0.5, 8998.5)


def test_a_long_symbol_is_shortened() -> None:
    axes = plot.attention_map([[1.0]], ["x" * 1000], ["y" * 30])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x" * 29 + "…"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["y" * 30]


def test_the_weights_must_fit_the_symbols() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(3, 2\).*got \(2, 3\)"):
        plot.attention_map(np.zeros((2, 3)), "ab", "cde")


def test_axes_may_be_the_callers() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert plot.accuracy_curve([0.5], axes=axes) is axes
    assert plot.loss_curve([0.5], axes=axes) is axes
    assert plot.attention_map([[1.0]], "a", "b", axes=axes) is axes


def test_no_display_and_no_global_state_are_needed(tmp_path: Path) -> None:
    script = """
import sys
import fastseq.plot
assert not any(name.startswith("matplotlib") for name in sys.modules)
fastseq.plot.save(fastseq.plot.accuracy_curve([0.5, 1.0]), sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
"""
    command = [sys.executable, "-c", script, str(tmp_path / "curve.png")]
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    subprocess.run(command, check=True, env=environment | {"MPLBACKEND": "TkAgg"})


def test_the_trainer_draws_its_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.delenv("DISPLAY", raising=False)
    trainer = Trainer(None, None)  # type: ignore[arg-type]
    trainer.loss_list, trainer.eval_interval = [2.0, 1.0], 20
    axes = trainer.plot(ylim=(0, 3))
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 2], [20, 1]])
    assert axes.get_ylim() == (0, 3)

    from matplotlib import pyplot

    assert pyplot.gcf() is axes.figure  # a figure that pyplot knows is one that it shows
    pyplot.close(axes.figure)


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.usefixtures("without_matplotlib")
def test_the_error_names_the_extra(name: str) -> None:
    with pytest.raises(ImportError, match=r'^[^\n]*pip install "fastseq-kernels\[plot\]"$'):
        DRAWINGS[name]()


def test_the_learning_curve_is_of_what_was_held_out_else_of_the_loss() -> None:
    history = [
        {"loss": 0.9, "validation_accuracy": 0.25},
        {"loss": 0.5, "validation_accuracy": 0.5},
    ]
    (line,) = plot.learning_curve(history).get_lines()
    assert line.get_ydata().tolist() == [25, 50]
    (line,) = plot.learning_curve([{"loss": 0.9}, {"loss": 0.5}]).get_lines()
    assert line.get_ydata().tolist() == [0.9, 0.5]


@pytest.mark.parametrize("draw", [plot.accuracy_curve, plot.loss_curve])
def test_one_epoch_has_one_tick(draw: Callable[[Any], Any]) -> None:
    axes = draw([0.4])
    low, high = axes.get_xlim()
    assert len([tick for tick in axes.get_xticks() if low <= tick <= high]) == 1


@pytest.mark.parametrize(
    ("lowest", "begin"), [(0.0, 0), (0.5, 0), (0.51, 50), (0.75, 70), (0.971, 95), (0.999, 98)]
)
def test_accuracies_above_a_half_fill_the_picture(lowest: float, begin: float) -> None:
    axes = plot.accuracy_curve({"one": [lowest, 0.9995], "other": [0.9995]})
    ticks = axes.get_yticks()
    assert (ticks[0], ticks[-1]) == (begin, 100)
    assert 5 <= len(ticks) <= 7
    low, high = axes.get_ylim()
    assert low < begin <= 100 * lowest
    assert high > 100


def test_a_notebook_shows_the_picture(tmp_path: Path) -> None:
    for name, draw in DRAWINGS.items():
        axes = draw()
        file_name = tmp_path / name
        file_name.write_bytes(axes._repr_png_())
        assert png_size(file_name)[0] > 200, name
