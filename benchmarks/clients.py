"""How fast published programs are with fastseq, which computes their networks on one thread.

    python benchmarks/clients.py                     all, each if its package is installed
    python benchmarks/clients.py g2p-en --rounds 30

The programs are the examples of docs/clients.md, run from there. Each is first compared with the
original: the answers must be the same ones. Then both are measured in turn, and the table has the
median over the rounds of the ratio within a round. The machine must be idle otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.metadata
import io
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "clients.md"
STORED = ROOT / "tests" / "interop" / "data"  # files of the examples
ONE_THREAD = ("FASTSEQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Row(NamedTuple):
    """A line of the table: the same inputs by two programs.

    Attributes
    ----------
    client, how : str
        What is measured.
    original, fastseq : Callable
        Take some of the inputs.
    inputs : Sequence
    each : int
        How many of them are in a round.
    """

    client: str
    how: str
    original: Callable[[Any], object]
    fastseq: Callable[[Any], object]
    inputs: Sequence[Any]
    each: int = 100


def example(client: str) -> dict[str, Any]:
    """The names that the first example in a section of the page defines."""
    section = PAGE.read_text("utf-8").partition(f"\n## {client}:")[2].partition("\n## ")[0]
    found = re.search("^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE}: expected an example under {client!r}, got none")
    names: dict[str, Any] = {}
    with contextlib.chdir(STORED), contextlib.redirect_stdout(None):
        exec(compile(found[1], f"{PAGE.name}: {client}", "exec"), names)
    return names


def english_words(count: int) -> list[str]:
    """Words of Python's own documentation, each once, in random order."""
    from pydoc_data.topics import topics

    import numpy as np

    words = sorted(set(re.findall("[a-z]+", " ".join(topics.values()).lower())))
    return [str(word) for word in np.random.default_rng(0).permutation(words)[:count]]


def require_equal(client: str, inputs: Sequence[Any], expected: list[Any], got: list[Any]) -> None:
    """End the program at the first answer that differs."""
    for one, theirs, own in zip(inputs, expected, got, strict=True):
        if theirs != own:
            sys.exit(f"{client}: {one!r}: expected {theirs}, got {own}")
    print(f"{client}: the same {len(inputs):,} answers")


def require_close(client: str, expected: Any, got: Any) -> None:
    """End the program if the outputs of a network are not the same up to rounding."""
    apart = float(abs(expected - got).max() / abs(expected).max())
    if not apart < 1e-5:
        sys.exit(f"{client}: expected outputs within 1e-5 of the largest, got {apart:.1e}")
    print(f"{client}: the same {len(got):,} answers up to {apart:.1e} of the largest output")


def g2p_en() -> Iterator[Row]:
    """The phonemes of 2,000 words, word by word and in batches."""
    import g2p_en

    client, words = "g2p-en", english_words(2_000)
    own = example(client)["G2p"]()  # the example removes the dictionary
    original = g2p_en.G2p()

    def one_by_one(model: Any) -> Callable[[list[str]], list[list[str]]]:
        return lambda words: [model.predict(word) for word in words]

    expected = one_by_one(original)(words)
    require_equal(client, words, expected, one_by_one(own)(words))
    require_equal(client, words, expected, own.predict_all(words))
    yield Row(client, "a word at a time", one_by_one(original), one_by_one(own), words)
    yield Row(client, "100 words at a time", one_by_one(original), own.predict_all, words)


def g2pm() -> Iterator[Row]:
    """The pinyin of 2,000 sentences, by the whole program and by its network alone."""
    import g2pM
    import numpy as np

    client, own, original = "g2pM", example("g2pM")["FastG2pM"](), g2pM.G2pM()
    # the characters of its dictionary at random; a third have more than one reading
    known = [each for each in original.cedict if each in original.char2idx]
    several = [each for each in known if len(original.cedict[each]) > 1]
    generator = np.random.default_rng(0)

    def sentence() -> str:
        length = generator.integers(5, 40)
        return "".join(
            str(generator.choice(several if generator.random() < 0.3 else known))
            for _ in range(length)
        )

    def each_of(program: Callable[..., Any]) -> Callable[[list[str]], list[Any]]:
        return lambda inputs: [program(each) for each in inputs]

    def network_of(model: Any) -> Callable[[list[Any]], list[Any]]:
        return lambda inputs: [list(model.predict(ids, positions)) for ids, positions in inputs]

    sentences = [sentence() for _ in range(2_000)]
    require_equal(client, sentences, each_of(original)(sentences), each_of(own)(sentences))
    ids = [np.array([[original.char2idx[each] for each in text]]) for text in sentences]
    inputs = [(row, list(range(0, row.shape[1], 3))) for row in ids]
    require_equal(client, sentences, network_of(original)(inputs), network_of(own)(inputs))
    yield Row(client, "a sentence, the whole program", each_of(original), each_of(own), sentences)
    yield Row(client, "a sentence, the network", network_of(original), network_of(own), inputs)


