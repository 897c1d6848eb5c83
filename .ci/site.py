"""Finds links of a built site that lead nowhere; `make docs` runs it.

    python .ci/site.py build/docs

Prints a line for each link to a file or an anchor that is not in the folder; the exit status is
then 1. Links to other hosts are not followed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag links to, and the name that it can be linked by."""
        for name, value in attrs:
            if name in ("href", "src") and value and not value.startswith(("data:", "mailto:")):
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(folder: Path) -> Iterator[tuple[Path, str]]:
    """The page and the link, for each that leads nowhere."""
    pages = {file.resolve(): Page(file) for file in sorted(folder.rglob("*.html"))}
    for file, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                yield file, link


def main(arguments: list[str]) -> int:
    """Print the broken links; the exit status."""
    folder = Path(arguments[0])
    count = len(list(folder.rglob("*.html")))
    found = 0
    for file, link in broken_links(folder):
        print(f"{file}: {link}: not in the site")
        found += 1
    print(f"site: {count} pages, {found} broken links")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
