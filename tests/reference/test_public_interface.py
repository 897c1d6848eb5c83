"""fastseq and fastseq_reference offer the same classes, signatures and attributes."""

import inspect
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq.layers
import fastseq.models
import fastseq_reference
import fastseq_reference.layers
import fastseq_reference.models
import fastseq_reference.util
from support.public_names import INTERNAL_ATTRIBUTES, public_attributes


def recurrent_weights(blocks: int) -> tuple[Any, ...]:
    shapes = (3, 2 * blocks), (2, 2 * blocks), (2 * blocks,)
    return tuple(np.zeros(shape, "f") for shape in shapes)


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("RNN", "TimeRNN"), recurrent_weights(1)),
    **dict.fromkeys(("GRU", "TimeGRU"), recurrent_weights(3)),
    **dict.fromkeys(("LSTM", "TimeLSTM"), recurrent_weights(4)),
    "TimeBiLSTM": 2 * recurrent_weights(4),
    "RecurrentLayer": ("lstm", recurrent_weights(4)),
    "RecurrentStack": ("gru", 3, 2, 2),
    "MatMul": (np.zeros((3, 4), "f"),),
    "ScoredAttention": ("additive", [np.zeros((3, 4), "f")] * 2 + [np.zeros(4, "f")]),
    **dict.fromkeys(
        ("Affine", "TimeAffine", "Simple_TimeAffine"), (np.zeros((3, 4), "f"), np.zeros(4, "f"))
    ),
    **dict.fromkeys(("Embedding", "TimeEmbedding"), (np.zeros((5, 3), "f"),)),
}
MODEL_ARGUMENTS = (5, 3, 2)
TIED_MODEL_ARGUMENTS = (5, 3, 3)

FUNCTIONS = ["cross_entropy_error", "relu", "sigmoid", "softmax"]
LAYERS = sorted(set(fastseq.layers.__all__) - set(FUNCTIONS))
MODELS = sorted(fastseq.models.__all__)
OPTIMIZERS = ["AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "SGD"]
TRAINERS = ["RnnlmTrainer", "Trainer"]


def public_methods(cls: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }


def parameters(signature: inspect.Signature) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults; annotations may differ."""
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def instances(name: str) -> tuple[Any, Any]:
    models = () if name == "BaseModel" else MODEL_ARGUMENTS
    if name.startswith("BetterRnnlm"):
        models = TIED_MODEL_ARGUMENTS
    arguments = models if name in MODELS else ARGUMENTS.get(name, ())
    return getattr(fastseq, name)(*arguments), getattr(fastseq_reference, name)(*arguments)


@pytest.mark.parametrize("part", ["layers", "models"])
def test_same_names(part: str) -> None:
    ours, theirs = getattr(fastseq, part), getattr(fastseq_reference, part)
    assert sorted(ours.__all__) == sorted(theirs.__all__)
    names = [
        name
        for name, value in vars(ours).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not name.startswith("_")
    ]
    assert sorted(names) == sorted(ours.__all__)


@pytest.mark.parametrize("name", LAYERS + MODELS)
def test_same_signatures(name: str) -> None:
    ours = public_methods(getattr(fastseq, name))
    theirs = public_methods(getattr(fastseq_reference, name))
    assert set(ours) == set(theirs)
    for method, signature in ours.items():
        assert parameters(signature) == parameters(theirs[method]), method


@pytest.mark.parametrize("name", LAYERS + MODELS)
def test_same_attributes(name: str) -> None:
    ours, reference = instances(name)
    # an internal attribute of a layer may be a public one of a model: Rnnlm has `layers`
    internal = INTERNAL_ATTRIBUTES - public_attributes(ours)
    assert public_attributes(ours) == public_attributes(reference) - internal
    for attribute in public_attributes(ours):
        one, other = getattr(ours, attribute), getattr(reference, attribute)
        if isinstance(other, bool | int | float | list | types.NoneType):
            assert type(one) is type(other), attribute
            assert len(one) == len(other) if isinstance(one, list) else one == other, attribute


@pytest.mark.parametrize("name", LAYERS + MODELS)
def test_same_file(name: str) -> None:
    ours, reference = getattr(fastseq, name), getattr(fastseq_reference, name)
    assert ours.__module__.removeprefix("fastseq") == reference.__module__.removeprefix(
        "fastseq_reference"
    )
    assert ours.__doc__
    assert ours.__qualname__ == reference.__qualname__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    ours, reference = getattr(fastseq, name), getattr(fastseq_reference, name)
    assert parameters(inspect.signature(ours)) == parameters(inspect.signature(reference))
    assert ours.__module__ == "fastseq.layers.functions"
    assert reference.__module__ == "fastseq_reference.layers.functions"
    assert ours.__doc__


@pytest.mark.parametrize("name", LAYERS + MODELS)
def test_public_members_are_documented(name: str) -> None:
    for method, member in inspect.getmembers(getattr(fastseq, name), inspect.isfunction):
        if not method.startswith("_"):
            assert member.__doc__, method


def test_top_level_names() -> None:
    extras = {"get_num_threads", "set_num_threads", "show_config"}
    assert set(fastseq.__all__) >= set(fastseq_reference.__all__) | extras
    assert len(set(fastseq.__all__)) == len(fastseq.__all__)
    for name in fastseq.__all__:
        assert getattr(fastseq, name) is not None
    for part in (fastseq.layers, fastseq.models):
        for name in part.__all__:
            assert getattr(fastseq, name) is getattr(part, name)
    assert fastseq.__version__ == "0.1.0"


@pytest.mark.parametrize("name", OPTIMIZERS + TRAINERS)
def test_training_classes(name: str) -> None:
    ours = public_methods(getattr(fastseq, name))
    theirs = public_methods(getattr(fastseq_reference, name))
    beyond = {"state", "restore"} if name in OPTIMIZERS else set()  # for checkpoints
    assert set(ours) == set(theirs) | beyond
    for method, signature in theirs.items():
        assert parameters(ours[method]) == parameters(signature), method


@pytest.mark.parametrize("name", ["remove_duplicate", *sorted(fastseq_reference.util.__all__)])
def test_training_functions(name: str) -> None:
    ours, reference = getattr(fastseq, name), getattr(fastseq_reference, name)
    assert parameters(inspect.signature(ours)) == parameters(inspect.signature(reference))


def test_import_brings_only_numpy_and_the_standard_library() -> None:
    program = """
import sys
import numpy
before = set(sys.modules)
import fastseq
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - set(sys.stdlib_module_names) - {"fastseq", "numpy"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    # compiled modules import helper modules of Cython, which are not another package
    names = [name for name in eval(done.stdout) if not name.startswith(("_cython", "cython"))]
    assert names == []