def chars2vec() -> Iterator[Row]:
    """The vectors of 2,000 words by eng_50; the original has Keras, here on JAX."""
    import chars2vec

    client, words, length = "chars2vec", english_words(2_000), 20
    own, original = example(client)["Chars2Vec"]("eng_50"), chars2vec.load_model("eng_50")

    def theirs(words: list[str]) -> Any:
        original.cache.clear()
        with contextlib.redirect_stdout(io.StringIO()):  # a progress bar
            return original.vectorize_words(words, maxlen_padseq=length)

    def ours(words: list[str]) -> Any:
        return own.vectorize_words(words, length)

    require_close(client, theirs(words), ours(words))
    yield Row(client, "100 words at a time", theirs, ours, words)
    yield Row(client, "a word at a time", theirs, ours, words, each=1)


def sentences_of_ids(count: int) -> Any:
    """Sentences of 20 of 10,000 words."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 10_000, (count, 20))


def torch_tagger() -> Iterator[Row]:
    """A tagger of V 10,000, D 64, H 128 and 50 tags by PyTorch, and by its file."""
    import torch
    from torch import nn

    from fastseq.interop import from_torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {
            "embedding": nn.Embedding(10_000, 64),
            "lstm": nn.LSTM(64, 128, batch_first=True, bidirectional=True),
            "tags": nn.Linear(256, 50),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tagger.pt")
        torch.save(network.state_dict(), path)
        layers = from_torch(path)
    client, scores = "PyTorch", example("PyTorch")["scores"]

    @torch.inference_mode()
    def theirs(ids: Any) -> Any:
        hs, _ = network["lstm"](network["embedding"](torch.from_numpy(ids)))
        return network["tags"](hs).numpy()

    ids = sentences_of_ids(2_000)
    require_close(client, theirs(ids), scores(layers, ids))
    for each, how in ((1, "a sentence at a time"), (100, "100 sentences at a time")):
        yield Row(client, how, theirs, functools.partial(scores, layers), ids, each)


def keras_tagger() -> Iterator[Row]:
    """The same network by Keras, on JAX, and by its file."""
    import keras

    from fastseq.interop import from_keras

    model = keras.Sequential(
        [
            keras.layers.Input((None,), dtype="int32"),
            keras.layers.Embedding(10_000, 64),
            keras.layers.Bidirectional(keras.layers.LSTM(128, return_sequences=True)),
            keras.layers.TimeDistributed(keras.layers.Dense(50, activation="softmax")),
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tagger.keras")
        model.save(path)
        layers = from_keras(path)
    client, outputs = "Keras", example("Keras")["outputs"]
    ids = sentences_of_ids(2_000)
    require_close(client, model.predict_on_batch(ids), outputs(layers, ids))
    for each, how in ((1, "a sentence at a time"), (100, "100 sentences at a time")):
        ours = functools.partial(outputs, layers)
        yield Row(client, how, model.predict_on_batch, ours, ids, each)


# A name as in the page, the module that must be there, and its rows.
CLIENTS: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
    "g2p-en": ("g2p_en", g2p_en),
    "g2pM": ("g2pM", g2pm),
    "PyTorch": ("torch", torch_tagger),
    "Keras": ("keras", keras_tagger),
    "chars2vec": ("chars2vec", chars2vec),
}


def measure(row: Row, rounds: int) -> tuple[float, float]:
    """The median over the rounds of the original's milliseconds per input, and of the ratio."""
    seconds: list[list[float]] = []
    for number in range(rounds + 1):
        first = number * row.each % len(row.inputs)
        inputs = row.inputs[first : first + row.each]
        turn = []
        for program in (row.original, row.fastseq):
            start = time.perf_counter()
            program(inputs)
            turn.append(time.perf_counter() - start)
        seconds.append([*turn, len(inputs)])
    timed = seconds[1:]  # the first is a warm-up
    original = statistics.median(theirs / count for theirs, _, count in timed)
    return original * 1e3, statistics.median(theirs / own for theirs, own, _ in timed)


def describe() -> str:
    """The machine and the versions."""
    import fastseq.config

    names = ("numpy", "g2p-en", "g2pM", "chars2vec", "keras", "jax", "torch")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    config = fastseq.config.get_config()
    machine = f"{config['cpu']}, {config['isa']}, one thread, {config['python']}"
    return f"{machine}, {', '.join(found)}"


def main() -> None:
    """Compare, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)}")
    parser.add_argument("--rounds", type=int, default=20, help="of each program (default: 20)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {arguments.rounds}")
    for client in arguments.clients:
        if client not in CLIENTS:
            parser.error(f"expected clients of {', '.join(CLIENTS)}, got {client}")
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if hasattr(os, "sched_setaffinity"):  # JAX has no such variable
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    lines = []
    for client in arguments.clients or CLIENTS:
        module, rows = CLIENTS[client]
        try:
            importlib.import_module(module)
        except ImportError as error:
            print(f"{client}: skipped, a package is missing: {error}")
            continue
        for row in rows():
            original, ratio = measure(row, arguments.rounds)
            lines.append(f"| {client} | {row.how} | {original:.3g} | {ratio:.1f} |")
    print(describe())
    print(f"| program | how | original, ms each | original ÷ fastseq |\n{'| --- ' * 4}|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
