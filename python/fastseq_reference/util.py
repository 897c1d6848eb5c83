"""Gradient clipping, perplexity, and the exact-match test of one question.

The functions of ``fastseq_reference.text`` are reached from here too.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.text import (
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
    "analogy",
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


def clip_grads(grads: list[Array], max_norm: float) -> None:
    """Scale gradients in place so that their global norm is at most ``max_norm``.

    ``norm = sqrt(sum of squares of all elements of all arrays)``; every array is multiplied by
    ``max_norm / (norm + 1e-6)`` when that is below 1.

    Parameters
    ----------
    grads : list of arrays
    max_norm : float

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.
    """
    total = 0.0
    for grad in grads:
        total += float(np.sum(grad**2))
    rate = max_norm / (math.sqrt(total) + 1e-6)
    if rate < 1:
        for grad in grads:
            grad *= rate


def eval_seq2seq(
    model: Any,
    question: Array,
    correct: Array,
    id_to_char: Mapping[int, str],
    verbose: bool = False,
    is_reverse: bool = False,
) -> int:
    """Whether the model answers one question exactly.

    Parameters
    ----------
    model : object with ``generate(question, start_id, sample_size)``
    question : (1, T) integer array
    correct : (T',) or (1, T') integer array
        The answer; its first symbol is the start symbol.
    id_to_char : mapping of id to character
    verbose : bool
        Print the question (Q), the answer (T) and the marked guess.
    is_reverse : bool
        The question was reversed for the model; print it forwards.

    Returns
    -------
    right : int
        1 when every symbol is right, else 0.
    """
    correct = correct.flatten()
    start_id, answer_ids = int(correct[0]), correct[1:]
    guess_ids = model.generate(question, start_id, len(answer_ids))

    question_text = "".join(id_to_char[int(i)] for i in question.flatten())
    answer = "".join(id_to_char[int(i)] for i in answer_ids)
    guess = "".join(id_to_char[int(i)] for i in guess_ids)
    if is_reverse:
        question_text = question_text[::-1]

    right = guess == answer
    if verbose:
        mark = "\033[92m☑\033[0m" if right else "\033[91m☒\033[0m"
        print("Q", question_text)
        print("T", answer)
        print(mark, guess)
        print("---")
    return int(right)


def eval_perplexity(model: Any, corpus: Array, batch_size: int = 10, time_size: int = 35) -> float:
    """``exp`` of the mean loss of a language model on a text, without dropout.

    Parameters
    ----------
    model : object with ``forward(xs, ts)`` or ``forward(xs, ts, train_flg)``
        Its state is not reset.
    corpus : (L,) integer array
        Ids.
    batch_size : int
        Readers; reader i starts at ``i ((L - 1) // batch_size)``.
    time_size : int
        Words that each reads in a step; there are ``(L - 1) // (batch_size time_size)`` steps.

    Returns
    -------
    perplexity : float

    Raises
    ------
    ValueError
        When the corpus is too short for one step.
    """
    corpus_size = len(corpus)
    max_iters = (corpus_size - 1) // (batch_size * time_size)
    if max_iters < 1:
        raise ValueError(f"corpus: {corpus_size} ids are too few for one step")
    jump = (corpus_size - 1) // batch_size

    total_loss = 0.0
    for iteration in range(max_iters):
        xs = np.zeros((batch_size, time_size), dtype="i")
        ts = np.zeros((batch_size, time_size), dtype="i")
        for reader in range(batch_size):
            for t in range(time_size):
                position = reader * jump + iteration * time_size + t
                xs[reader, t] = corpus[position]
                ts[reader, t] = corpus[position + 1]
        try:
            total_loss += model.forward(xs, ts, train_flg=False)
        except TypeError:  # a model without dropout
            total_loss += model.forward(xs, ts)
    return float(np.exp(total_loss / max_iters))


def to_cpu(x: npt.ArrayLike) -> Array:
    """The array itself."""
    return np.asarray(x)


def to_gpu(x: Any) -> Any:
    """Raise RuntimeError: there is no GPU support.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError("to_gpu: this package computes on the CPU only")
