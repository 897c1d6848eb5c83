"""``fastseq serve``: trained models over HTTP."""

from __future__ import annotations

import argparse
import os
import signal
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK, say, show
from fastseq.cli.parser import positive_number, utf8_text, whole_number
from fastseq.cli.predict import load_all

if TYPE_CHECKING:
    from fastseq.serve.limits import Limits
    from fastseq.serve.model import Model

_DESCRIPTION = """\
Answer requests over HTTP, in JSON, and show a page to try a model at /. Paths: POST /v1/predict,
GET /v1/models, /health, /metrics. Without --host only this machine is answered: there is no
password and no encryption, which are a proxy's. SIGTERM and Ctrl-C end the server once all that
it has accepted is answered. It needs the extra serve: pip install "fastseq-kernels[serve]".
"""
_EXAMPLES = """\
examples:
  fastseq serve words.safetensors
  fastseq serve dates.safetensors en=english.safetensors --port 8080
  fastseq serve words.safetensors --host 0.0.0.0 --threads 2
"""
# The defaults are those of fastseq.serve.limits.Limits.
_LIMITS = (
    ("body", "BYTES", "the largest request"),
    ("texts", "N", "the most texts of a request"),
    ("text", "N", "the most characters of a text"),
    ("beam", "N", "the largest beam"),
    ("queue", "N", "the most texts that wait, of all requests; more are refused"),
    ("requests", "N", "the most requests at a time; more are refused"),
)


def add_parser(commands: Any) -> None:
    """Describe the command."""
    from fastseq.serve.limits import Limits

    parser = commands.add_parser(
        "serve",
        help="answers over HTTP, and a page to try a model",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "models",
        nargs="+",
        type=utf8_text,
        metavar="MODEL",
        help="what fastseq train has saved: FILE, which is called as the file without its suffix, "
        "or NAME=FILE; the first answers where a request names none",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine only; 0.0.0.0 is everywhere)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8000,
        metavar="N",
        help="default: 8000; 0 takes a free one",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that requests may call this server by, as a proxy passes it on; may be "
        "repeated. Only for this machine's own addresses, where all names but localhost are "
        "refused otherwise",
    )
    parser.add_threads()
    limits = parser.add_argument_group("limits")
    defaults = Limits()
    for name, metavar, explanation in _LIMITS:
        default = getattr(defaults, name)
        limits.add_argument(
            f"--max-{name}",
            type=whole_number(1),
            default=default,
            metavar=metavar,
            help=f"{explanation} (default: {default:,})",
        )
    limits.add_argument(
        "--timeout",
        type=positive_number,
        default=defaults.seconds,
        metavar="SECONDS",
        help="for a request to be read, and again for it to be answered "
        f"(default: {defaults.seconds:g})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the models, and answer until a signal comes."""
    try:
        from fastseq.serve.app import create
        from fastseq.serve.server import Server, is_loopback, listen, url_of
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("starlette", "uvicorn"):
            raise
        raise ImportError(
            f'fastseq serve needs {package}: pip install "fastseq-kernels[serve]"'
        ) from None
    limits = _limits(arguments)
    named = _named(arguments)
    models = list(_models(named, arguments.threads))
    with listen(arguments.host, arguments.port) as sock:
        hosts = {"localhost", *map(str.lower, arguments.allow_host)} if is_loopback(sock) else None
        report = traceback.print_exception if hasattr(arguments, "debug") else _report
        server = Server(create(models, limits, hosts, report), limits)
        signal.signal(signal.SIGTERM, lambda *_: None)  # which the server has seen to, when it ends
        show(f"serving {', '.join(named)} at {url_of(sock)}")
        server.run([sock])
    return EXIT_OK


def _limits(arguments: argparse.Namespace) -> Limits:
    from fastseq.serve.limits import Limits

    given = {name: getattr(arguments, f"max_{name}") for name, *_ in _LIMITS}
    if given["texts"] > given["queue"]:
        arguments.usage_error(
            f"--max-queue: expected at least --max-texts = {given['texts']}, got {given['queue']}"
        )
    return Limits(**given, seconds=arguments.timeout)


def _named(arguments: argparse.Namespace) -> dict[str, str]:
    """The files of the models, by name."""
    named: dict[str, str] = {}
    for text in arguments.models:
        name, equals, path = text.partition("=")
        if not equals or os.path.exists(text):
            path = text
            name = os.path.basename(path).removesuffix(".safetensors")
        if not name or not path:
            arguments.usage_error(f"MODEL: expected FILE or NAME=FILE, got {text!r}")
        if name in named:
            arguments.usage_error(
                f"MODEL: expected different names, got {name!r} twice (NAME=FILE gives another)"
            )
        named[name] = path
    return named


def _models(named: dict[str, str], threads: int | None) -> Iterable[Model]:
    from fastseq.serve.model import Model

    for name, path in named.items():
        one = argparse.Namespace(model=path, more_models=[], threads=threads)
        yield Model(name, load_all(one))


def _report(error: Exception) -> None:
    """Print in one line why a request failed; its client is not told."""
    say(f"error: 500: {type(error).__name__}: {' '.join(str(error).split())} (--debug shows where)")
