"""Decoding in one call: greedy search and beam search."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

class Decoded(NamedTuple):
    """The result of `decode`: N rows of up to `steps` ids.

    That of `decode_together` has no states and weights: None for each.
    """

    ids: npt.NDArray[np.int64]  # (N,steps); after a row's last id end_id, or 0
    taken: npt.NDArray[np.int64]  # (N), the number of ids of each row
    log_probabilities: npt.NDArray[np.float64] | None  # (N), the sum over a row's ids
    h: FloatArray  # (L,N,H), the final states of each layer
    c: FloatArray | None
    weights: FloatArray | None  # (N,Te), attention weights of the row's last step

class Found(NamedTuple):
    """The result of `beam_search`: n_best answers, best first, of up to `steps` ids for N rows.

    Where a row has fewer, the others' scores are minus infinity; all are NaN where a log
    probability was, or where after a hypothesis no id was possible.
    """

    ids: npt.NDArray[np.int64]  # (N,n_best,steps); after an answer's last id end_id, or 0
    taken: npt.NDArray[np.int64]  # (N,n_best), the number of ids of each answer
    log_probabilities: npt.NDArray[np.float64]  # (N,n_best), the sum over an answer's ids
    scores: npt.NDArray[np.float64]  # (N,n_best)

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
    jump: Sequence[Array] | None = None,
    scored: bool = True,
) -> Decoded:
    """Decode greedily with a decoder of L layers, from start_id on.

    h0, c0 (L,N,H), c0 None for zeros; embedding (V,D); layers has for each layer the arrays named
    in ``CELLS[cell].weights``. The input of the first layer is the embedded id (D), or with peek
    (N,H) ``[peek, embedded id]`` (H+D). output is W (F,V) and b (V), applied to ``[peek, a]`` or a.

    a is the top layer's h (H); with hs_enc (N,Te,H) it is ``[context, h]`` (2H), and with combine,
    W (2H,H) and b (H), it is ``tanh([context, h] W + b)`` (H). Attention uses dot products times
    scale with the query h, or h W_query with W_query (H,H); with keys (N,Te,H) and v (H) it is
    additive. Each row attends to its first encoder_lengths (N) steps, or to all.

    With jump, W (H,J) and b (J), attention is hard, see `hard_attention_forward`: it needs W_query,
    keys without v, and combine, W (H,H) and b (H), and the weights of the result are priors. The
    scores at each position are those of ``tanh(keys + h W + b)``.

    A row ends with end_id, or after limits (N) steps, or else `steps`. The predicted id is the
    argmax of the scores from first_id on, the first of equals; if scored, of the log probabilities,
    which are summed.
    """

def decode_together(
    decoders: Sequence[Mapping[str, Any]],
    start_id: int,
    steps: int,
    *,
    first_id: int = 0,
    end_id: int | None = None,
    limits: Array | None = None,
    encoder_lengths: Array | None = None,
) -> Decoded:
    """Decode greedily with several decoders as one: by the mean of their probabilities.

    Each decoder is a dictionary of those arguments of `decode` that are not here, of as many rows
    and symbols as the others.
    """

def beam_search(
    decoders: Sequence[Mapping[str, Any]],
    start_id: int,
    steps: int,
    beam: int,
    n_best: int = 1,
    length_penalty: float = 0.0,
    *,
    first_id: int = 0,
    end_id: int | None = None,
    limits: Array | None = None,
    encoder_lengths: Array | None = None,
) -> Found:
    """Search the n_best answers of each row with one decoder, or several as in `decode_together`.

    At each step the `beam` extensions with the highest log probabilities are chosen, of equal ones
    that of the better hypothesis, then of the lower id; those that end are set aside, and the
    others go on while they can still be among the n_best. An answer's score is its log probability
    divided by ``((5 + taken) / 6) ** length_penalty``. Of equal scores the answer that ended first
    is first.
    """
