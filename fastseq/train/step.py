"""One training step, which all trainers share, and the merging of shared parameters in it."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy.typing as npt

from fastseq.util import clip_grads

Array = npt.NDArray[Any]

__all__ = ["remove_duplicate", "train_step"]


class Model(Protocol):
    """What training requires of a model."""

    params: list[Array]
    grads: list[Array]

    def forward(self, xs: Array, ts: Array) -> float: ...

    def backward(self) -> Any: ...


class Optimizer(Protocol):
    """What training requires of an optimizer."""

    def update(self, params: list[Array], grads: list[Array]) -> None: ...


def remove_duplicate(params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """Merge the entries of parameters that share their memory, and add their gradients.

    Two entries are one parameter when they are the same array, two views of the same elements, or
    the transposed view of one another (weight tying: ``TimeAffine(embed_W.T, b)``). Memory decides,
    never values: two different arrays that happen to be equal stay two.

    Parameters
    ----------
    params, grads : list of arrays
        Of pairwise equal shapes.

    Returns
    -------
    params, grads : list of arrays
        New lists, without the repeated entries. The gradient of a shared parameter is the array of
        its first entry, to which the others' were added in place.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.train import remove_duplicate
    >>> W = np.zeros((2, 3))
    >>> params, grads = remove_duplicate([W, W.T], [np.ones((2, 3)), np.ones((3, 2))])
    >>> len(params), grads[0].tolist()
    (1, [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]])
    """
    unique_params: list[Array] = []
    unique_grads: list[Array] = []
    first_seen: dict[tuple[Any, ...], Array] = {}

    for param, grad in zip(params, grads, strict=True):
        address = param.__array_interface__["data"][0]
        # the stride of an axis of length 1 is never used and may be anything
        axes = tuple(
            (size, stride if size > 1 else 0)
            for size, stride in zip(param.shape, param.strides, strict=True)
        )
        same = (address, param.dtype, axes)
        transposed = (address, param.dtype, axes[::-1])
        if same in first_seen:
            first_seen[same] += grad
        elif transposed in first_seen:
            first_seen[transposed] += grad.T
        else:
            first_seen[same] = grad
            unique_params.append(param)
            unique_grads.append(grad)
    return unique_params, unique_grads


def train_step(
    model: Model, optimizer: Optimizer, xs: Array, ts: Array, max_grad: float | None, place: str
) -> float:
    """Forward, backward, :func:`remove_duplicate`, :func:`~fastseq.util.clip_grads`, update.

    Parameters
    ----------
    model, optimizer
        What is trained, and how.
    xs, ts : arrays
        One batch.
    max_grad : float or None
        The largest global norm of the gradients; None leaves them as they are.
    place : str
        Where in the training this is, for the error message.

    Returns
    -------
    float
        The loss before the update.

    Raises
    ------
    FloatingPointError
        When the loss is NaN or infinite. The parameters stay as they are.
    """
    loss = float(model.forward(xs, ts))
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss became {loss} in {place}: training stopped"
            " (a smaller learning rate or max_grad may help)"
        )
    model.backward()
    params, grads = remove_duplicate(model.params, model.grads)
    if max_grad is not None:
        clip_grads(grads, max_grad)
    optimizer.update(params, grads)
    return loss
