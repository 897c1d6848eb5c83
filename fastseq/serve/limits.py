"""What a request may ask of the server at most, and the error of one that is refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Limits:
    """The most that is taken on.

    Attributes
    ----------
    body : int
        Bytes of a request.
    texts : int
        Texts of a request.
    text : int
        Characters of a text; and where attention is to be returned, of all texts of a request: a
        map has a number for each symbol of the text and each of the answer.
    beam : int
        Beginnings of an answer that are kept.
    queue : int
        Texts that wait for their answer, of all requests.
    requests : int
        Requests that are being read or answered.
    seconds : float
        Until the whole of a request is there; and then, until its answer is.
    """

    body: int = 2**20
    texts: int = 1000
    text: int = 1000
    beam: int = 32
    queue: int = 10_000
    requests: int = 256
    seconds: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """Name and value of each."""
        return asdict(self)


class Refused(Exception):
    """A request that is not answered.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        One line.
    field : str, optional
        Which part of the document is wrong.
    expected, got : str, optional
        What it is to be, and what it is.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self._parts = {"field": field, "expected": expected, "got": got}

    @classmethod
    def field(cls, field: str, expected: str, got: str, status: int = 422) -> Refused:
        """A field, or a header, is wrong."""
        message = f"{field}: expected {expected}, got {got}"
        return cls(status, message, field=field, expected=expected, got=got)

    def to_json(self) -> dict[str, Any]:
        """The body of the response."""
        parts = {name: part for name, part in self._parts.items() if part is not None}
        return {"error": {"status": self.status, "message": str(self)} | parts}


def shown(value: object) -> str:
    """A value of a document, short enough for a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_SHOWN:  # str() of it may take long
        return "a number of more than 60 digits"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
