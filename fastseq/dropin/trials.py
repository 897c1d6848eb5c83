"""Small runs of the textbook's classes and functions: the same one of fastseq's and of a reader's.

Each entry of `TRIALS` takes a definition and returns what it computes, in lists, tuples and arrays:
results, gradients, updated parameters, printed text. Random numbers begin at the same seed.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Definition = Callable[..., Any]
Trial = Callable[[Definition], Any]

N, T, D, H, V = 3, 4, 5, 6, 7


def _normal(*shape: int) -> Any:
    return np.random.randn(*shape).astype(np.float32)


def _ids(*shape: int) -> Any:
    return np.random.randint(0, V, shape)


def _weights(gates: int, times: int = 1) -> list[Any]:
    each = [((D, gates * H), (H, gates * H), (gates * H,)) for _ in range(times)]
    return [_normal(*shape) for shapes in each for shape in shapes]


def _layer(arguments: Callable[[], list[Any]], inputs: Callable[[], list[Any]]) -> Trial:
    """Forward, backward from gradients drawn like the results, and the weights' gradients."""

    def run(definition: Definition) -> Any:
        layer = definition(*arguments())
        results = layer.forward(*inputs())
        each = results if isinstance(results, tuple) else (results,)
        gradients = layer.backward(*[_normal(*np.shape(x)) if np.ndim(x) else 1 for x in each])
        more = [getattr(layer, name, None) for name in ("grads", "dW", "db", "dh")]
        return each, gradients, more

    return run


def _time_layer(gates: int, times: int = 1) -> Trial:
    """A recurrent layer over time, and one whose state goes on until it is reset."""
    once = _layer(lambda: _weights(gates, times), _sequences)

    def run(definition: Definition) -> Any:
        first = once(definition)
        layer = definition(*_weights(gates, times), stateful=True)
        following = [layer.forward(xs) for xs in (*_sequences(), *_sequences())]
        if hasattr(layer, "reset_state"):
            layer.reset_state()
            following.append(layer.forward(*_sequences()))
        return first, following

    return run


def _dropout(definition: Definition) -> Any:
    layer = definition(0.25)
    trained = layer.forward(_normal(N, T)), layer.backward(_normal(N, T))
    if hasattr(layer, "train_flg"):
        layer.train_flg = False
        return trained, layer.forward(_normal(N, T))
    return trained, layer.forward(_normal(N, T), False)


def _labelled(shape: tuple[int, ...], ignored: bool) -> Trial:
    """A loss over labels, over one-hot labels, and with labels that are ignored."""

    def run(definition: Definition) -> Any:
        labels = _ids(*shape)
        each = [labels, np.eye(V, dtype=int)[labels]]
        if ignored:
            each.append(np.where(np.arange(shape[-1]) == 1, -1, labels))
        found = []
        for ts in each:
            layer = definition()
            found.append((layer.forward(9 * _normal(*shape, V), ts), layer.backward(1)))
        return found

    return run


def _pair(make: Callable[[], Any]) -> Callable[[], list[Any]]:
    return lambda: [make()]


def _part(inputs: Callable[[], list[Any]]) -> Trial:
    """An encoder or decoder: forward, backward, and what a decoder generates."""

    def run(definition: Definition) -> Any:
        part = definition(V, D, H)
        given = inputs()
        result = part.forward(*given)
        found = part.backward(_normal(*result.shape)), list(part.grads)
        if len(given) > 1:
            return result, found, part.generate(given[1][:1], 1, T)
        return result, found

    return run


def _model(definition: Definition) -> Any:
    model = definition(V, D, H)
    loss = model.forward(_ids(N, T), _ids(N, T))
    model.backward()
    return loss, list(model.grads), model.generate(_ids(1, T), 1, T)


def _language_model(definition: Definition) -> Any:
    model = definition(V, H, H)
    losses = []
    for _ in range(2):  # the state goes on
        losses.append(model.forward(_ids(N, T), _ids(N, T)))
        model.backward()
    gradients = [gradient.copy() for gradient in model.grads]
    model.reset_state()
    return losses, gradients, model.predict(_ids(N, T))


def _generator(definition: Definition) -> Any:
    return _language_model(definition), definition(V, H, H).generate(1, [0], 8)


