"""Pages: ``page.html`` with its style, and the parts that reports are made of.

Every function takes text and returns HTML; arguments that are HTML already are said to be.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template


def page(
    title: str, headline: str, summary: str, sections: Iterable[str], style: str | None = None
) -> str:
    """The whole page.

    Parameters
    ----------
    title : str
    headline : str
        HTML; what matters most in it is ``strong``.
    summary : str
    sections : iterable of str
        HTML; those without content are left out.
    style : str, optional
        HTML: what the head has for the style. By default the style itself, so that the page needs
        nothing else.
    """
    if style is None:
        style = f"<style>\n{style_sheet()}</style>"
    skeleton = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    return skeleton.substitute(
        style=style,
        title=escape(title),
        headline=headline,
        summary=escape(summary),
        sections="\n".join(section for section in sections if section),
    )


def style_sheet() -> str:
    """The style of all pages."""
    return files(__package__).joinpath("style.css").read_text("utf-8")


def section(name: str, title: str, explanation: str, *content: str) -> str:
    """A section; `explanation` and `content` are HTML."""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{escape(title)}</h2>\n<p>{explanation}</p>\n'
        + "\n".join(content)
        + "\n</section>"
    )


def table(caption: str, columns: Iterable[str], bodies: Iterable[str], kind: str = "wide") -> str:
    """A table in a box that scrolls horizontally where it is wider than the page.

    `bodies` are HTML, made by `body`; `kind` is a class of the style sheet.
    """
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">\n'
        f'<table class="{kind}">\n'
        f"<thead><tr>{head}</tr></thead>\n" + "\n".join(bodies) + "\n</table>\n</div>"
    )


def body(name: str, lines: Iterable[str]) -> str:
    """A part of a table, of a class of the style sheet; `lines` are HTML."""
    return f'<tbody class="{name}">{"".join(lines)}</tbody>'


def row(label: str, cells: Iterable[str], columns: Iterable[str]) -> str:
    """A line of a table: cells, which are HTML, with their columns for narrow screens."""
    filled = "".join(
        f'<td data-column="{escape(column)}"><span>{cell}</span></td>'
        for cell, column in zip(cells, columns, strict=True)
    )
    return f'<tr><th scope="row">{escape(label)}</th>{filled}</tr>'


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, a line each."""
    content = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows
    )
    return f"<dl>\n{content}\n</dl>"
