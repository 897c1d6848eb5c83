"""Two layers of a model in one pass: the same numbers, without what lies between them.

An LSTM that reads embeddings multiplies ``Wx`` once with each row of the embedding instead of at
every step. A context that every step sees beside them, and an affine map of several arrays side by
side, are multiplied part by part: nothing is repeated over time, and nothing is copied together.

Each function does what its first lines say; layers of a class of the user's own, and shapes where
it does not pay, are called as they stand. A layer's own ``backward`` may still be called after a
fused forward pass.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.affine import TimeAffine
from fastseq.layers.base import as_array, check_batch_size, checked, side_by_side
from fastseq.layers.embedding import TimeEmbedding
from fastseq.layers.recurrent.bidirectional import TimeBiLSTM
from fastseq.layers.recurrent.lstm import EmbeddedInputs, TimeLSTM

Array = npt.NDArray[Any]


def embedded_forward(
    embed: TimeEmbedding,
    lstm: TimeLSTM | TimeBiLSTM,
    xs: Array,
    context: Array | None = None,
    keep: bool = True,
) -> Array:
    """``lstm.forward(embed.forward(xs))``; with a context, of both side by side, the context first.

    Parameters
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM or TimeBiLSTM
    xs : ndarray of int, shape (N, T)
    context : ndarray of float, shape (N, C), optional
    keep : bool
        Whether a `backward` may follow; where none does, time and memory can be saved.

    Returns
    -------
    ndarray of float32, shape (N, T, H)
    """
    xs = as_array("xs", xs)
    if not _can_fuse(embed, lstm, xs, context):
        embedded = embed.forward(xs)
        return lstm.forward(embedded if context is None else side_by_side(context, embedded))
    ids = checked("xs", xs, "(N, T)", None, None, kinds="iu").copy()
    (E,) = embed.params
    start = (lstm.h, lstm.c) if lstm.stateful else (None, None)
    check_batch_size(ids, start[0])
    workspace = lstm._workspace if keep else None
    hs, lstm.h, lstm.c = _kernels.recurrent_forward(
        workspace, "lstm", ids, lstm.params, *start, context=context, embedding=E
    )
    if keep:
        embed._ids = ids
        lstm._embedded = EmbeddedInputs(E, ids, context, *start)
    return hs


def embedded_backward(
    embed: TimeEmbedding, lstm: TimeLSTM | TimeBiLSTM, dhs: Array
) -> Array | None:
    """Fill the gradients of both layers after `embedded_forward`.

    Parameters
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM or TimeBiLSTM
    dhs : ndarray of float, shape (N, T, H)

    Returns
    -------
    ndarray of float32, shape (N, C), or None
        The gradient of the context, where there was one.
    """
    inputs = lstm._embedded
    if inputs is None:
        dxs = lstm.backward(dhs)
        C = dxs.shape[2] - embed.params[0].shape[1]
        embed.backward(dxs[:, :, C:])
        dcontext: Array | None = dxs[:, :, :C].sum(axis=1) if C > 0 else None
        return dcontext
    (dE,) = embed.grads
    dcontext = None if inputs.context is None else np.empty_like(inputs.context, np.float32)
    _, lstm.dh, lstm.dc = _kernels.recurrent_backward(
        lstm._workspace, dhs, lstm.params, lstm.grads, dcontext=dcontext, dembedding=dE
    )
    return dcontext


def _can_fuse(embed: object, lstm: object, xs: Array, context: Array | None) -> bool:
    """Whether these are the package's own layers, and the table of ``E Wx`` is worth its while.

    With a context this must not depend on the number of rows: the order of a sum does.
    """
    if type(embed) is not TimeEmbedding or type(lstm) not in (TimeLSTM, TimeBiLSTM):
        return False
    if xs.ndim != 2:
        return False
    N, T = xs.shape
    return T > 1 and (context is not None or len(embed.params[0]) <= N * T)


def affine_forward(affine: TimeAffine, *parts: Array) -> Array:
    """``affine.forward`` of the parts side by side.

    Parameters
    ----------
    affine : TimeAffine
    *parts : ndarray of float, shape (N, T, K) or (N, K)
        The last is (N, T, K).

    Returns
    -------
    ndarray of float32, shape (N, T, M)
    """
    if type(affine) is not TimeAffine:
        return affine.forward(side_by_side(*parts))
    W, out = affine.params
    steps = parts[-1].shape[1]
    first = 0
    for part in parts:
        last = first + part.shape[-1]
        out = _kernels.affine_forward(part, W[first:last], out)
        if part.ndim == 2:
            out = np.repeat(out[:, np.newaxis], steps, axis=1)
        first = last
    affine._parts = parts
    return out


def affine_backward(affine: TimeAffine, dout: Array, *parts: Array) -> list[Array]:
    """Fill the gradients after `affine_forward` of these parts.

    Parameters
    ----------
    affine : TimeAffine
    dout : ndarray of float, shape (N, T, M)
    *parts : ndarray of float
        As in `affine_forward`.

    Returns
    -------
    list of ndarray of float32
        The gradient of each part.

    Raises
    ------
    RuntimeError
        There was no `affine_forward`.
    """
    ends = np.cumsum([part.shape[-1] for part in parts])
    columns = [slice(end - part.shape[-1], end) for end, part in zip(ends, parts, strict=True)]
    if type(affine) is not TimeAffine:
        dx = affine.backward(dout)
        each = [dx[:, :, which] for which in columns]
        return [d if part.ndim == 3 else d.sum(axis=1) for d, part in zip(each, parts, strict=True)]
    if affine._parts is None:
        raise RuntimeError("TimeAffine.backward was called before forward")
    W, _ = affine.params
    dW, db = affine.grads
    dout = checked("dout", dout, "(N, T, M)", *parts[-1].shape[:2], W.shape[1])
    gradients = []
    for part, which in zip(parts, columns, strict=True):
        dy = dout if part.ndim == 3 else dout.sum(axis=1)
        last_db = db if part is parts[-1] else None
        gradients.append(_kernels.affine_backward(dy, part, W[which], dW[which], last_db))
    return gradients


def greedy_decode(
    embed: TimeEmbedding,
    lstm: TimeLSTM,
    affine: TimeAffine,
    start_id: int,
    steps: int,
    hs_enc: Array | None = None,
    peeky: bool = False,
) -> tuple[Array, Array | None]:
    """The best id of each step, which the next step reads, from the state of the LSTM on.

    Parameters
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
        Its state moves on; a `backward` needs a new `forward`.
    affine : TimeAffine
    start_id, steps : int
    hs_enc : ndarray of float, shape (N, Te, H), optional
        Attention over these, before the affine map: ``[context, h]``.
    peeky : bool
        Whether the first state stands beside what the LSTM and the affine map take.

    Returns
    -------
    ids : ndarray of int64, shape (N, steps)
    weights : ndarray of float32, shape (N, Te), or None
        The attention weights of the last step.
    """
    assert lstm.h is not None
    found = _kernels.decode(
        "lstm",
        start_id,
        steps,
        lstm.h[np.newaxis],
        embed.W,
        [lstm.params],
        affine.params,
        peek=lstm.h if peeky else None,
        hs_enc=hs_enc,
        scored=False,
    )
    assert found.c is not None
    lstm._workspace.release()  # the state is no longer that of the last forward pass
    lstm.set_state(found.h[0], found.c[0])
    return found.ids, found.weights