def _optimizer(definition: Definition) -> Any:
    """Gradients of usual size, and some so small that an epsilon beside them shows."""
    optimizer = definition()
    scales = (1, 1e-3, 1e-6, 1e-8)
    parameters = [np.zeros(D, np.float32) for _ in scales]
    for _ in range(3):
        optimizer.update(parameters, [_normal(D) * np.float32(scale) for scale in scales])
    return parameters


class _Line:
    """The least model: a line through points."""

    def __init__(self) -> None:
        self.params = [_normal(D, 1)]
        self.grads = [np.zeros((D, 1), np.float32)]

    def forward(self, x: Any, t: Any) -> float:
        self._x, self._error = x, x @ self.params[0] - t
        return float((self._error**2).sum())

    def backward(self, dout: float = 1) -> None:
        self.grads[0][...] = 2 * self._x.T @ self._error


def _trainer(definition: Definition) -> Any:
    from fastseq.optim import SGD

    model = _Line()
    trainer = definition(model, SGD(0.01))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.fit(_normal(20, D), _normal(20, 1), max_epoch=2, batch_size=5, max_grad=0.5)
    return model.params, trainer.loss_list


def _rnnlm_trainer(definition: Definition) -> Any:
    from fastseq.models import Rnnlm
    from fastseq.optim import SGD

    model, ids = Rnnlm(V, D, H), _ids(61)
    trainer = definition(model, SGD(0.1))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.fit(ids[:-1], ids[1:], 2, 3, T, 0.25, 2)
    return model.params, trainer.ppl_list


def _shared(definition: Definition) -> Any:
    weight, other = _normal(D, H), _normal(D, H)
    gradients = [_normal(D, H), _normal(D, H), _normal(H, D), _normal(D, H)]
    return definition([weight, other, weight.T, weight], gradients)


def _clipped(definition: Definition) -> Any:
    gradients = [_normal(D, H), _normal(H)]
    for norm in (1e9, 0.5):
        definition(gradients, norm)
    return gradients


def _base_model(definition: Definition) -> Any:
    def filled() -> Any:
        model = definition()
        model.params, model.grads = [_normal(D, H), _normal(H)], []
        return model

    saved, loaded = filled(), filled()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pkl")
        saved.save_params(path)
        loaded.load_params(path)
    return loaded.params


def _perplexity(definition: Definition) -> Any:
    from fastseq.models import Rnnlm

    with contextlib.redirect_stdout(io.StringIO()):
        return definition(Rnnlm(V, D, H), _ids(61), 3, T)


def _data(definition: Definition) -> Any:
    return definition("addition.txt")


def _function(arguments: Callable[[], list[Any]], runs: int = 1) -> Trial:
    """The result and the printed text."""

    def run(definition: Definition) -> Any:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            results = [definition(*arguments()) for _ in range(runs)]
        return results, printed.getvalue()

    return run


_TEXT = "You say goodbye and I say hello. You say yes and I say no."


def _words() -> list[Any]:
    words = sorted(set(_TEXT.lower().replace(".", " .").split()))
    ids = {word: number for number, word in enumerate(words)}
    return [ids, dict(enumerate(words)), _normal(len(words), D)]


class _Answers:
    """A model that generates what it is told, for the evaluation of models."""

    def generate(self, question: Any, start_id: int, length: int) -> list[int]:
        return [1] * length


def _probabilities() -> Any:
    shares = np.exp(4 * _normal(N, V))
    shares[0, 0] = 0  # an epsilon in a logarithm shows here
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def _sequences() -> list[Any]:
    return [_normal(N, T, D)]


def _scores() -> list[Any]:
    return [_normal(N, T, V), _ids(N, T)]


def _states() -> list[Any]:
    return [_normal(N, T, H), _normal(N, H)]


def _no_arguments() -> list[Any]:
    return []


_LETTERS = {number: chr(97 + number) for number in range(V)}

