"""Arguments and calls for every public name of fastseq that fastseq_reference has too.

One table has for each name its arguments and how it is run. The test of the table requires an entry
for every public name.
"""

import contextlib
import copy
import inspect
import io
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
import fastseq_reference
from support.helpers import assert_close, float32_tolerance, operand_rounding

Array = npt.NDArray[Any]
Results = dict[str, Any]

# Layers beyond the textbook, whose arguments include lengths: they have tests of their own.
WITH_LENGTHS = {"RecurrentLayer", "RecurrentStack", "ScoredAttention"}
# Names that only fastseq has.
OWN_NAMES = {"all_float32", "answer_mark", "exact_match", "shuffled", "train_epoch"}


# Attributes of the reference's classes that are an implementation detail.
INTERNAL_ATTRIBUTES = {
    "attention_weight_layer",
    "cache",
    "hs_enc",
    "idx",
    "layers",
    "mask",
    "weight_sum_layer",
    "x",
}


class Sizes(NamedTuple):
    """Batch, time steps, input and hidden size; V symbols, M outputs."""

    N: int
    T: int
    D: int
    H: int

    @property
    def V(self) -> int:
        return self.D + 3

    @property
    def M(self) -> int:
        return self.H + 1


GRID = [Sizes(1, 1, 1, 1), Sizes(2, 3, 4, 5), Sizes(3, 5, 7, 17), Sizes(5, 4, 33, 31)]
MIDDLE = GRID[2]


