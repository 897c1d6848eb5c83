"""Valid files of each kind, which the cases are made of."""

import contextlib
import io
import pickle
import shutil
import tempfile
from pathlib import Path

from support.interop.files import stored
from support.models.parameter_files import Two
from support.transducer.tiny_transducer import (
    OPTIONS,
    tiny_pairs,
    tiny_transducer,
    write_pairs,
)

OLD_RUN = Path(__file__).parents[2] / "bench" / "old_run.json"
NETWORKS = {
    "pt": ("network.pt", "tagger.pt"),
    "keras": ("keras2.keras", "keras3.keras"),
    "h5": ("keras2.h5", "keras3.h5"),
    "onnx": ("lstm.onnx", "gru_reset_after.onnx", "rnn.onnx", "exported_lstm.onnx"),
}
TRAINING = [*OPTIONS, "--epochs", "1", "--valid", "none"]
TSV = (
    "source\ttarget\nabc\tABC\n",
    "\ufeffcafé\tCAFÉ\r\nnaïve\tNAIVE\r\n",
    "a b c\tA B C\n",
    "가나다\tganada\n",
)
LEXICON = "HELLO  HH AH0 L OW1\nWORLD  W ER1 L D # comment\n;;; comment\n"


def write_samples(folder: Path) -> None:
    """Write the files of each kind in a folder of its own; pairs and a model beside them."""
    from fastseq import Ensemble
    from fastseq.cli.options import config_text

    pairs = tiny_pairs()
    write_pairs(folder / "pairs.tsv")
    for name in ("model", "ensemble", "pickle", "npz", "weights", "tsv", "lexicon", *NETWORKS):
        (folder / name).mkdir()
    model = tiny_transducer(epochs=1, attention="dot").fit(*pairs, validation=0.2)
    model.save(folder / "model" / "float32")
    model.save(folder / "model" / "bfloat16", dtype="bfloat16")
    gru = tiny_transducer(epochs=1, cell="gru", encoder="bidirectional").fit(*pairs)
    gru.save(folder / "model" / "gru")
    members = [tiny_transducer(epochs=1, seed=seed).fit(*pairs) for seed in (0, 1)]
    Ensemble(members).save(folder / "ensemble" / "two")

    for suffix in ("npz", "weights"):
        Two().save_params(folder / suffix / f"two.{suffix}")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps(Two().params, protocol)
        (folder / "pickle" / f"{protocol}.pkl").write_bytes(content)
    for name, files in NETWORKS.items():
        for file in files:
            shutil.copy(stored(file), folder / name)
    for number, text in enumerate(TSV):
        (folder / "tsv" / f"{number}.tsv").write_text(text * 20, encoding="utf-8")
    (folder / "lexicon" / "words.dict").write_text(LEXICON * 20, encoding="utf-8")
    (folder / "report").mkdir()
    (folder / "toml").mkdir()
    (folder / "toml" / "all.toml").write_text(config_text(tiny_transducer().get_params()))
    shutil.copy(OLD_RUN, folder / "report")
    _train(folder / "checkpoint", folder / "pairs.tsv", "--checkpoint")
    parts = folder / "store" / "parts"
    parts.mkdir(parents=True)
    shutil.copy(folder / "pairs.tsv", parts)
    _train(folder / "store" / "cache", parts, "--cache")


def _train(place: Path, data: Path, option: str) -> None:
    """Train by the command line, which writes a checkpoint or a store of encoded pairs."""
    from fastseq.cli import main

    with tempfile.TemporaryDirectory() as scratch:
        output = str(Path(scratch) / "model")
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["train", str(data), "-o", output, option, str(place), *TRAINING]) == 0
