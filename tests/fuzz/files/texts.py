"""Texts: TOML of the hyperparameters, and pairs, with hostile values."""

import random

from .changes import LARGEST, changed_bytes

_NAMES = ["hidden_size", "epochs", "cell", "columns", "dropout", "learning_rate", "none", '""', "a"]
_VALUES = [
    *("1", "-1", "0", "1.5", "nan", "inf", "-inf", "1e999", "0x10", "1_0", "9" * 30, "9" * 5000),
    *(
        "true",
        '"auto"',
        '"none"',
        "''",
        '"\\u0000"',
        '"\\ud800"',
        '"' + "a" * 5000 + '"',
        "[]",
        "{}",
    ),
    *("[1, 2", '"""', "'''\na\n'''", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[[[]]]"),
]
# What a reader may go through more than once, in lines of any length.
_REPEATED = [
    *("a.", "[", "[[", "{a=", "[a.b]\n", "[[a]]\n", "a.b = 1\n", "a = [", '"', "\\u0041", "#", " "),
    *("a=1\n", "[a]\n", "\n", "1,", "'", "\t", "\r\n", "a.b={c=1}\n"),
]


def hostile_toml(rng: random.Random, content: bytes) -> bytes:
    """Lines of hyperparameters with other names and values, and parts of the grammar repeated."""
    lines = content.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines) + 1)
        match rng.randrange(4):
            case 0:
                lines.insert(at, f"{rng.choice(_NAMES)} = {rng.choice(_VALUES)}")
            case 1:
                value = rng.choice(_VALUES)
                for _ in range(rng.choice((1, 10, 2000))):
                    value = f"[{value}]" if rng.random() < 0.5 else f"{{a = {value}}}"
                    if len(value) > 20_000:
                        break
                lines.insert(at, f"{rng.choice(_NAMES)} = {value}")
            case 2:
                part = rng.choice(_REPEATED)
                times = rng.choice((10, 1000, 20_000, LARGEST // len(part)))
                lines.insert(at, part * times + rng.choice(("", "a = 1", "a]", " = 1")))
            case 3:
                lines = changed_bytes(rng, "\n".join(lines).encode()).decode("utf-8", "replace")
                lines = lines.splitlines() or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")[:LARGEST]


_MARKS = ["\u0315\u0300\u0327", "\u0323\u0301", "\u0345\u0334", "\u05b0\u05b1", "\u3099\u0300"]
_PIECES = [
    *(
        "\t",
        "\t\t",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "\ufeff",
        "\x1b[2J",
        "\u2028",
        "\x0b",
        "\x1c",
        "\x85",
    ),
    *(" ", "\u00a0", "\u3000", "\u200d", "\ufffe", "\U0010ffff", "\ufdfa", "\u0130", "\uac00", "ﬃ"),
    *("\u1100\u1161\u11a8", "e\u0301", *_MARKS, "N;PL", ";;;", "#", "(2)", "1e999", "nan", "-1"),
]
_BYTES = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xff\xfe", b"\0"]


def hostile_pairs(rng: random.Random, content: bytes) -> bytes:
    """Pairs with other characters in them, some of them very often."""
    text = content.decode()
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(_PIECES)
        times = rng.choice((1, 1, 1, 100, 5000, 300_000 // len(piece.encode())))
        text = text[:at] + piece * times + text[at:]
    raw = text.encode("utf-8", "surrogatepass")[:LARGEST]
    match rng.randrange(6):
        case 0:
            at = rng.randrange(len(raw) + 1)
            return raw[:at] + rng.choice(_BYTES) + raw[at:]
        case 1:
            return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")), "surrogatepass")
        case 2:
            return changed_bytes(rng, raw)
    return raw