TRIALS: Mapping[str, Trial] = {
    "sigmoid": _function(_pair(lambda: 9 * _normal(N, D))),
    "relu": _function(_pair(lambda: _normal(N, D))),
    "softmax": _function(_pair(lambda: 9 * _normal(N, D))),
    "cross_entropy_error": _function(lambda: [_probabilities(), np.array([0, 1, 2])]),
    "MatMul": _layer(_pair(lambda: _normal(D, H)), _pair(lambda: _normal(N, D))),
    "Affine": _layer(lambda: [_normal(D, H), _normal(H)], _pair(lambda: _normal(N, D))),
    "Softmax": _layer(_no_arguments, _pair(lambda: _normal(N, D))),
    "SoftmaxWithLoss": _labelled((N,), ignored=False),
    "Sigmoid": _layer(_no_arguments, _pair(lambda: _normal(N, D))),
    "SigmoidWithLoss": _layer(_no_arguments, lambda: [9 * _normal(N), _ids(N) % 2]),
    "Dropout": _dropout,
    "Embedding": _layer(_pair(lambda: _normal(V, D)), _pair(lambda: _ids(N))),
    "RNN": _layer(lambda: _weights(1), lambda: [_normal(N, D), _normal(N, H)]),
    "LSTM": _layer(lambda: _weights(4), lambda: [_normal(N, D), _normal(N, H), _normal(N, H)]),
    "GRU": _layer(lambda: _weights(3), lambda: [_normal(N, D), _normal(N, H)]),
    "TimeRNN": _time_layer(1),
    "TimeLSTM": _time_layer(4),
    "TimeGRU": _time_layer(3),
    "TimeBiLSTM": _time_layer(4, 2),
    "TimeEmbedding": _layer(_pair(lambda: _normal(V, D)), _pair(lambda: _ids(N, T))),
    "TimeAffine": _layer(lambda: [_normal(D, H), _normal(H)], _sequences),
    "Simple_TimeAffine": _layer(lambda: [_normal(D, H), _normal(H)], _sequences),
    "TimeDropout": _dropout,
    "TimeSoftmaxWithLoss": _labelled((N, T), ignored=True),
    "Simple_TimeSoftmaxWithLoss": _layer(_no_arguments, _scores),
    "TimeSigmoidWithLoss": _layer(_no_arguments, lambda: [_normal(N, T), _ids(N, T) % 2]),
    "WeightSum": _layer(_no_arguments, lambda: [_normal(N, T, H), _normal(N, T)]),
    "AttentionWeight": _layer(_no_arguments, _states),
    "Attention": _layer(_no_arguments, _states),
    "TimeAttention": _layer(_no_arguments, lambda: [_normal(N, T, H), _normal(N, D, H)]),
    "Encoder": _part(_pair(lambda: _ids(N, T))),
    "AttentionEncoder": _part(_pair(lambda: _ids(N, T))),
    "Decoder": _part(lambda: [_ids(N, T), _normal(N, H)]),
    "PeekyDecoder": _part(lambda: [_ids(N, T), _normal(N, H)]),
    "AttentionDecoder": _part(lambda: [_ids(N, T), _normal(N, D, H)]),
    "Seq2seq": _model,
    "PeekySeq2seq": _model,
    "AttentionSeq2seq": _model,
    "Rnnlm": _language_model,
    "BetterRnnlm": _language_model,
    "RnnlmGen": _generator,
    "BetterRnnlmGen": _generator,
    "BaseModel": _base_model,
    **dict.fromkeys(("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"), _optimizer),
    "Trainer": _trainer,
    "RnnlmTrainer": _rnnlm_trainer,
    "remove_duplicate": _shared,
    "clip_grads": _clipped,
    "preprocess": _function(_pair(lambda: _TEXT)),
    "cos_similarity": _function(lambda: [_normal(D), _normal(D)]),
    "most_similar": _function(lambda: ["you", *_words()]),
    "analogy": _function(lambda: ["you", "say", "i", *_words()]),
    "normalize": _function(_pair(lambda: _normal(D, H))),
    "convert_one_hot": _function(lambda: [_ids(D), V]),
    "create_co_matrix": _function(lambda: [_ids(20), V]),
    "ppmi": _function(_pair(lambda: np.random.randint(1, 9, (V, V)))),
    "create_contexts_target": _function(_pair(lambda: _ids(9))),
    "to_cpu": _function(_pair(lambda: _normal(D))),
    "eval_seq2seq": _function(
        lambda: [_Answers(), _ids(1, T), np.array([[0, 1, 1]]), _LETTERS, True]
    ),
    "eval_perplexity": _perplexity,
    "load_data": _data,
    "get_vocab": _function(_no_arguments),
}
