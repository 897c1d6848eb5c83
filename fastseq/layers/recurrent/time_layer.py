"""What the recurrent layers over time share, and a pass through an embedding and such a layer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import as_array, is_original, side_by_side
from fastseq.layers.embedding import TimeEmbedding, remember_ids
from fastseq.layers.recurrent.base import RecurrentBase

Array = npt.NDArray[Any]


class TimeLayer(RecurrentBase):
    """A cell over a whole sequence, in one direction or in both.

    A subclass that has c names it in `_c` and `_dc`.
    """

    stateful = False
    h: Array | None = None
    dh: Array | None = None
    _c: Array | None = None
    _dc: Array | None = None
    _steps: int | None = None  # of the last forward pass
    _layers: Any = None

    def __init__(self, params: list[Array], stateful: bool) -> None:
        super().__init__(params)
        self.stateful = stateful

    def forward(self, xs: Array) -> Array:
        """Run the sequence.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, D)

        Returns
        -------
        ndarray of float32, shape (N, T, H); of two directions (N, T, 2H)
            The hidden states of all steps.

        Raises
        ------
        TypeError, ValueError
            ``xs`` is of the wrong kind or shape, or a stateful layer holds the state of another
            batch size.
        """
        return self._run(xs)

    def backward(self, dhs: Array) -> Array:
        """Gradient of ``xs``; ``grads`` and the attributes ``dh`` and ``dc`` receive the others.

        No gradient flows into an earlier `forward` (truncated backpropagation through time).

        Parameters
        ----------
        dhs : ndarray of float, shape (N, T, H); of two directions (N, T, 2H)

        Returns
        -------
        ndarray of float32, shape (N, T, D)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        dxs, _, self.dh, self._dc = self._recurrence.backward(self.params, self.grads, dhs)
        assert dxs is not None
        return dxs

    def set_state(self, h: Array) -> None:
        """Let the next `forward` of a stateful layer begin with the state ``h``.

        Parameters
        ----------
        h : ndarray of float, shape (N, H)
            Checked by `forward`.
        """
        self.h = h

    def reset_state(self) -> None:
        """Let the next `forward` begin with a state of zeros."""
        self.h = self._c = None

    def _run(
        self,
        xs: Array,
        embedding: Array | None = None,
        context: Array | None = None,
        keep: bool = True,
    ) -> Array:
        """As `forward`; the other arguments are those of `Recurrence.forward`."""
        h = c = None
        if self.stateful and self.h is not None:
            xs, h, c = as_array("xs", xs), self.h, self._c
            if xs.ndim > 0 and len(xs) != len(h):
                raise ValueError(
                    f"xs: expected {len(h)} rows, as in the state of this stateful layer, got "
                    f"{len(xs)}: call reset_state() or set_state() before the batch size changes"
                )
        hs, self.h, self._c = self._recurrence.forward(
            self.params, xs, h, c, embedding=embedding, context=context, keep=keep
        )
        self._steps, self._layers = hs.shape[1], None
        return hs


def step_layers(make: Callable[[Any], Any]) -> Any:
    """The attribute `layers` of a layer over time, which has one layer for each step.

    They are made when the attribute is read, and hold nothing of the passes. A list that is
    assigned stays until the next `forward`.

    Parameters
    ----------
    make : callable
        Takes the layer over time and returns a layer of one step with the same weights.
    """

    def read(layer: TimeLayer) -> Any:
        if layer._layers is None and layer._steps is not None:
            layer._layers = [make(layer) for _ in range(layer._steps)]
        return layer._layers

    def assign(layer: TimeLayer, layers: Any) -> None:
        layer._layers = layers

    return property(read, assign, doc="One layer for each step of the last `forward`, or None.")


