"""docs/serve.md: its requests have the answers that it shows, and its lists are complete."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fastseq import Transducer
from fastseq.data import dates
from fastseq.serve.limits import Limits
from fastseq.serve.model import Model
from fastseq.serve.query import FIELDS
from support.processes import without_preloaded
from support.serve.client import Client, serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8000/"
REQUESTS = [
    line
    for block in re.findall("^```sh\n(.*?)^```", PAGE, re.M | re.S)
    for line in block.splitlines()
]
# A request with the answer below it.
SHOWN = re.findall("^```sh\n(curl [^\n]*)\n```\n\n```json\n(.*?)\n```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of a model that has learnt some dates by heart."""
    pairs = [("september 27, 1994", "1994-09-27"), ("8/10/93", "1993-08-10")]
    pairs += dates.generate(20, seed=0)
    model = Transducer(hidden_size=64, epochs=80, learning_rate=0.01, dropout=0.0, averaging=0.0)
    model.fit(*zip(*pairs, strict=True), validation=None)
    assert model.predict([pairs[0][0]]) == [pairs[0][1]]
    with serving([Model("dates", model)]) as client:
        yield client


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("line", REQUESTS, ids=lambda line: line[:60])
def test_a_request_is_answered(dated: Client, line: str) -> None:
    words = [word.replace(ADDRESS, dated.url) for word in shlex.split(line)]
    assert words != shlex.split(line)
    if words[1] == "--json":  # which curl has from 7.82 on
        words[1:2] = ["-H", "Content-Type: application/json", "-d"]
    words.append("-sS")
    done = subprocess.run(
        words, env=without_preloaded(), capture_output=True, encoding="utf-8", check=True
    )
    for request, answer in SHOWN:
        if request == line:
            assert done.stdout == answer
            return
    assert '"error"' not in done.stdout


def test_there_are_requests() -> None:
    assert len(SHOWN) == 2
    assert len(REQUESTS) == 7


def test_the_page_has_every_field_status_and_limit() -> None:
    table = re.findall(r"^\| (`.*?) \|", PAGE, re.M)
    assert re.findall(r"`(\w+)`", " ".join(table)) == list(FIELDS)
    statuses = {
        status for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.M) for status in row.split(", ")
    }
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "fastseq" / "serve").glob("*.py"))
    assert set(re.findall(r"(?:Refused\(|status=)(\d{3})", sources)) <= statuses
    options = {
        name: float(value) for name, value in re.findall(r"`--(?:max-)?([a-z]+) (\d+)`", PAGE)
    }
    defaults = {**dataclasses.asdict(Limits()), "timeout": Limits().seconds}
    del defaults["seconds"]
    assert {name: options[name] for name in defaults} == defaults


def test_the_page_names_every_metric(dated: Client) -> None:
    names = re.findall("^# TYPE (\\w+)", dated.get("/metrics").body.decode(), re.M)
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_answers_of_the_page_are_json() -> None:
    for _, answer in SHOWN:
        json.loads(answer)


def test_the_picture_is_small() -> None:
    picture = (ROOT / "docs" / "images" / "serve.png").read_bytes()
    assert len(picture) < 200_000
    width, height = struct.unpack(">II", picture[16:24])
    assert 600 <= width <= 1600
    assert height > 400
