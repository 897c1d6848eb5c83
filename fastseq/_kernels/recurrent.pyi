"""Recurrent layers over whole sequences, and their gradients.

Inputs are arrays of real numbers of any dtype and layout, and are converted if necessary. Outputs
are writeable float arrays of the stated shape and any layout. Results are new, C-contiguous and
float32.

Letters: N rows of the batch, T time steps, D inputs, H hidden units, V vocabulary, K directions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

class Workspace:
    """The memory of a recurrent layer between calls: the forward cache and scratch.

    A workspace belongs to one layer and can be used by one call at a time; a concurrent second call
    raises RuntimeError. Copies and pickles are empty.
    """

    def release(self) -> None:
        """Free the memory; `recurrent_backward` then needs a new forward pass."""

def recurrent_forward(
    workspace: Workspace | None,
    cell: str,
    xs: Array,
    params: list[Array],
    h0: Array | None = None,
    c0: Array | None = None,
    lengths: Array | None = None,
    context: Array | None = None,
    embedding: Array | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """The states hs (N,T,K H) after each step, and the final states h, c (N,K H) of each row.

    cell is a name in `CELLS`, with G gates; only the LSTM has c. xs (N,T,D); params the arrays
    named in ``CELLS[cell].weights``, for each of K = 1 or 2 directions, the second of which runs
    backwards in time; a bias may have one row, (1,n). h0, c0 (N,K H) or None for zeros; lengths
    (N), the number of steps of each row, or None for T each. hs is 0 past the end of a row.

    With an embedding (V,D), xs (N,T) are ids of its rows. A context (N,C) is concatenated before x
    at every step: Wx is (C+D,G H), and the product with the context is computed once.

    The workspace stores the values for `recurrent_backward`. With None nothing is stored, which
    needs less memory and time; the results have the same bits.
    """

def recurrent_backward(
    workspace: Workspace,
    dhs: Array,
    params: list[Array],
    grads: list[Array],
    dh: Array | None = None,
    dc: Array | None = None,
    dcontext: Array | None = None,
    dembedding: Array | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray | None]:
    """Gradients of xs (N,T,D), and of h0, c0 (N,K H); the arrays in grads are overwritten.

    dhs (N,T,K H) is the gradient of hs, dh and dc (N,K H) those of the final h and c, or None for
    zeros. dcontext (N,C) and dembedding (V,D) are overwritten; they are given exactly if forward
    had a context or an embedding, and with an embedding there is no gradient of xs. Outputs must
    not share memory.
    """
