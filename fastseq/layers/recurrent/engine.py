"""The recurrent engine: runs any recurrent layer forward and backward over whole sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import check_weight, side_by_side

Array = npt.NDArray[Any]


class Recurrence:
    """The forward pass of a recurrent layer, and the backward pass that follows it.

    It owns the memory of a pass, and belongs to one layer. Weights and gradients stay with the
    layer, which passes them to each call. Copies and pickles hold no pass.

    Parameters
    ----------
    cell : str
        One of `_kernels.CELLS`, which has the number of gates and the names of the weights.
    has_bias : bool, default True
        False for a layer that has only ``[Wx, Wh]`` in each direction; the others are then zeros.

    Attributes
    ----------
    cell : str
    """

    def __init__(self, cell: str, has_bias: bool = True) -> None:
        self.cell = cell
        self._has_bias = has_bias
        self._workspace = _kernels.Workspace()
        self._embedded: tuple[Any, ...] | None = None  # the inputs of a pass that read an embedding

    def __reduce__(self) -> tuple[Any, ...]:
        return Recurrence, (self.cell, self._has_bias)

    @property
    def read_embedding(self) -> bool:
        """Whether the last forward pass read rows of an embedding."""
        return self._embedded is not None

    def forward(
        self,
        params: list[Array],
        xs: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        lengths: Array | None = None,
        *,
        embedding: Array | None = None,
        context: Array | None = None,
        keep: bool = True,
    ) -> tuple[Array, Array, Array | None]:
        """Run the sequences.

        K is the number of directions, 1 or 2.

        Parameters
        ----------
        params : list of ndarray
            The weights of the layer, of each direction.
        xs : ndarray of float, shape (N, T, D); with an embedding ids, shape (N, T)
        h0, c0 : ndarray of float, shape (N, K H), optional
            The initial state; zeros by default.
        lengths : ndarray of int, shape (N,), optional
            The number of steps of each row; T each by default.
        embedding : ndarray of float, shape (V, D), optional
            ``xs`` are ids of its rows.
        context : ndarray of float, shape (N, C), optional
            With an embedding: stands before x at every step, and ``Wx`` has C + D rows.
        keep : bool
            Whether a backward pass may follow. Without, the pass takes less time and memory, and
            the backward pass remains that of the last forward pass that was kept.

        Returns
        -------
        hs : ndarray of float32, shape (N, T, K H)
        h : ndarray of float32, shape (N, K H)
        c : ndarray of float32, shape (N, K H), or None
        """
        workspace = self._workspace if keep else None
        weights = self.complete(params)
        results = _kernels.recurrent_forward(
            workspace, self.cell, xs, weights, h0, c0, lengths, context, embedding
        )
        if keep:
            self._embedded = None
            if embedding is not None:
                self._embedded = xs, embedding, context, h0, c0, lengths
        return results

    def backward(
        self,
        params: list[Array],
        grads: list[Array],
        dhs: Array,
        dh: Array | None = None,
        dc: Array | None = None,
        *,
        dembedding: Array | None = None,
    ) -> tuple[Array | None, Array | None, Array, Array | None]:
        """Overwrite the gradients of the weights, and return those of the inputs.

        Parameters
        ----------
        params, grads : list of ndarray
        dhs : ndarray of float, shape (N, T, K H)
        dh, dc : ndarray of float, shape (N, K H), optional
            The gradients of the last states; zeros by default.
        dembedding : ndarray of float, shape (V, D), optional
            Overwritten, if the forward pass read an embedding. Without it the forward pass is
            repeated on the vectors that it read, ``[context, embedding[ids]]``, and their gradient
            is returned as ``dxs``.

        Returns
        -------
        dxs : ndarray of float32, shape (N, T, D), or None
        dcontext : ndarray of float32, shape (N, C), or None
            Only where the pass read an embedding with a context.
        dh0 : ndarray of float32, shape (N, K H)
        dc0 : ndarray of float32, shape (N, K H), or None

        Raises
        ------
        RuntimeError
            There was no forward pass.
        """
        weights, gradients = self.complete(params), self.complete(grads)
        dcontext = None
        if self._embedded is not None:
            context = self._embedded[2]
            if dembedding is None:
                self._repeat_on_vectors(params, *self._embedded)
            elif context is not None:
                dcontext = np.empty(context.shape, dtype=np.float32)
        dxs, dh0, dc0 = _kernels.recurrent_backward(
            self._workspace, dhs, weights, gradients, dh, dc, dcontext, dembedding
        )
        return dxs, dcontext, dh0, dc0

    def complete(self, arrays: list[Array]) -> list[Array]:
        """The weights or gradients of a layer, in each direction zeros for those that it lacks."""
        if self._has_bias:
            return arrays
        shapes = _kernels.CELLS[self.cell].shapes(0, len(arrays[1]))[2:]
        complete: list[Array] = []
        for first in range(0, len(arrays), 2):
            complete += arrays[first : first + 2]
            complete += [np.zeros(shape, dtype=np.float32) for shape in shapes]
        return complete

    def forget(self) -> None:
        """Give the memory of the last pass back; a backward pass needs a new forward pass."""
        self._workspace.release()
        self._embedded = None

    def _repeat_on_vectors(
        self, params: list[Array], ids: Array, embedding: Array, context: Array | None, *others: Any
    ) -> None:
        xs = _kernels.embedding_forward(embedding, ids)
        if context is not None:
            xs = side_by_side(context, xs)
        self.forward(params, xs, *others)


def check_weights(cell: str, params: Sequence[Array]) -> None:
    """Require the weights of a recurrent layer of one direction or two; else as `check_weight`.

    Parameters
    ----------
    cell : str
        One of `_kernels.CELLS`.
    params : sequence of ndarray
        ``[Wx, Wh]``, or all that the cell has, or those of two directions; the names in messages
        then end in 1 and 2.
    """
    info = _kernels.CELLS[cell]
    numbers = ["1", "2"] if len(params) > len(info.weights) else [""]
    names = [f"{weight}{number}" for number in numbers for weight in info.weights]
    letters = [_letters(shape) for shape in info.shapes(0, 1)] * len(numbers)
    # Wh has H rows, Wx has D
    H, D = (len(check_weight(names[i], params[i], letters[i], None, None)) for i in (1, 0))
    shapes = info.shapes(D, H) * len(numbers)
    for name, weight, expected, shape in zip(names, params, letters, shapes, strict=False):
        check_weight(name, weight, expected, *shape)


def _letters(shape: tuple[int, ...]) -> str:
    """A weight's shape in the letters of the documentation, from its numbers for D = 0, H = 1."""
    axes = [{0: "D", 1: "H"}.get(size, f"{size}H") for size in shape]
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"
