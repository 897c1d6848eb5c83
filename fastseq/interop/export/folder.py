"""The files of an exported model: graphs, their description in JSON, a program, and a text."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from fastseq.files import replace_files
from fastseq.interop.export import programs
from fastseq.interop.export.graph import OPSET, Graph
from fastseq.interop.export.graphs import encoder_graph, greedy_graph, step_graph
from fastseq.interop.export.network import Description, describe_network, describe_textbook
from fastseq.transducer.data.vocabulary import END, START, UNKNOWN, Vocabulary
from fastseq.transducer.estimator import Transducer
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.search.fitted import not_fitted
from fastseq.transducer.search.limits import MORE_STEPS, MOST_STEPS
from fastseq.version import __version__

_FORMAT, _FORMAT_VERSION = "fastseq.onnx", 1

_ABOUT = {
    "encoder": "from sources to states",
    "step": "from the last ids and states to the scores of the next ids and new states",
    "greedy": "from sources to whole answers: the encoder, and the steps in a loop",
}
_TRANSDUCER = """\
A source is the ids of its symbols, and then that of the end. `lengths` count the end; past them a
row of a batch has padding, which may be any id. An answer has `answer_lengths` symbols; its
`log_probabilities` is the sum over these and the end.

Without greedy.onnx: the first `id` is that of the start. Inputs of step.onnx that have the name of
an input or output of encoder.onnx are that. The next `id` is the most probable one, from that of
the end on, `h_next` the next `h` and `c_next` the next `c`, `joint_next` the next `joint`, until
`id` is the end or the answer is at its longest.
"""
_SEQUENCES = """\
All sources of a batch have Te ids. An answer is the `sample_size` ids that follow `start_id`.

Without greedy.onnx: the first `id` is `start_id`. Inputs of step.onnx that have the name of an
output of encoder.onnx are that. The next `id` is that of the highest score, `h_next` the next `h`
and `c_next` the next `c`.
"""
_LANGUAGE_MODEL = """\
The first states are zeros; `h_next` is the next `h` and `c_next` the next `c`.
"""


def to_onnx(model: Any, folder: str | os.PathLike[str]) -> None:
    """Write a trained model as ONNX graphs, with all that a program in any language needs.

    The folder receives ``encoder.onnx``, ``step.onnx`` (one step of the decoder), ``greedy.onnx``
    (whole answers), ``model.json`` (vocabularies, ids, lengths, inputs and outputs), ``run.py`` (a
    program that needs onnxruntime and NumPy alone) and ``README.txt``; of a language model
    ``step.onnx`` and the last three. Other files in it stay. The weights are float32, the opset is
    17.

    Parameters
    ----------
    model : Transducer, or one of the textbook's models
        A `Seq2seq`, `PeekySeq2seq`, `AttentionSeq2seq`, `AttentionBiSeq2seq`, `Rnnlm` or
        `BetterRnnlm` of fastseq, whose layers are its own. Dropout is left out.
    folder : path
        Made if need be.

    Raises
    ------
    ImportError
        onnx is not installed.
    OSError
        A file cannot be written. Those that the folder had are as they were.
    RuntimeError
        The Transducer is not trained.
    TypeError, ValueError
        The model is another, or has layers of which it is not known what they compute; or a graph
        is larger than the format allows.

    Examples
    --------
    >>> import os
    >>> from fastseq.interop import to_onnx
    >>> from fastseq.models import AttentionSeq2seq
    >>> to_onnx(AttentionSeq2seq(vocab_size=10, wordvec_size=4, hidden_size=8), "exported")
    >>> sorted(os.listdir("exported"))
    ['README.txt', 'encoder.onnx', 'greedy.onnx', 'model.json', 'run.py', 'step.onnx']
    """
    replace_files(os.fspath(folder), model_files(model))


def model_files(model: Any) -> dict[str, bytes]:
    """The name and content of each file that `to_onnx` writes; it raises the same errors."""
    if isinstance(model, Transducer):
        if not hasattr(model, "network_"):
            raise not_fitted("model: this Transducer is not trained: fit or load it first")
        network = describe_network(model.network_)
        described = _describe_symbols(*model.vocabulary_, model.lengths_)
        return _files(model, network, model.lengths_, described, programs.TRANSDUCER, _TRANSDUCER)
    network = describe_textbook(model)
    if network.encoder is None:
        return _files(model, network, None, {}, programs.LANGUAGE_MODEL, _LANGUAGE_MODEL)
    return _files(model, network, None, {}, programs.SEQUENCES, _SEQUENCES)


def _files(
    model: object,
    network: Description,
    seen: Lengths | None,
    described: Mapping[str, Any],
    program: str,
    about: str,
) -> dict[str, bytes]:
    graphs = {"step": step_graph(network)}
    if network.encoder is not None:
        graphs = {"encoder": encoder_graph(network)} | graphs
        graphs["greedy"] = greedy_graph(network, seen)
    document = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "package_version": __version__,
        "model": type(model).__name__,
        "opset": OPSET,
        "graphs": {f"{name}.onnx": graph.interface for name, graph in graphs.items()},
        **described,
    }
    texts = {
        "model.json": json.dumps(document, indent=1) + "\n",
        "run.py": program,
        "README.txt": _readme(document["model"], graphs, program, about),
    }
    files = {f"{name}.onnx": graph.serialize() for name, graph in graphs.items()}
    return files | {name: text.encode() for name, text in texts.items()}


def _describe_symbols(source: Vocabulary, target: Vocabulary, seen: Lengths) -> dict[str, Any]:
    special = ("unknown", UNKNOWN), ("start", START), ("end", END), ("padding", UNKNOWN)
    described = source.text_form.to_json() | {"ids": source.ids()}
    if source.text_form.tag_columns:
        described |= {"tags": source.tag_ids(), "tag_pattern": source.text_form.tag_pattern}
    return {
        "source": described,
        "target": target.text_form.to_json() | {"symbols": list(target.symbols)},
        "special_ids": dict(special),
        "longest_answer": {
            "rule": "min(ceil(target * max(1, n / max(1, source))) + more, most) symbols, the end "
            "counted, of a source of n symbols, its end not counted",
            "source": seen.source,
            "target": seen.target,
            "more": MORE_STEPS,
            "most": MOST_STEPS,
        },
    }


def _readme(model: str, graphs: Mapping[str, Graph], program: str, about: str) -> str:
    lines = [f"{model} of fastseq {__version__} as ONNX graphs: opset {OPSET}, float32", ""]
    lines += [f"{name}.onnx".ljust(14) + _ABOUT[name] for name in graphs]
    lines += [
        "model.json    the same as below for programs; of a Transducer vocabularies and lengths",
        "run.py        needs onnxruntime and NumPy: " + program.partition(": ")[2].split('"""')[0],
        "",
        about,
        "N and Te are at least 1; ids are from 0 to below the number of symbols.",
        "",
    ]
    for name, graph in graphs.items():
        lines.append(f"{name}.onnx")
        for side, values in graph.interface.items():
            for each in values:
                shape = ", ".join(map(str, each["shape"]))
                lines.append(f"  {side[:-1]:8}{each['name']:20}{each['dtype']:9}({shape})")
        lines.append("")
    return "\n".join(lines)
