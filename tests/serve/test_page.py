"""The page for people, in a browser: answers as one types, by keyboard and by screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fastseq.page import style_sheet
from support.serve.chromium import CHROMIUM, Browser, browser
from support.serve.client import Client

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
ANSWER = "document.querySelector('#answer').textContent"
STATUS = "document.querySelector('#status').textContent"
ROWS = "[...document.querySelectorAll('#answers tbody tr')]"
CELLS = "[...document.querySelectorAll('.map td[title]')]"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(window: Browser, client: Client) -> Browser:
    window.open(client.url)
    window.wait("document.activeElement.id == 'column-0'")
    window.events.clear()
    return window


def test_the_page_and_its_parts_come_from_here(client: Client) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    html = answer.body.decode()
    # what the policy forbids is not there either
    assert re.search(r"<style|<script>|\sstyle=|\son\w+=|https?:", html) is None
    links = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert links == ["data:,", "style.css", "serve.css", "serve.js"]
    for link in links[1:]:
        assert client.get(f"/{link}").status == 200
    assert client.get("/style.css").body.decode() == style_sheet()


def test_every_response_has_the_policy(client: Client) -> None:
    for answer in (client.get("/"), client.get("/x"), client.predict(text=1), client.post(b"")):
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"unsafe|\*|https?:", answer.headers["content-security-policy"])
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_names_are_text_in_the_page(transducer: object) -> None:
    from fastseq.serve.limits import Limits
    from fastseq.serve.model import Model
    from fastseq.serve.page import files

    html, _ = files([Model("<b>\"'&", transducer)], Limits())["/"]  # type: ignore[arg-type]
    assert b"<b>" not in html
    assert b"&lt;b&gt;&quot;&#x27;&amp;" in html


@needs_chromium
def test_an_answer_comes_as_one_types(page: Browser, client: Client) -> None:
    page.type("fade")
    page.wait(f"{ANSWER} == 'FADE'")
    fields = {"text": "fade", "beam": 5, "n_best": 5, "scores": True, "attention": True}
    [result] = client.predict(**fields).document["results"]
    texts = [answer["text"] for answer in result["answers"]]
    assert page.run(f"{ROWS}.map((row) => row.querySelector('th').textContent)") == texts
    shares = page.run(f"{ROWS}.map((row) => row.querySelector('td').textContent)")
    assert len(shares) == 5
    assert all(re.fullmatch(r"\d+\.\d+ %", share) for share in shares)
    weights = page.run(f"{CELLS}.map((cell) => cell.style.getPropertyValue('--weight'))")
    assert [float(weight) for weight in weights] == [
        weight for row in result["attention"]["weights"] for weight in row
    ]
    assert page.run(STATUS) == ""
    # several letters, at most a request for each, and only to this server
    requested = page.requested()
    assert 1 <= len(requested) <= 4
    assert set(requested) == {f"{client.url}v1/predict"}
    assert page.complaints() == []


@needs_chromium
def test_letters_in_quick_succession_are_one_request(page: Browser) -> None:
    page.run(
        "for (const text of ['f', 'fa', 'fad', 'fade']) {"
        " const input = document.querySelector('#column-0'); input.value = text;"
        " input.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    page.wait(f"{ANSWER} == 'FADE'")
    assert len(page.requested()) == 1


@needs_chromium
def test_the_page_is_used_by_keyboard(page: Browser) -> None:
    page.type("fade")
    order = []
    for _ in range(4):
        order.append(page.run("document.activeElement.id || document.activeElement.textContent"))
        page.press("Tab", 9)
    assert order == ["column-0", "model", "beam", "Answer"]
    page.wait(f"{ROWS}.length == 5")
    page.run("document.querySelector('#model').focus()")
    page.press("ArrowDown", 40)  # the next model
    page.wait("document.querySelector('#model').value == 'both'")
    page.wait(f"{ANSWER} != '' && !document.querySelector('#answer.old')")
    page.run("document.querySelector('#beam').select()")
    page.type("2")
    page.wait(f"{ROWS}.length == 2")
    page.run("document.querySelector('#column-0').select()")
    page.press("Delete", 46)
    page.wait(f"{ANSWER} == '' && document.querySelector('#alternatives').hidden")
    assert page.complaints() == []


@needs_chromium
def test_a_screen_reader_is_told_of_all(page: Browser) -> None:
    page.type("fa de")
    page.wait("document.querySelector('.map') !== null")
    roles = page.roles()
    for expected in (
        ("textbox", "text"),
        ("button", "Answer"),
        ("combobox", "model"),
        ("spinbutton", "alternatives"),
        ("status", "Answer"),
        ("heading", "Attention"),
        ("columnheader", "answer"),
        ("columnheader", "probability"),
        ("table", "Attention: symbols of the text in columns, those of the answer in rows"),
    ):
        assert expected in roles
    columns = [name for role, name in roles if role == "columnheader"][-6:]
    assert columns == ["f", "a", "space", "d", "e", "end"]
    assert [name for role, name in roles if role == "rowheader"][-1] == page.run(ANSWER)[-1]
    assert any(re.fullmatch(r"\d+ %", name) for role, name in roles if role == "cell")
    assert page.run("document.querySelector('#answer').getAttribute('aria-atomic')") == "true"
    unnamed = (
        "[...document.querySelectorAll('input, select')].filter((field) => !field.labels.length)"
    )
    assert page.run(f"{unnamed}.length") == 0


@needs_chromium
def test_unknown_symbols_and_errors_are_said(page: Browser) -> None:
    page.type("fax<b>")
    page.wait(f"{STATUS} == 'symbols that the training data did not have: x, <, >'")
    page.run("document.querySelector('#beam').value = 99")
    page.press("Enter", 13, "\r")  # sends at once, and does not leave the page
    page.wait(f"{STATUS} == 'alternatives: expected a whole number from 1 to 32'")
    assert page.run(ANSWER) == ""
    assert page.complaints() == []


@needs_chromium
def test_a_model_with_features_has_a_field_for_each_column(page: Browser) -> None:
    page.run(
        "const select = document.querySelector('#model'); select.value = 'features';"
        "for (const name of ['input', 'change'])"
        " select.dispatchEvent(new Event(name, { bubbles: true }));"
    )
    labels = "[...document.querySelectorAll('#columns label')].map((label) => label.textContent)"
    assert page.run(labels) == ["features", "text"]
    page.run("document.querySelector('#column-0').focus()")
    page.type("N;PL")
    page.press("Tab", 9)
    page.type("fade")
    page.wait(f"{ANSWER} != ''")
    page.wait("document.querySelector('#no-map').textContent == 'This model has no attention.'")
    assert page.complaints() == []


@needs_chromium
def test_a_map_scrolls_on_a_narrow_screen(page: Browser) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.send("Emulation.setDeviceMetricsOverride", **size)
    page.type("fade" * 5)
    page.wait("document.querySelectorAll('.map thead th').length == 21")
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run("document.querySelector('#map').scrollWidth > 390")
    page.send("Emulation.clearDeviceMetricsOverride")


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_legible(page: Browser, scheme: str) -> None:
    """The contrast of text is at least 4.5, as WCAG has it."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.send("Emulation.setEmulatedMedia", features=features)
    page.type("fadx")
    page.wait(f"{ANSWER} != ''")
    colours = {
        name: page.run(f"getComputedStyle(document.querySelector('{name}')).color")
        for name in ("h2", "#answer", "#status", "label", "#question > p", ".map thead th")
    }
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for name, colour in colours.items():
        high, low = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, as WCAG 2.2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
