"""The page for people: a form, and a script that shows answers as one types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files as package_files
from string import Template

from fastseq.page import page, section, style_sheet
from fastseq.serve.limits import Limits
from fastseq.serve.model import Model

_FIRST_BEAM = 5


def files(models: Sequence[Model], limits: Limits) -> dict[str, tuple[bytes, str]]:
    """Content and media type of all that the page is made of, by path."""
    static = package_files(__package__).joinpath("static")
    return {
        "/": (_html(models, limits).encode("utf-8", "replace"), "text/html"),
        "/style.css": (style_sheet().encode(), "text/css"),
        "/serve.css": (static.joinpath("serve.css").read_bytes(), "text/css"),
        "/serve.js": (static.joinpath("serve.js").read_bytes(), "text/javascript"),
    }


def _html(models: Sequence[Model], limits: Limits) -> str:
    links = (
        '<link rel="icon" href="data:,">\n'
        '<link rel="stylesheet" href="style.css">\n'
        '<link rel="stylesheet" href="serve.css">\n'
        '<script src="serve.js" defer></script>'
    )
    sections = [
        section("question", "Text", "The answer comes as you type.", _form(models, limits)),
        section("alternatives", "Alternatives", "The most probable answers.", _ALTERNATIVES),
        section("attention", "Attention", _EXPLANATION, _MAP),
    ]
    names = ", ".join(model.name for model in models)
    return page("fastseq serve", "Type a text, see the answer", f"Serving {names}", sections, links)


def _form(models: Sequence[Model], limits: Limits) -> str:
    options = "".join(
        f'<option value="{escape(model.name)}"'
        f' data-columns="{escape(json.dumps(model.source_columns))}"'
        f' data-attention="{json.dumps(model.has_attention)}">{escape(model.name)}</option>'
        for model in models
    )
    return _FORM.substitute(
        options=options,
        only_one="hidden" if len(models) == 1 else "",
        longest=limits.text,
        most=limits.beam,
        beam=min(_FIRST_BEAM, limits.beam),
    )


_FORM = Template("""\
<form id="form" autocomplete="off" novalidate>
<div id="columns" data-longest="$longest"></div>
<div class="field" $only_one><label for="model">model</label>
<select id="model">$options</select></div>
<div class="field"><label for="beam">alternatives</label>
<input id="beam" type="number" min="1" max="$most" value="$beam"></div>
<button>Answer</button>
</form>
<p class="answer">
<output id="answer" form="form" aria-label="Answer" aria-atomic="true"></output>
</p>
<p id="status" role="status"></p>
<noscript>This page needs JavaScript. Programs send <code>POST /v1/predict</code>.</noscript>""")

_ALTERNATIVES = """\
<table class="plain" id="answers">
<thead><tr><th scope="col">answer</th><th scope="col">probability</th></tr></thead>
<tbody></tbody>
</table>"""

_EXPLANATION = (
    "Where the model looked in the text, from left to right, when it wrote each symbol of the "
    "answer, from top to bottom. Each row adds up to 100 %."
)
_MAP = """\
<p id="no-map" role="status" hidden></p>
<div id="map" class="scroll" tabindex="0" role="region" aria-labelledby="attention-title"></div>"""
