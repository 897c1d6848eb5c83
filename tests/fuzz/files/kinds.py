"""The kinds of files: how each is changed, and how it is read."""

import importlib.util
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .changes import Change, changed_bytes, changed_entry, changed_header, changed_json
from .pickles import changed_pickle, hostile_pickle
from .samples import TRAINING
from .texts import hostile_pairs, hostile_toml

Read = Callable[[Path, Path], "int | None"]


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes
    ----------
    folder : str
        Of the samples.
    changes : sequence of Change
        One of which makes a case of a sample.
    read : sequence of callable
        One of which reads the changed file: functions of it and of the folder of the samples, which
        return the exit status of a command, or None if they call functions of Python.
    """

    folder: str
    changes: Sequence[Change]
    read: Sequence[Read]


def _command(*words: str) -> Read:
    """Make a call of the command line, in which FILE, OUT and the samples' names are replaced."""

    def read(path: Path, samples: Path) -> int:
        from fastseq.cli import main

        places = {
            "FILE": path,
            "FOLDER": path.parent,
            "OUT": path.parent / "out",
            "PAIRS": samples / "pairs.tsv",
        }
        return main([str(places.get(word, word)) for word in words])

    return read


def _load_parameters(path: Path, samples: Path) -> None:
    from support.models.parameter_files import Two

    Two().load_params(path)


def _interop(name: str) -> Read:
    """Make a call of a function of `fastseq.interop`."""

    def read(path: Path, samples: Path) -> None:
        from fastseq import interop

        getattr(interop, name)(path)

    return read


def _read_pairs(path: Path, samples: Path) -> None:
    """Read a file of pairs to its symbols, as training does first."""
    from fastseq.transducer.data.forms import choose_forms
    from fastseq.transducer.data.lexicon import read_lexicon
    from fastseq.transducer.data.tsv import read_pairs
    from fastseq.transducer.data.vocabulary import Vocabulary
    from support.transducer.tiny_transducer import tiny_transducer

    found = read_lexicon(str(path)) if path.suffix == ".dict" else read_pairs(str(path))
    params = tiny_transducer().get_params()
    forms = choose_forms(found.sources, found.targets, params, 0)
    for form, texts in zip(forms, (found.sources, found.targets), strict=True):
        Vocabulary.build(texts, form)


def _train_stored(path: Path, samples: Path) -> int:
    """Train on a store; the changed file is in the folder of its name."""
    folder = path.parent
    [place] = (samples / "store" / "cache").iterdir()
    shutil.copytree(samples / "store", folder, dirs_exist_ok=True)
    shutil.move(path, folder / "cache" / place.name / path.name)
    arguments = ["train", str(folder / "parts"), "-o", "OUT", "--cache", str(folder / "cache")]
    return _command(*arguments, *TRAINING)(path, samples) or 0


def _changed_store(rng: random.Random, content: bytes) -> bytes:
    return changed_json(rng, content) if content[:1] == b"{" else changed_bytes(rng, content)


def _changed_onnx(rng: random.Random, content: bytes) -> bytes:
    """An ONNX graph with other sizes, names and places of data."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice((1, 1, 2))):
        tensor, node = rng.choice(model.graph.initializer), rng.choice(model.graph.node)
        match rng.randrange(6):
            case 0:
                tensor.dims[:] = rng.choice(([-1], [2**40], [2**62, 4], [], [0], [1] * 3000))
            case 1:
                tensor.data_location = onnx.TensorProto.EXTERNAL
                places = ("../canary", "/etc/passwd", "/dev/zero", "", "FILE", "a\0b", "x" * 5000)
                tensor.external_data.add(key="location", value=rng.choice(places))
                tensor.external_data.add(key="length", value=rng.choice(("-1", "x", "9" * 30)))
            case 2:
                tensor.data_type = rng.choice((0, 1, 2, 7, 8, 10, 11, 16, 99))
            case 3:
                tensor.name = node.name = rng.choice(("", "\0", "a" * 9000, node.name))
            case 4:
                node.op_type = rng.choice(("LSTM", "GRU", "RNN", "If", "Loop", ""))
                node.input.extend([rng.choice(("", "nothing", *node.input))] * 3)
            case 5:
                del node.input[rng.randrange(len(node.input) + 1) :]
                del node.attribute[rng.randrange(len(node.attribute) + 1) :]
    return model.SerializeToString()


_PREDICT = _command("predict", "FILE", "abc", "caf\u00e9")
_CONVERT = _command("convert", "FILE", "-o", "OUT")
_SAFETENSORS = (changed_header, changed_header, changed_bytes)
_RESUME = _command(
    *("train", "PAIRS", "-o", "OUT", "--checkpoint", "FOLDER", "--resume", *TRAINING)
)
_REPORTS = [
    _command("report", "FILE", "--format", name, *more)
    for name, more in (("markdown", ()), ("html", ("-o", "OUT")), ("json", ()))
]

KINDS = {
    "model": Kind("model", _SAFETENSORS, [_PREDICT, _PREDICT, _command("info", "FILE"), _CONVERT]),
    "ensemble": Kind("ensemble", _SAFETENSORS, [_PREDICT]),
    "checkpoint": Kind("checkpoint", _SAFETENSORS, [_RESUME]),
    "store": Kind("store/cache", (_changed_store,), [_train_stored]),
    "pickle": Kind("pickle", (changed_pickle, hostile_pickle, changed_bytes), [_load_parameters]),
    "npz": Kind("npz", (changed_entry(changed_bytes), changed_bytes), [_load_parameters]),
    "weights": Kind("weights", (changed_bytes,), [_load_parameters]),
    "tsv": Kind("tsv", (hostile_pairs, hostile_pairs, changed_bytes), [_read_pairs]),
    "lexicon": Kind("lexicon", (hostile_pairs, changed_bytes), [_read_pairs]),
    "toml": Kind(
        "toml",
        (hostile_toml, hostile_toml, changed_bytes),
        [_command("train", "--print-config", "--config", "FILE")],
    ),
    "report": Kind("report", (changed_json, changed_json, changed_bytes), _REPORTS),
    "pt": Kind(
        "pt", (changed_entry(changed_pickle), changed_bytes), [_CONVERT, _interop("load_pt")]
    ),
    "keras": Kind("keras", (changed_entry(changed_bytes), changed_bytes), [_interop("from_keras")]),
    "h5": Kind("h5", (changed_bytes,), [_interop("from_keras")]),
    "onnx": Kind("onnx", (_changed_onnx, changed_bytes), [_CONVERT]),
}
NEEDED = {"onnx": "onnx", "h5": "h5py", "keras": "h5py"}


def available() -> dict[str, Kind]:
    """The kinds whose packages are installed."""
    return {
        name: kind
        for name, kind in KINDS.items()
        if name not in NEEDED or importlib.util.find_spec(NEEDED[name])
    }
