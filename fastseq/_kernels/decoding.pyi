"""Greedy decoding: every step reads the id that the step before it chose, all in one call."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

class Decoded(NamedTuple):
    """What `decode` finds: N rows of up to `steps` ids."""

    ids: npt.NDArray[np.int64]  # (N,steps); behind a row's last id its end_id, or 0
    taken: npt.NDArray[np.int64]  # (N), how many of them are the row's
    log_probabilities: npt.NDArray[np.float64] | None  # (N), the sum over a row's ids
    h: FloatArray  # (L,N,H), each layer's states after the row's last step
    c: FloatArray | None
    weights: FloatArray | None  # (N,Te), attention weights of the row's last step

def decode(
    cell: str,
    start_id: int,
    steps: int,
    h0: Array,
    embedding: Array,
    layers: Sequence[Sequence[Array]],
    output: Sequence[Array],
    *,
    c0: Array | None = None,
    first_id: int = 0,
    end_id: int | None = None,
    limits: Array | None = None,
    peek: Array | None = None,
    hs_enc: Array | None = None,
    encoder_lengths: Array | None = None,
    scale: float = 1.0,
    W_query: Array | None = None,
    keys: Array | None = None,
    v: Array | None = None,
    combine: Sequence[Array] | None = None,
    scored: bool = True,
) -> Decoded:
    """Let a decoder of L layers read its own best ids, from start_id on.

    h0, c0 (L,N,H), c0 None for zeros; embedding (V,D); layers the arrays that
    ``CELLS[cell].weights`` names, for each layer, where the first reads D columns, or with peek
    (N,H) H + D: ``[peek, embedded id]``. output W (F,V), b (V), of ``[peek, a]``: F is the width.

    a is the top layer's h (H); with hs_enc (N,Te,H) it is ``[context, h]`` (2H), and with combine
    W (2H,H), b (H) ``tanh([context, h] W + b)`` (H). Attention is by dot products times scale, of
    h, or h W_query with W_query (H,H); with keys (N,Te,H) and v (H) it is additive. Each row
    attends to its first encoder_lengths (N) steps, or to all.

    A row ends with end_id, or after as many steps as limits (N) says, or else `steps`. The best id
    is that of the largest score, the first of equals, from first_id on; if scored, that of the
    largest log probability, and these are summed.
    """
