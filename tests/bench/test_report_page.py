"""The page of a benchmark run: whole, self-contained, and legible in a browser."""

import copy
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fastseq.bench import report
from support.bench.benchmark_runs import entry, full_run, loaded, run_of

pytest.importorskip("matplotlib")

HOSTILE = '<script>alert("1")</script> | $x_y$ & `*'
VOID = {"meta", "link", "br", "img", "hr", "input"}
SECTIONS = [
    *("speedup-reference", "speedup-torch", "peak", "isa", "scaling", "ratios", "memory"),
    *("import", "machine", "method"),
]


class Page(HTMLParser):
    """The structure of a page: it must be balanced; ids, references and texts are collected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for where, key, value in self.attributes if (where, key) == (tag, name)]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report.write_html(loaded(full_run()), path)
    assert list(tmp_path.iterdir()) == [path]
    text = path.read_text("utf-8")
    page = Page(text)
    assert page.values("section", "id") == SECTIONS
    assert "script" not in page.tags
    assert "link" not in page.tags
    for _, name, value in page.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith("#")
    assert not re.search(r"url\((?!#)|@import", text)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(page.values("use", "xlink:href")) <= {f"#{name}" for name in ids}
    pictures = page.tags.count("svg")
    assert pictures == len(page.values("svg", "aria-label")) == page.tags.count("figcaption")
    assert page.values("svg", "role") == ["img"] * pictures
    for alt in page.values("svg", "aria-label"):
        assert alt.endswith(".")
    assert re.search(r"2\.00 times\s+the speed of the reference", page.text)
    assert "0.500 ×, slower" in page.text
    assert "▼ 0.500" in page.text


def test_charts_take_their_colours_from_the_style_sheet() -> None:
    text = report.as_html(loaded(full_run()))
    style = text[text.index("<style>") : text.index("</style>")]
    used = set(re.findall(r"var\((--[a-z]+)\)", text))
    assert {"--fastseq", "--reference", "--torch", "--ink", "--grid"} <= used
    for name in used:
        assert style.count(f"{name}:") == 3  # light, dark, print
    for picture in re.findall("<svg.*?</svg>", text, re.DOTALL):
        assert not re.search("#[0-9a-f]{6}", picture)


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ({"backend": "peak"}, {"peak"}),
        ({"backend": "torch"}, {"speedup-torch"}),
        ({"backend": "reference"}, {"speedup-reference"}),
        ({"isa": "avx2"}, set()),
        ({"threads": 2}, set()),
        ({"threads": 1}, {"import"}),
        ({"kind": "scaling"}, {"scaling"}),
        ({"kind": "import"}, {"import"}),
        ({"kind": "step"}, {"peak", "speedup-torch", "isa"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else " ".join(sorted(value)) or "none",
)
def test_sections_without_content_disappear(missing: dict[str, Any], gone: set[str]) -> None:
    run = full_run()
    [(name, value)] = missing.items()
    run["benchmarks"] = [
        each for each in run["benchmarks"] if each["extra_info"].get(name) != value
    ]
    page = Page(report.as_html(loaded(run)))
    assert page.values("section", "id") == [name for name in SECTIONS if name not in gone]
    headings = {"isa": "Instruction sets", "scaling": "Scaling", "import": "Import time"}
    others = [heading for name, heading in headings.items() if name not in gone]
    found = re.findall("^## (.*)$", report.as_markdown(loaded(run)), re.MULTILINE)
    assert found == ["Time", *others, "Peak memory", "Machine"]


def test_the_smallest_run_is_a_page_and_a_table() -> None:
    run = run_of(entry("lstm", "fastseq", [0.5], isa=None, operations=None, peak_bytes=None))
    run["machine_info"]["fastseq"] = {}
    del run["commit_info"], run["datetime"]
    assert "Model of lstm, N128" in report.as_markdown(loaded(run))
    assert "500 ms" in Page(report.as_html(loaded(run))).text


def test_a_run_without_fastseq_says_so() -> None:
    run = run_of(entry("lstm", "torch", [0.5]))
    assert "No workload of fastseq was measured" in report.as_markdown(loaded(run))
    assert "No workload of fastseq was measured" in Page(report.as_html(loaded(run))).text


def test_names_are_shown_as_they_are() -> None:
    run = full_run()
    for each in run["benchmarks"]:
        each["extra_info"] |= {"workload": HOSTILE, "title": HOSTILE}
    run["machine_info"]["fastseq"] |= {"cpu": HOSTILE, "skipped": {HOSTILE: HOSTILE}}
    run["benchmarks"].append(copy.deepcopy(run["benchmarks"][0]))
    run["benchmarks"][-1]["extra_info"]["backend"] = HOSTILE
    comparison = report.compare(loaded(run), loaded(run))
    text = report.as_html(loaded(run), comparison)
    assert "script" not in Page(text).tags
    assert Page(text).text.count(HOSTILE) > 10
    pictures = re.findall("<svg.*?</svg>", text, re.DOTALL)
    assert Page("".join(pictures)).text.count(HOSTILE) >= len(pictures)
    markdown = report.as_markdown(loaded(run), comparison)
    assert "\\<script\\>" in markdown
    assert re.search(r"(?<!\\)<script", markdown) is None
    tables = [part.splitlines() for part in markdown.split("\n\n") if part[:1] == "|"]
    assert len(tables) == 5  # times, instruction sets, scaling, imports, memory
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def browser() -> str | None:
    """A Chromium that starts: in some distributions it is only a stub that recommends another."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    own = (Path.home() / ".cache/ms-playwright").glob("chromium*/chrome-*/chrome*")
    for program in [*filter(None, map(shutil.which, names)), *map(str, own)]:
        try:
            subprocess.run([program, "--version"], capture_output=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return program
    return None


FRAMES = """\
<!DOCTYPE html><body style="margin:0;display:flex">
<iframe src="report.html" style="border:0;width:360px;height:1500px"></iframe>
<iframe src="report.html" style="border:0;width:1200px;height:1500px"></iframe>
<iframe src="wide.html" style="border:0;width:360px;height:1500px"></iframe>
<script>
addEventListener("load", () => {
  const widths = Array.from(frames, frame => frame.document.scrollingElement.scrollWidth);
  document.body.dataset.widths = widths;
});
</script>
"""


def test_a_browser_shows_the_page_without_scrolling_sideways(tmp_path: Path) -> None:
    """A frame of each width, as no window is as narrow as a phone; the last page is too wide."""
    image = pytest.importorskip("matplotlib.image")
    program = browser()
    if program is None:
        pytest.skip("there is no Chromium that starts")
    run = full_run()
    for each in run["benchmarks"]:
        each["extra_info"]["workload"] += "-of-a-name-that-goes-on-and-on-and-on"
        each["extra_info"]["title"] += ", and a title that says more than there is room for" * 2
    run["machine_info"]["fastseq"]["compiler"] = "x" * 300
    report.write_html(loaded(run), tmp_path / "report.html")
    (tmp_path / "wide.html").write_text('<!DOCTYPE html><div style="width: 900px">wide</div>')
    (tmp_path / "frames.html").write_text(FRAMES)
    command = [
        program,
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--allow-file-access-from-files", "--force-device-scale-factor=1"),
        *("--window-size=1920,1500", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--blink-settings=preferredColorScheme=1", "--no-first-run"),
    ]
    address = (tmp_path / "frames.html").as_uri()
    picture = tmp_path / "frames.png"
    dump = subprocess.run(
        [*command, "--dump-dom", address], capture_output=True, text=True, timeout=60, check=True
    )
    widths = re.search('data-widths="([0-9,]+)"', dump.stdout)
    assert widths is not None
    phone, desk, wide = map(int, widths[1].split(","))
    assert (phone, desk) == (360, 1200)
    assert wide > 360

    subprocess.run(
        [*command, f"--screenshot={picture}", address], capture_output=True, timeout=60, check=True
    )
    pixels = image.imread(picture)[..., :3]
    assert pixels.shape == (1500, 1920, 3)
    for shown in (pixels[:, :360], pixels[:, 360:1560]):
        colors = {tuple(color) for color in shown.reshape(-1, 3).tolist()}
        ink = (shown.min(axis=2) < 0.9).mean()
        assert len(colors) > 100
        assert 0.01 < ink < 0.5
