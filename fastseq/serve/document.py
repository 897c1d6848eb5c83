"""JSON as the server reads it: strict, so that each document has one meaning."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fastseq.serve.limits import Refused, shown

# An int of the interpreter takes time that grows with the square of its digits.
_MOST_DIGITS = 100


def parse(body: bytes) -> Any:
    """Read a JSON document.

    Raises
    ------
    Refused
        It is no JSON, or has what JSON parsers read in several ways: bytes that are not UTF-8, a
        name twice in an object, NaN or an infinity.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = body[error.start]
        message = f"body: expected UTF-8, got the byte 0x{byte:02x} at position {error.start}"
        raise Refused(400, message) from None
    if not text.strip():
        raise Refused(400, "body: expected a JSON object, got nothing")
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole_number
        )
    except RecursionError:
        raise Refused(400, "body: expected JSON, got values that are nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Refused(400, f"body: expected JSON, got none: {error.msg}, {place}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            message = f"body: expected each name once in an object, got {shown(name)} twice"
            raise Refused(400, message)
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise Refused(400, f"body: expected JSON, got {name}, which is no number of JSON")


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        message = f"body: expected numbers of at most {_MOST_DIGITS} digits, got {len(digits)}"
        raise Refused(400, message)
    return int(digits)
