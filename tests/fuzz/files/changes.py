"""Changes of bytes, of JSON, and of the entries of zip archives."""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

LARGEST = 900_000  # bytes of a file
Change = Callable[[random.Random, bytes], bytes]

NUMBERS = [
    *(b"\xff" * 4, b"\xff" * 8, b"\0" * 4, b"\0" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80"),
    *((2**n).to_bytes(8, "little") for n in (16, 24, 31, 32, 40, 62, 63)),
    *(b"9" * 20, b"-1", b"1e999", b"NaN"),
]


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """Some bytes changed, removed, repeated or added, or the end cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at, length = rng.randrange(len(changed) + 1), rng.randrange(1, 20)
        match rng.randrange(9):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes(
                    b ^ 1 << rng.randrange(8) for b in changed[at : at + 1]
                )
            case 2:
                number = rng.choice(NUMBERS)
                changed[at : at + len(number)] = number
            case 3:
                changed[at:at] = rng.randbytes(length)
            case 4:
                del changed[at : at + length]
            case 5:
                start = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[start : start + rng.choice((length, 20 * length))]
            case 6 if rng.random() < 0.3:
                del changed[at:]
            case 7 if rng.random() < 0.1:
                part = changed[at : at + length]
                times = rng.choice((100, 1000, LARGEST // max(len(part), 1)))
                changed[at:at] = part * min(times, (LARGEST - len(changed)) // max(len(part), 1))
            case 8:
                start = rng.randrange(len(changed) + 1)
                part = changed[start : start + length]
                changed[at : at + len(part)] = part
    return bytes(changed[:LARGEST])


# ---- JSON ----


def _nested(depth: int, opening: str, closing: str) -> Any:
    return Raw(opening * depth + "1" + closing * depth)


class Raw(str):
    """Text that stands for itself in JSON."""


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, -(2**63), 10**30, 1e308, 1e-320, "", "x"),
    *([], {}, [[]], [None], {"": None}, "\0", "\u001b[2J", "a" * 5000, ["a"] * 3000, [0] * 70),
    *(Raw("NaN"), Raw("Infinity"), Raw("1e999"), Raw('"\\ud800"'), Raw("1" * 5000), Raw("[1,")),
    *(_nested(500, "[", "]"), _nested(30_000, "[", "]"), _nested(30_000, '{"a":', "}")),
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that is in a document, and to the document."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(place for key, each in items for place in _places(each, (*path, key)))]


def _dumped(document: Any) -> str:
    """The document as JSON, with raw texts as they are."""
    raw: list[Raw] = []

    def marked(value: Any) -> Any:
        if isinstance(value, Raw):
            raw.append(value)
            return f"raw {len(raw) - 1} raw"
        if isinstance(value, dict):
            return {key: marked(each) for key, each in value.items()}
        return [marked(each) for each in value] if isinstance(value, list) else value

    text = json.dumps(marked(document))
    for number, each in enumerate(raw):
        text = text.replace(f'"raw {number} raw"', each)
    return text


def changed_json(rng: random.Random, content: bytes) -> bytes:
    """Some values of a document replaced, removed or moved."""
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = _places(document)
        path = rng.choice(places)
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        match rng.randrange(5):
            case 0 | 1:
                parent[path[-1]] = rng.choice(VALUES)
            case 2:
                del parent[path[-1]]
            case 3:
                value = document
                for key in rng.choice(places):
                    value = value[key]
                parent[path[-1]] = json.loads(json.dumps(value))
            case 4:
                value = parent[path[-1]]
                if isinstance(value, int | float) and not isinstance(value, bool):
                    parent[path[-1]] = rng.choice((-value, value + 1, value * 1000, str(value)))
                elif isinstance(value, list):
                    parent[path[-1]] = rng.choice((value * 2, value[::-1], value[1:]))
                elif isinstance(value, str):
                    parent[path[-1]] = rng.choice((value * 2, value[1:], value.upper()))
        if any(isinstance(each, Raw) for each in _leaves(document)):
            break  # what is nested more deeply than Python recurses is not gone through again
    return _dumped(document).encode("utf-8", "surrogatepass")


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return (
        [leaf for each in value for leaf in _leaves(each)] if isinstance(value, list) else [value]
    )


def changed_header(rng: random.Random, content: bytes) -> bytes:
    """A safetensors file with another header, or another document in it; the lengths are right."""
    length = int.from_bytes(content[:8], "little")
    text, arrays = content[8 : 8 + length], content[8 + length :]
    header = json.loads(text)
    document = header.get("__metadata__", {}).get("fastseq")
    if document is not None and rng.random() < 0.7:
        changed = changed_json(rng, document.encode()).decode("utf-8", "replace")
        header["__metadata__"]["fastseq"] = changed
        text = json.dumps(header).encode()
    else:
        text = changed_json(rng, text)
    return len(text).to_bytes(8, "little") + text + arrays


# ---- zip archives ----


def changed_entry(change: Change) -> Change:
    """Make a change of an archive's entry out of one of its content; checksums are right."""

    def change_entry(rng: random.Random, content: bytes) -> bytes:
        file = io.BytesIO()
        packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with (
            zipfile.ZipFile(io.BytesIO(content)) as old,
            zipfile.ZipFile(file, "w", packing) as new,
        ):
            chosen = rng.choice(old.namelist())
            for name in old.namelist():
                raw = old.read(name)
                if name == chosen:
                    match rng.randrange(8):
                        case 0:
                            raw = bytes(rng.choice((0, 50_000_000)))
                        case 1:
                            name = rng.choice(("../canary", "/tmp/canary", name * 2, "a" * 9000))
                        case _:
                            raw = _changed(rng, change, name, raw)
                new.writestr(name, raw)
        return file.getvalue()

    return change_entry


def _changed(rng: random.Random, change: Change, name: str, raw: bytes) -> bytes:
    if name.endswith(".json"):
        return changed_json(rng, raw)
    return change(rng, raw) if name.endswith(".pkl") else changed_bytes(rng, raw)