def embedded_forward(
    embed: Any, layer: Any, xs: Array, context: Array | None = None, keep: bool = True
) -> Array:
    """``layer.forward(embed.forward(xs))``; with a context, of both side by side.

    Layers of the package, unless one is replaced, are run together: a row of the embedding is
    multiplied by ``Wx`` once and not at every step, and so is a context.

    Parameters
    ----------
    embed : TimeEmbedding, or another with its methods
    layer : TimeLayer, or another with its methods
    xs : ndarray of int, shape (N, T)
    context : ndarray of float, shape (N, C), optional
        Stands before the embedding at every step.
    keep : bool
        Whether a `backward` may follow.

    Returns
    -------
    ndarray of float32, shape (N, T, H)
    """
    if not _run_together(embed, layer):
        embedded = embed.forward(xs)
        hs: Array = layer.forward(embedded if context is None else side_by_side(context, embedded))
        return hs
    ids = as_array("xs", xs).copy()  # the caller may fill its own with the next batch
    hs = layer._run(ids, embed.params[0], context, keep)
    if keep:
        remember_ids(embed, ids)
    return hs


def embedded_backward(embed: Any, layer: Any, dhs: Array, columns: int = 0) -> Array | None:
    """Fill the gradients of both layers after `embedded_forward`.

    Parameters
    ----------
    embed, layer
    dhs : ndarray of float, shape (N, T, H)
    columns : int
        C of the context.

    Returns
    -------
    ndarray of float32, shape (N, C), or None
        The gradient of the context, where there was one.
    """
    dcontext: Array | None
    if _run_together(embed, layer) and layer._recurrence.read_embedding:
        _, dcontext, layer.dh, layer._dc = layer._recurrence.backward(
            layer.params, layer.grads, dhs, dembedding=embed.grads[0]
        )
    else:
        dxs = layer.backward(dhs)
        embed.backward(dxs[:, :, columns:])
        dcontext = dxs[:, :, :columns].sum(axis=1) if columns else None
    return dcontext


def decodable(layer: Any) -> bool:
    """Whether `_kernels.decode` can run the layer from its state on, step by step.

    It must be a layer of the package that is not replaced, in one direction, with all weights.
    """
    if not (isinstance(layer, TimeLayer) and is_original(layer)):
        return False
    is_complete = len(layer.params) == len(_kernels.CELLS[layer._cell].weights)
    return is_complete and layer.stateful and layer.h is not None


def weights_by_direction(layer: Any) -> tuple[str, list[list[Array]]]:
    """The cell of a layer, and the weights of each direction, in the order of `_kernels.CELLS`.

    A bias that the layer does not have is zeros.

    Raises
    ------
    TypeError
        The layer is none of the package's, or it is replaced.
    """
    if not (isinstance(layer, TimeLayer) and is_original(layer)):
        raise TypeError(
            f"expected a recurrent layer of fastseq, as it is, got {type(layer).__name__}"
        )
    params, info = layer.params, _kernels.CELLS[layer._cell]
    count = len(info.weights)
    if len(params) < count:  # Wx and Wh alone
        params = [*params, np.zeros(params[0].shape[1], dtype=np.float32)]
    return layer._cell, [params[k : k + count] for k in range(0, len(params), count)]


def decode(layer: TimeLayer, *arguments: Any, **options: Any) -> _kernels.Decoded:
    """Run a `decodable` layer inside `_kernels.decode`, and move its state on.

    Parameters
    ----------
    layer : TimeLayer
    *arguments, **options
        ``start_id, steps, embedding, output``, and the optional ones of `_kernels.decode`.
    """
    start_id, steps, embedding, output = arguments
    assert layer.h is not None
    found = _kernels.decode(
        layer._cell,
        start_id,
        steps,
        np.asarray(layer.h)[np.newaxis],
        embedding,
        [layer.params],
        output,
        c0=None if layer._c is None else np.asarray(layer._c)[np.newaxis],
        scored=False,
        **options,
    )
    layer.h, layer._c = found.h[0], None if found.c is None else found.c[0]
    layer._recurrence.forget()  # backward needs a new forward: the state is not that of the last
    return found


def _run_together(embed: object, layer: object) -> bool:
    return (
        type(embed) is TimeEmbedding
        and isinstance(layer, TimeLayer)
        and is_original(layer)
        and is_original(embed)
    )
