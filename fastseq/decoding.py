"""Greedy decoding and scoring with a `RecurrentStack`, an embedding and an output matrix.

The network that both run, at each step of each row::

    x = embedding[id]
    h = the top layer's state after x
    scores = h output_weight + output_bias

The first id is ``start_id``; the next is the one that was found (greedy decoding) or given
(scoring).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import as_array, as_integer, checked
from fastseq.layers.packed import Steps
from fastseq.layers.recurrent.stack import (
    RecurrentStack,
    State,
    cell_and_weights,
    initial_state,
)

Array = npt.NDArray[Any]

__all__ = ["Answers", "greedy", "score"]

# Scores that exist at once in `score`.
_SCORES_AT_ONCE = 1 << 22
# The largest number that the kernel of `greedy` takes; an array of uint64 may have larger ones.
_MOST_STEPS = 2**63 - 1


class Answers(NamedTuple):
    """What `greedy` found, a row for each of N initial states.

    Parameters
    ----------
    ids : ndarray of int64, shape (N, T)
        T is the largest of ``max_length``. Past a row's length ``end_id``, or 0 without it.
    lengths : ndarray of int64, shape (N,)
        The ids of each row, ``end_id`` included.
    log_probabilities : ndarray of float64, shape (N,)
        The sum over the ids of each row.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.decoding import Answers
    >>> ids, lengths, _ = Answers(np.array([[5, 3, 3]]), np.array([2]), np.array([-0.5]))
    >>> [row[:length].tolist() for row, length in zip(ids, lengths)]
    [[5, 3]]
    """

    ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    log_probabilities: npt.NDArray[np.float64]


def greedy(
    stack: RecurrentStack,
    embedding: Array,
    output_weight: Array,
    output_bias: Array | None,
    state: State,
    *,
    start_id: int,
    max_length: int | Array,
    end_id: int | None = None,
) -> Answers:
    """Decode greedily: the most probable id of each step is the input of the next.

    All steps of all rows are one call of a kernel, without the GIL. Any number of threads may share
    the network.

    Parameters
    ----------
    stack : RecurrentStack
        Of one direction, D inputs and H hidden units.
    embedding : ndarray of float, shape (V, D)
    output_weight : ndarray of float, shape (H, V)
        PyTorch's ``Linear.weight.T``; may be a view.
    output_bias : ndarray of float, shape (V,), or None
    state : ndarray of float, shape (L, N, H), or a tuple of two
        The state of the stack before the first step, as `RecurrentStack.run` takes it: h, of the
        LSTM ``(h, c)``.
    start_id : int
        The input of the first step.
    max_length : int, or ndarray of int, shape (N,)
        The most ids that a row has, ``end_id`` included.
    end_id : int, optional
        Ends a row. Without it each row has ``max_length`` ids.

    Returns
    -------
    Answers
        A named tuple of the ids, their number in each row and their log probabilities. Of equally
        probable ids the lowest is taken.

    Raises
    ------
    IndexError
        ``start_id`` or ``end_id`` is no id of the embedding.
    TypeError, ValueError
        An argument is of the wrong kind or shape.

    Examples
    --------
    An encoder and a decoder, as of a network that translates:

    >>> import numpy as np
    >>> from fastseq import decoding
    >>> from fastseq.layers import RecurrentStack
    >>> D, H, V = 3, 4, 10
    >>> rng = np.random.default_rng(0)
    >>> encoder, decoder = (RecurrentStack("gru", D, H, seed=seed) for seed in (0, 1))
    >>> network = decoder, rng.normal(size=(V, D)), rng.normal(size=(H, V)), np.zeros(V)
    >>> _, state = encoder.run(rng.normal(size=(2, 6, D)), lengths=[6, 4])
    >>> found = decoding.greedy(*network, state, start_id=0, max_length=5, end_id=1)
    >>> found.ids.shape
    (2, 5)
    >>> given = decoding.score(*network, state, found.ids, found.lengths, start_id=0)
    >>> bool((given == found.log_probabilities).all())
    True
    """
    E, W, b = _checked_network(stack, embedding, output_weight, output_bias)
    h0, c0 = initial_state(stack, state)
    limits = _checked_limits(max_length, h0.shape[1])
    cell, weights = cell_and_weights(stack)
    found = _kernels.decode(
        cell,
        as_integer("start_id", start_id),
        int(limits.max(initial=0)),
        h0,
        E,
        weights,
        (W, b),
        c0=c0,
        end_id=None if end_id is None else as_integer("end_id", end_id),
        limits=limits if limits.ndim else None,
    )
    assert found.log_probabilities is not None
    return Answers(found.ids, found.taken, found.log_probabilities)


def score(
    stack: RecurrentStack,
    embedding: Array,
    output_weight: Array,
    output_bias: Array | None,
    state: State,
    targets: Array,
    lengths: Array | None = None,
    *,
    start_id: int,
) -> npt.NDArray[np.float64]:
    """How probable given answers are: the log probability of each.

    Parameters
    ----------
    stack, embedding, output_weight, output_bias, state, start_id
        As of `greedy`.
    targets : ndarray of int, shape (N, T)
        The ids of each answer, the one that ends it included where it counts. What lies past a
        row's length is not read.
    lengths : ndarray of int, shape (N,), optional
        How many ids each row has, from 0 to T; T each by default.

    Returns
    -------
    ndarray of float64, shape (N,)
        The sum over the ids of each row: of what `greedy` found, the same bits.

    Raises
    ------
    IndexError
        ``start_id`` or an id of ``targets`` is none of the embedding.
    TypeError, ValueError
        An argument is of the wrong kind or shape, or a length is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import decoding
    >>> from fastseq.layers import RecurrentStack
    >>> decoder = RecurrentStack("lstm", 3, 4, params=[np.zeros(s) for s in ((3, 16), (4, 16), 16)])
    >>> state = np.zeros((1, 1, 4)), np.zeros((1, 1, 4))
    >>> network = decoder, np.ones((8, 3)), np.zeros((4, 8)), None
    >>> total = decoding.score(*network, state, [[5, 2, 1]], start_id=0)
    >>> bool(np.isclose(np.exp(total), 1 / 8**3)[0])  # each of 8 ids is equally probable
    True
    """
    E, W, b = _checked_network(stack, embedding, output_weight, output_bias)
    start = as_integer("start_id", start_id)
    if not 0 <= start < len(E):
        raise IndexError(f"start_id: expected an id from 0 to {len(E) - 1}, got {start}")
    h0, c0 = initial_state(stack, state)
    ids, taken = _checked_targets(targets, lengths, h0.shape[1], len(E))
    N, T = ids.shape
    real = Steps(taken, T)
    inputs = np.full((N, T), start)
    inputs[:, 1:] = real.scatter(real.gather(ids))[:, :-1]
    xs = _kernels.embedding_forward(E, inputs.ravel()).reshape(N, T, E.shape[1])
    xs = xs if stack.batch_first else xs.swapaxes(0, 1)
    hs, _ = stack.run(xs, taken, h0 if c0 is None else (h0, c0))
    top = real.gather(hs if stack.batch_first else hs.swapaxes(0, 1))
    each = real.scatter(_log_probabilities(top, W, b, real.gather(ids)))
    totals = np.zeros(N)
    for t in range(T):  # in the order of the steps, as `_kernels.decode` adds them
        totals += each[:, t]
    return totals


def _log_probabilities(h: Array, W: Array, b: Array, ids: Array) -> Array:
    """Of the id of each row (R,) after the top layer's state (R, H): float64, shape (R,)."""
    found = np.empty(len(ids))
    rows = max(1, _SCORES_AT_ONCE // len(b))
    for first in range(0, len(ids), rows):
        part = slice(first, first + rows)
        scores = _kernels.log_softmax(_kernels.affine_forward(h[part], W, b))
        found[part] = scores[np.arange(len(scores)), ids[part]]
    return found


def _checked_network(
    stack: RecurrentStack, embedding: Array, output_weight: Array, output_bias: Array | None
) -> tuple[Array, Array, Array]:
    """The embedding (V, D), and W (H, V) and b (V,), as float32."""
    if not isinstance(stack, RecurrentStack):
        raise TypeError(f"stack: expected a RecurrentStack, got {type(stack).__name__}")
    if stack.bidirectional:
        raise ValueError("stack: expected one direction, got a bidirectional stack")
    E = checked("embedding", embedding, "(V, D)", None, stack.input_size)
    V = len(E)
    W = checked("output_weight", output_weight, "(H, V)", stack.hidden_size, V)
    b = np.zeros(V) if output_bias is None else checked("output_bias", output_bias, "(V,)", V)
    W, b = W.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
    return E.astype(np.float32, copy=False), W, b


def _checked_limits(max_length: int | Array, N: int) -> Array:
    """One number, or one for each row; an array of its own."""
    limits = as_array("max_length", max_length)
    if limits.dtype.kind not in "iu":
        raise TypeError(f"max_length: expected integers, got dtype {limits.dtype}")
    if limits.shape not in ((), (N,)):
        raise ValueError(f"max_length: expected a number or shape ({N},), got {limits.shape}")
    limits = limits.copy()
    if (limits < 0).any():
        raise ValueError(f"max_length: expected at least 0, got {limits.min()}")
    if limits.size and int(limits.max()) > _MOST_STEPS:
        raise ValueError(f"max_length: expected at most {_MOST_STEPS}, got {limits.max()}")
    return limits


def _checked_targets(targets: Array, lengths: Array | None, N: int, V: int) -> tuple[Array, Array]:
    """The ids (N, T), and how many of each row count; arrays of their own."""
    ids = checked("targets", targets, "(N, T)", N, None, kinds="iu").copy()
    T = ids.shape[1]
    taken = np.full(N, T)
    if lengths is not None:
        taken = checked("lengths", lengths, "(N,)", N, kinds="iu").copy()
        outside = np.flatnonzero((taken < 0) | (taken > T))
        if outside.size:
            n = outside[0]
            raise ValueError(f"lengths[{n}]: expected 0 to {T}, got {taken[n]}")
    is_real = np.arange(T) < taken[:, np.newaxis]
    wrong = np.argwhere(is_real & ((ids < 0) | (ids >= V)))
    if len(wrong):
        n, t = wrong[0]
        raise IndexError(f"targets[{n}, {t}]: expected an id from 0 to {V - 1}, got {ids[n, t]}")
    return ids, taken
