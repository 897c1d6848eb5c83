"""Small helpers around training: gradient clipping, perplexity, looking at a model's answer.

The textbook's ``util`` also holds the functions of `fastseq.text`; they are reached from here too.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.text import (
    analogy,
    convert_one_hot,
    cos_similarity,
    create_co_matrix,
    create_contexts_target,
    most_similar,
    normalize,
    ppmi,
    preprocess,
)

__all__ = [
    "all_float32",
    "analogy",
    "answer_mark",
    "clip_grads",
    "convert_one_hot",
    "cos_similarity",
    "create_co_matrix",
    "create_contexts_target",
    "eval_perplexity",
    "eval_seq2seq",
    "most_similar",
    "normalize",
    "ppmi",
    "preprocess",
    "to_cpu",
    "to_gpu",
]

Array = npt.NDArray[Any]

_GREEN, _RED, _RESET = "\033[92m", "\033[91m", "\033[0m"


class _Generator(Protocol):
    """What :func:`eval_seq2seq` requires of a model."""

    def generate(self, xs: Array, start_id: int, sample_size: int) -> Sequence[int]: ...


def all_float32(arrays: Iterable[Array]) -> bool:
    """Whether the kernels can work on these arrays in place.

    Parameters
    ----------
    arrays : iterable of ndarray

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.util import all_float32
    >>> all_float32([np.zeros(2, "f")]), all_float32([np.zeros(2)])
    (True, False)
    """
    return all(array.dtype == np.float32 for array in arrays)


def clip_grads(grads: list[Array], max_norm: float) -> None:
    """Scale gradients in place so that their common Euclidean norm is at most `max_norm`.

    The factor is ``max_norm / (norm + 1e-6)``, applied only where it is below 1: Pascanu et al.
    2013, "On the difficulty of training recurrent neural networks", algorithm 1. Gradients that
    hold a NaN have no norm and stay as they are.

    Parameters
    ----------
    grads : list of writeable float arrays
        Any shapes and strides. The norm is taken over all of them together.
    max_norm : float
        The largest norm let through.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import clip_grads
    >>> grads = [np.array([3.0]), np.array([4.0])]  # their norm is 5
    >>> clip_grads(grads, max_norm=1.0)
    >>> [grad.round(2).tolist() for grad in grads]
    [[0.6], [0.8]]
    """
    single = all_float32(grads)
    if single:
        norm = _kernels.global_norm(grads)
    else:
        norm = math.sqrt(sum(float(np.sum(np.square(grad, dtype=np.float64))) for grad in grads))
    rate = max_norm / (norm + 1e-6)
    if rate < 1:
        if single:
            _kernels.scale(grads, rate)
        else:
            for grad in grads:
                grad *= rate


def eval_seq2seq(
    model: _Generator,
    question: Array,
    correct: Array,
    id_to_char: Mapping[int, str],
    verbose: bool = False,
    is_reverse: bool = False,
) -> int:
    """Let a model answer one question; 1 when the answer is right, 0 when it is not.

    Parameters
    ----------
    model : Seq2seq or a model like it
        Answers through ``generate(question, start_id, sample_size)``.
    question : (1, Te) array of int
        The question's ids, as the model takes them.
    correct : (Td,) or (1, Td) array of int
        The right answer's ids; the first of them is the start symbol.
    id_to_char : mapping of int to str
        The symbol of each id.
    verbose : bool
        Print the question (Q), the right answer (T) and the guess, marked ☑ in green or ☒ in red.
        Colours are left out where the environment variable ``NO_COLOR`` is set.
    is_reverse : bool
        The question's ids are in reverse order: print them the right way round.

    Returns
    -------
    int
        0 or 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import eval_seq2seq
    >>> class Echo:
    ...     def generate(self, xs, start_id, sample_size):
    ...         return xs[0, :sample_size]
    >>> question, correct = np.array([[1, 2]]), np.array([0, 1, 2])
    >>> eval_seq2seq(Echo(), question, correct, {0: "_", 1: "a", 2: "b"})
    1
    """
    start_id, *answer_ids = (int(symbol) for symbol in np.ravel(correct))
    guess_ids = model.generate(question, start_id, len(answer_ids))

    question_text = "".join(id_to_char[int(symbol)] for symbol in np.ravel(question))
    answer = "".join(id_to_char[symbol] for symbol in answer_ids)
    guess = "".join(id_to_char[int(symbol)] for symbol in guess_ids)
    right = guess == answer

    if verbose:
        print("Q", question_text[::-1] if is_reverse else question_text)
        print("T", answer)
        print(f"{answer_mark(right)} {guess}")
        print("---")
    return int(right)


def answer_mark(right: bool, color: bool = True) -> str:
    """☑ in green or ☒ in red; O or X where standard output cannot write these.

    Parameters
    ----------
    right : bool
    color : bool
        Whether to colour, unless the environment variable ``NO_COLOR`` is set.

    Returns
    -------
    str

    Examples
    --------
    >>> from fastseq.util import answer_mark
    >>> answer_mark(True, color=False) in "☑O", answer_mark(False, color=False) in "☒X"
    (True, True)
    """
    mark, plain, shade = ("☑", "O", _GREEN) if right else ("☒", "X", _RED)
    try:
        mark.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        mark = plain
    return f"{shade}{mark}{_RESET}" if color and not os.environ.get("NO_COLOR") else mark


def eval_perplexity(
    model: Any, corpus: npt.ArrayLike, batch_size: int = 10, time_size: int = 35
) -> float:
    """Perplexity of a language model on a text: ``exp`` of its mean loss.

    ``batch_size`` readers, spaced ``(len(corpus) - 1) // batch_size`` apart, read ``time_size``
    words at a time; words that do not fill a last step are left out. Dropout is off. The model's
    state is neither reset before nor after.

    Parameters
    ----------
    model : Rnnlm or a model like it
        Has ``forward(xs, ts)``, or ``forward(xs, ts, train_flg)``, which gives a loss.
    corpus : sequence of int
        Ids.
    batch_size, time_size : int

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The corpus is not of one dimension, or has less than one step of words.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import Rnnlm, eval_perplexity
    >>> model = Rnnlm(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> round(eval_perplexity(model, np.arange(101) % 10, batch_size=2, time_size=5))
    10
    """
    ids = np.asarray(corpus)
    if ids.ndim != 1:
        raise ValueError(f"corpus: expected one dimension, got shape {ids.shape}")
    if batch_size < 1 or time_size < 1 or len(ids) <= batch_size * time_size:
        raise ValueError(
            f"corpus: expected more than batch_size * time_size = {batch_size} * {time_size} ids, "
            f"got {len(ids)}"
        )
    steps = (len(ids) - 1) // (batch_size * time_size)
    starts = (len(ids) - 1) // batch_size * np.arange(batch_size)

    total_loss = 0.0
    for step in range(steps):
        # every position is below (len(ids) - 1), so that a next word is there
        positions = starts[:, np.newaxis] + np.arange(step * time_size, (step + 1) * time_size)
        total_loss += _loss_without_dropout(model, ids[positions], ids[positions + 1])
    return float(np.exp(total_loss / steps))


def _loss_without_dropout(model: Any, xs: Array, ts: Array) -> float:
    parameters = inspect.signature(model.forward).parameters
    if "train_flg" in parameters:
        return float(model.forward(xs, ts, train_flg=False))
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        # it passes its arguments on: only a call tells whether the flag is taken there
        with contextlib.suppress(TypeError):
            return float(model.forward(xs, ts, train_flg=False))
    return float(model.forward(xs, ts))


def to_cpu(x: npt.ArrayLike) -> Array:
    """An argument as a NumPy array: the same object if it is one.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    ndarray

    Examples
    --------
    >>> from fastseq import to_cpu
    >>> to_cpu([1, 2])
    array([1, 2])
    """
    return np.asarray(x)


def to_gpu(x: Any) -> Any:
    """Refuse: fastseq computes on the CPU only.

    Parameters
    ----------
    x : object
        Not read.

    Returns
    -------
    Never.

    Raises
    ------
    RuntimeError
        Always.

    Examples
    --------
    >>> from fastseq import to_gpu
    >>> to_gpu([1, 2])
    Traceback (most recent call last):
    RuntimeError: to_gpu: fastseq computes on the CPU only; set GPU = False in the config
    """
    raise RuntimeError("to_gpu: fastseq computes on the CPU only; set GPU = False in the config")
