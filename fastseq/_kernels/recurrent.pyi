"""Recurrent layers over whole sequences, and their gradients.

Arguments may be of any layout, float64 or integer, and are copied where they must be; what is
written to must be writeable arrays of floats, of the stated shape and any layout. Results are new,
C-contiguous and float32.

Letters: N rows of the batch, T time steps, D inputs, H hidden units, V vocabulary, K directions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

class Workspace:
    """What a recurrent layer keeps between calls: the forward cache and scratch memory.

    It belongs to one layer and serves one call at a time: a second call meanwhile is a
    RuntimeError. Copies and pickles are empty.
    """

    def release(self) -> None:
        """Give the memory back; `recurrent_backward` then needs a new forward pass."""

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
    """The states hs (N,T,K H) after each step, and h, c (N,K H) after each row's last.

    cell is a name in `CELLS`, with G gates; only the LSTM has c. xs (N,T,D); params the arrays that
    ``CELLS[cell].weights`` names, for each of K = 1 or 2 directions, the second from each row's
    end; a bias may have one row, (1,n). h0, c0 (N,K H) or None for zeros; lengths (N), steps of
    each row, or None for T each. hs is 0 where a row has no step.

    With an embedding (V,D), xs (N,T) are ids of its rows. A
    context (N,C) stands before x at every step: Wx is (C+D,G H), and context Wc is multiplied once.

    The workspace holds what `recurrent_backward` needs. None keeps nothing, which takes less memory
    and time; the results have the same bits.
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

    dhs (N,T,K H) is that of hs, dh and dc (N,K H) those of the last h and c, or None for zeros.
    dcontext (N,C) and dembedding (V,D) are overwritten where forward had a context or an embedding;
    with an embedding there is no gradient of xs. Arrays that are written must not share memory.
    """
