"""``fastseq models``: the trained models that are installed."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from fastseq.cli import EXIT_OK, say

_DESCRIPTION = """\
List the trained models that are installed. A name from this list may stand wherever a command takes
a MODEL, and in Transducer.load, unless there is a file or folder of that name. Models come in
distributions such as fastseq-models, which `make models` builds; nothing is downloaded.
"""
_EXAMPLES = """\
examples:
  fastseq models
  fastseq models --json
  fastseq predict cmudict squirrel
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "models",
        help="the trained models that are installed, by name",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the descriptions say."""
    from fastseq.installed import installed

    listed: list[dict[str, Any]] = [
        {"name": name, **model.described()}
        | {
            "bytes": model.file.stat().st_size,
            "file": str(model.file),
            "version": f"{model.distribution} {model.version}",
        }
        for name, model in installed().items()
    ]
    if arguments.json:
        json.dump({"models": listed}, sys.stdout, indent=2, ensure_ascii=False)
        print()
        return EXIT_OK
    if not listed:
        say("no models are installed; `make models`, in a checkout, builds fastseq-models")
    for model in listed:
        print(f"{model.pop('name')}: {model.pop('description')}")
        model["size"] = f"{model.pop('bytes'):,} bytes"
        for name, value in model.items():
            if name != "file":
                print(f"  {name:10}{value}")
    return EXIT_OK