class Draw:
    """Arguments from one seed, by their shapes in letters.

    ``"N 4H"`` is of floats, ``"ids:N T"`` of ids below V, ``"bits:N"`` of 0 and 1,
    ``"onehot:N V"`` has a one in each row, ``"size:V"`` is V itself.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._rng = np.random.default_rng(sizes)

    def __call__(self, wanted: str) -> Any:
        kind, _, letters = wanted.strip().rpartition(":")
        shape = [self._length(length) for length in letters.split()]
        if kind == "size":
            return shape[0]
        if kind == "onehot":
            return np.eye(shape[-1], dtype="i")[self._rng.integers(0, shape[-1], shape[:-1])]
        if kind:
            return self._rng.integers(0, {"ids": self.sizes.V, "bits": 2}[kind], shape)
        return self._rng.standard_normal(shape).astype("f")

    def _length(self, length: str) -> int:
        digits = length.rstrip("NTDHVM")
        letter = length[len(digits) :]
        return int(digits or 1) * (getattr(self.sizes, letter) if letter else 1)

    def all(self, wanted: str) -> list[Any]:
        return [self(each) for each in wanted.split(",") if each]


def public_attributes(instance: object) -> set[str]:
    """The names of the attributes that are neither private nor methods."""
    return {
        name
        for name in dir(instance)
        if not name.startswith("_") and not callable(getattr(type(instance), name, None))
    }


@dataclass(frozen=True)
class Layer:
    """Create the layer; run `forward` and `backward` once for each of the rounds of inputs.

    `after` runs further methods, given the layer and a `Draw`.
    """

    arguments: str
    rounds: tuple[str, ...] | str
    douts: str = ""
    after: Callable[[Any, Draw], Any] = lambda layer, draw: None

    def __call__(self, package: Any, name: str, draw: Draw) -> Results:
        make = getattr(package, name)
        results = {"": self._run(make(*self._weights(draw)), draw)}
        if "stateful" in inspect.signature(make).parameters:
            results["stateful"] = self._run(make(*self._weights(draw), stateful=True), draw)
        return results

    def _weights(self, draw: Draw) -> list[Any]:
        """Weights scaled by 1 / sqrt(rows), so that values and rounding errors stay small."""
        drawn = draw.all(self.arguments)
        for matrix in filter(lambda each: np.ndim(each) == 2, drawn):
            matrix /= np.sqrt(len(matrix))
        return drawn

    def _run(self, layer: Any, draw: Draw) -> list[Any]:
        results: list[Any] = []
        rounds = 2 * (self.rounds,) if isinstance(self.rounds, str) else self.rounds
        outs = []
        for inputs in rounds:
            outs.append(layer.forward(*draw.all(inputs)))
            results.append(copy.deepcopy(layer.backward(*draw.all(self.douts))))
            attributes = sorted(public_attributes(layer) - INTERNAL_ATTRIBUTES)
            results.append(copy.deepcopy([getattr(layer, each) for each in attributes]))
            for param, grad in zip(*parameters(layer), strict=True):
                param -= 0.1 * grad
        return [results, outs, self.after(layer, draw)]


@dataclass(frozen=True)
class Function:
    """Call the function; compared are its result, its output and its arguments afterwards."""

    arguments: Callable[[Draw], list[Any]]

    def __call__(self, package: Any, name: str, draw: Draw) -> Results:
        arguments = self.arguments(draw)
        return {"result": getattr(package, name)(*arguments), "arguments": arguments}


def parameters(layer: Any) -> tuple[list[Array], list[Array]]:
    if isinstance(layer, fastseq.Simple_TimeAffine | fastseq_reference.Simple_TimeAffine):
        return [layer.W, layer.b], [layer.dW, layer.db]
    return layer.params, layer.grads


# ------------------------------------------------------------------- how other names are run


def optimizer(package: Any, name: str, draw: Draw) -> Any:
    params = draw.all("D 4H,H,1")
    each = getattr(package, name)(0.1)
    for _ in range(3):
        each.update(params, draw.all("D 4H,H,1"))
    return params, vars(each)


def base_model(package: Any, name: str, draw: Draw) -> Any:
    model = getattr(package, name)()
    model.params = draw.all("D 4H,H")
    with tempfile.TemporaryDirectory() as folder:
        model.save_params(f"{folder}/model.pkl")
        content = pickle.loads(Path(f"{folder}/model.pkl").read_bytes())
        for param in model.params:
            param *= 0
        model.load_params(f"{folder}/model.pkl")
    with pytest.raises(NotImplementedError):
        model.forward()
    return model.params, content


def trainer(package: Any, name: str, draw: Draw) -> Any:
    model = package.AttentionSeq2seq(*draw.all("size:V,size:D,size:H"))
    each = getattr(package, name)(model, package.Adam())
    each.fit(*draw.all("ids:7N T,ids:7N 3T"), 2, draw.sizes.N, 1.0, eval_interval=3)
    return each.loss_list, each.current_epoch, each.eval_interval, model.params


def rnnlm_trainer(package: Any, name: str, draw: Draw) -> Any:
    model = package.BetterRnnlm(*draw.all("size:V,size:H,size:H"))
    each = getattr(package, name)(model, package.SGD(1.0))
    corpus = draw(f"ids:{7 * draw.sizes.N}T")
    each.fit(corpus[:-1], corpus[1:], 2, draw.sizes.N, draw.sizes.T, 0.25, 3)
    return each.ppl_list, each.current_epoch, each.eval_interval, model.params


def eval_seq2seq(package: Any, name: str, draw: Draw) -> Any:
    model = package.Seq2seq(*draw.all("size:V,size:D,size:H"))
    symbols = {symbol: chr(65 + symbol) for symbol in range(draw.sizes.V)}
    question, answer = draw.all("ids:1 T,ids:1 3T")
    return getattr(package, name)(model, question, answer, symbols, True, True)


def eval_perplexity(package: Any, name: str, draw: Draw) -> Any:
    model = package.BetterRnnlm(*draw.all("size:V,size:H,size:H"))
    corpus = draw(f"ids:{3 * draw.sizes.N}T")
    return getattr(package, name)(model, corpus, draw.sizes.N, draw.sizes.T)


def to_gpu(package: Any, name: str, draw: Draw) -> Any:
    with pytest.raises(RuntimeError) as raised:
        getattr(package, name)(draw("N"))
    return raised.type.__name__


def generate(model: Any, draw: Draw) -> Any:
    """Scores, generated ids and state of a language model, twice from the same state."""
    model.reset_state()
    scores = model.predict(draw("ids:1 T"))
    if not hasattr(model, "generate"):
        return scores
    state = model.get_state()
    texts = [model.generate(1, [0], 6)]
    model.set_state(state)
    return scores, state, texts, model.generate(np.int64(2), None, 6), model.get_state()


def answer(model: Any, draw: Draw) -> Any:
    return model.generate(draw("ids:1 T"), 1, 4)


def tied(draw: Draw) -> list[Any]:
    """Parameters with one array twice, and once transposed; and gradients for all."""
    W, b, dW, db, *more = draw.all("V H,H,V H,H,V H,H V")
    return [[W, b, W, W.T], [dW, db, *more]]


def words(draw: Draw) -> list[Any]:
    names = {f"w{number}": number for number in range(draw.sizes.V)}
    return [names, {number: name for name, number in names.items()}, draw("V D")]


RNN, GRU, LSTM = "D H,H H,H", "D 3H,H 3H,3H", "D 4H,H 4H,4H"
MODEL, TIED_MODEL = "size:V,size:D,size:H", "size:V,size:H,size:H"
STEP, SEQUENCE = ("N D,N H", "N H"), ("N T D", "N T H")
LABELS = ("N T V,ids:N T", "N T V,onehot:N T V")
LANGUAGE = ("ids:N T,ids:N T", "", generate)
TRANSLATION = Layer(MODEL, "ids:N T,ids:N 3T", "", answer)

TABLE: dict[str, Any] = {
    "sigmoid": Function(lambda draw: [10 * draw("N T D")]),
    "relu": Function(lambda draw: [draw("N T D")]),
    "softmax": Function(lambda draw: [draw("N V")]),
    "cross_entropy_error": Function(lambda draw: [abs(draw("N V")).clip(0, 1), draw("onehot:N V")]),
    "MatMul": Layer("D M", "N D", "N M"),
    "Affine": Layer("D M,M", "N D", "N M"),
    "Softmax": Layer("", "N V", "N V"),
    "SoftmaxWithLoss": Layer("", ("N V,ids:N", "N V,onehot:N V")),
    "Sigmoid": Layer("", "N D", "N D"),
    "SigmoidWithLoss": Layer("", "N,bits:N"),
    "Dropout": Layer("", "N D", "N D", lambda layer, draw: layer.forward(draw("N D"), False)),
    "Embedding": Layer("V D", "ids:N", "N D"),
    "RNN": Layer(RNN, *STEP),
    "GRU": Layer(GRU, *STEP),
    "LSTM": Layer(LSTM, "N D,N H,N H", "N H,N H"),
    "TimeRNN": Layer(RNN, *SEQUENCE),
    "TimeGRU": Layer(GRU, *SEQUENCE),
    "TimeLSTM": Layer(LSTM, *SEQUENCE),
    "TimeBiLSTM": Layer(f"{LSTM},{LSTM}", "N T D", "N T 2H"),
    "TimeEmbedding": Layer("V D", "ids:N T", "N T D"),
    "TimeAffine": Layer("D M,M", "N T D", "N T M"),
    "Simple_TimeAffine": Layer("D M,M", "N T D", "N T M"),
    "TimeDropout": Layer("", "N T D", "N T D"),
    "TimeSoftmaxWithLoss": Layer("", LABELS),
    "Simple_TimeSoftmaxWithLoss": Layer("", LABELS),
    "TimeSigmoidWithLoss": Layer("", "N T,bits:N T"),
    "WeightSum": Layer("", "N T H,N T", "N H"),
    "AttentionWeight": Layer("", "N T H,N H", "N T"),
    "Attention": Layer("", "N T H,N H", "N H"),
    "TimeAttention": Layer("", "N T H,N 2T H", "N 2T H"),
    "BaseModel": base_model,
    "Encoder": Layer(MODEL, "ids:N T", "N H"),
    "AttentionEncoder": Layer(MODEL, "ids:N T", "N T H"),
    "AttentionBiEncoder": Layer(MODEL, "ids:N T", "N T 2H"),
    **dict.fromkeys(
        ["Decoder", "PeekyDecoder"],
        Layer(MODEL, "ids:N T,N H", "N T V", lambda part, draw: part.generate(draw("1 H"), 1, 4)),
    ),
    "AttentionDecoder": Layer(
        MODEL, "ids:N 2T,N T H", "N 2T V", lambda part, draw: part.generate(draw("1 T H"), 1, 4)
    ),
    **dict.fromkeys(
        ["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq", "AttentionBiSeq2seq"], TRANSLATION
    ),
    **dict.fromkeys(["Rnnlm", "RnnlmGen"], Layer(MODEL, *LANGUAGE)),
    **dict.fromkeys(["BetterRnnlm", "BetterRnnlmGen"], Layer(TIED_MODEL, *LANGUAGE)),
    **dict.fromkeys(["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"], optimizer),
    "Trainer": trainer,
    "RnnlmTrainer": rnnlm_trainer,
    "remove_duplicate": Function(tied),
    "clip_grads": Function(lambda draw: [draw.all("D 4H,H"), 0.5]),
    "eval_seq2seq": eval_seq2seq,
    "eval_perplexity": eval_perplexity,
    "preprocess": Function(lambda draw: ["You say goodbye and I say hello."]),
    "cos_similarity": Function(lambda draw: draw.all("H,H")),
    "most_similar": Function(lambda draw: ["w1", *words(draw), 3]),
    "analogy": Function(lambda draw: ["w0", "w1", "w2", *words(draw), 3, "w3"]),
    "normalize": Function(lambda draw: [draw("V D")]),
    "convert_one_hot": Function(lambda draw: [draw("ids:9N"), draw.sizes.V]),
    "create_co_matrix": Function(lambda draw: [draw("ids:9N"), draw.sizes.V, 2]),
    "ppmi": Function(lambda draw: [draw("ids:V V") + draw("ids:V V").T + 1, True]),
    "create_contexts_target": Function(lambda draw: [draw("ids:9N"), 2]),
    "to_cpu": Function(lambda draw: [draw("N D")]),
    "to_gpu": to_gpu,
}


# --------------------------------------------------------------------------- the comparison


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every array, number and string in nested results, by its path; of an object, its class."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, list | tuple):
        yield f"{path}.length", len(value)
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}.{index}")
    elif isinstance(value, np.ndarray | np.generic | float | int | str | None):
        yield path, value
    else:
        yield path, type(value).__name__


def run(package: Any, name: str, sizes: Sizes) -> Results:
    """All results and output of a name, by path."""
    np.random.seed(1)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        results = TABLE[name](package, name, Draw(sizes))
    text = re.sub(r"time \d+|\033\[\d+m", "", printed.getvalue())  # without seconds and colours
    numbers = re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)
    # a printed loss of two digits may be rounded either way; the lists of the trainers are compared
    exact = [float(number) for number in numbers if len(number) > 6]
    return dict(leaves([results, re.sub(r"-?\d+\.\d+(?:e-?\d+)?", "#", text), exact]))


def is_float(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"


def assert_same(actual: Results, expected: Results, sizes: Sizes) -> None:
    """Require equality, of floats within the rounding errors of float32 at their magnitude."""
    N, T, D, H = sizes
    length = 3 * 3 * T * (D + 5 * H) + sizes.V + N * T
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        if not is_float(value):
            np.testing.assert_array_equal(actual[path], value, err_msg=path)
            continue
        if isinstance(actual[path], np.ndarray):
            assert actual[path].dtype == np.float32, path
        magnitude = float(np.abs(value).max(initial=0))
        tolerance = float32_tolerance(length, magnitude)
        # three steps, each with operands rounded where the precision is bfloat16
        atol = tolerance["atol"] + 2 * operand_rounding() * magnitude + 1e-9
        assert_close(actual[path], value, rtol=tolerance["rtol"], atol=atol)
