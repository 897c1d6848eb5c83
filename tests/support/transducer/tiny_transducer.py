"""What the tests of the Transducer share: a few pairs, and a model that trains in no time."""

from pathlib import Path
from typing import Any

import numpy as np

from fastseq import Transducer

# one layer of everything, and dropout, so that both generators are in use; the final epochs have
# tests of their own
SMALL: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_size": 12,
    "epochs": 3,
    "final_epochs": 0,
    "batch_size": 8,
    "learning_rate": 0.01,
    "dropout": 0.1,
    "averaging": 0.5,
    "label_smoothing": 0.0,
}

OPTIONS = [
    word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))
]


def tiny_pairs(count: int = 60, seed: int = 0) -> tuple[list[str], list[str]]:
    """Words over six letters, and the same in capitals."""
    generator = np.random.default_rng(seed)
    words = [
        "".join(generator.choice(list("abcdef"), size=length))
        for length in generator.integers(1, 7, count)
    ]
    return words, [word.upper() for word in words]


def write_pairs(path: Path) -> Path:
    """Write the pairs to a file for `fastseq train`; gives its path back."""
    lines = [f"{source}\t{target}\n" for source, target in zip(*tiny_pairs(), strict=True)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def tiny_transducer(**changes: Any) -> Transducer:
    """A Transducer that is not trained."""
    return Transducer(**(SMALL | changes))


def weights(model: Transducer) -> bytes:
    """All bits of the weights, to compare."""
    return b"".join(param.tobytes() for param in model.network_.params.values())


def timeless(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A history without what depends on the machine's speed."""
    return [
        {k: v for k, v in logs.items() if k not in ("seconds", "words_per_second")}
        for logs in history
    ]
