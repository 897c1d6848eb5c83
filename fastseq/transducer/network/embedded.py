"""An embedding and the recurrent layer above it, run together.

The layer's ``Wx`` is multiplied once with each row of the embedding, not at every step; and so is a
context that each row of the batch sees at all of its steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import zero_gradients

Array = npt.NDArray[Any]


class EmbeddedLayer:
    """``recurrent([context | W[ids]])``, over rows of unlike length.

    Parameters
    ----------
    W : ndarray of float32, shape (V, D)
    cell : {"gru", "gru_reset_after", "lstm"}
    params : list of ndarray of float32
        Those of the `RecurrentLayer`, for one direction or two; ``Wx`` is (C + D, G H), with C = 0
        without a context.

    Attributes
    ----------
    cell : str
    params, grads : list of ndarray
        ``[W, *params]``, and their gradients after `backward`.
    """

    def __init__(self, W: Array, cell: str, params: list[Array]) -> None:
        self.cell = cell
        self.params = [W, *params]
        self.grads = zero_gradients(self.params)
        self._workspace = _kernels.Workspace()
        self._context: Array | None = None

    def forward(
        self,
        ids: Array,
        lengths: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        context: Array | None = None,
    ) -> tuple[Array, Array, Array | None]:
        """Run the sequences; as `RecurrentLayer.forward`, from ids (N, T) and a context (N, C)."""
        W, *params = self.params
        self._context = context
        return _kernels.recurrent_forward(
            self._workspace, self.cell, ids, params, h0, c0, lengths, context, W
        )

    def backward(
        self, dhs: Array, dh: Array | None = None, dc: Array | None = None
    ) -> tuple[Array | None, Array, Array | None]:
        """Fill the gradients; those of the context, where there was one, h0 and c0 are returned."""
        dW, *grads = self.grads
        dcontext = None if self._context is None else np.empty_like(self._context)
        _, dh0, dc0 = _kernels.recurrent_backward(
            self._workspace, dhs, self.params[1:], grads, dh, dc, dcontext, dW
        )
        return dcontext, dh0, dc0

    def run(self, ids: Array, lengths: Array | None) -> tuple[Array, Array, Array | None]:
        """The result of `forward` from zeros and without a context, to the bit; nothing is kept."""
        W, *params = self.params
        return _kernels.recurrent_forward(
            None, self.cell, ids, params, lengths=lengths, embedding=W
        )

    def step(
        self, ids: Array, h0: Array, c0: Array | None, context: Array | None
    ) -> tuple[Array, Array, Array | None]:
        """One step of each row, from ids (N,); nothing is kept."""
        W, *params = self.params
        x = _kernels.embedding_forward(W, ids)
        if context is not None:
            x = np.concatenate((context, x), axis=1)
        return _kernels.recurrent_forward(None, self.cell, x[:, np.newaxis], params, h0, c0)
