"""Hard attention: features of positions, and the sum over all paths of positions.

Letters: N rows of the batch, Te and Td steps of encoder and decoder, H hidden units, V symbols, J
jumps, from the first of ``JUMPS`` to the last. Lengths (N) are the number of steps of each row, or
None for all; results are 0 past them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

JUMPS: tuple[int, int]

def position_features_forward(
    hs_enc: Array,
    hs_dec: Array,
    mask: Array | None = None,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> FloatArray:
    """tanh(hs_enc (N,Te,H) + hs_dec (N,Td,H)) mask (N,Td,H), of all pairs: (N,Td,Te,H)."""

def position_features_backward(
    da: Array,
    features: Array,
    mask: Array | None = None,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from that of the features, and the features."""

def hard_attention_forward(
    scores: Array,
    content: Array,
    jump_scores: Array,
    ids: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
    priors_before: Array | None = None,
    scores_before: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Log probabilities (N,Td,V) of the symbols, and priors (N,Td,Te) of the positions.

    From scores (N,Td,Te,V) of each symbol at each position, content (N,Td,Te), which are attention
    weights, jump_scores (N,Td,J), and ids (N,Td), of which each step reads one. The first step is
    before any position, or follows the step of priors_before (N,Te) and scores_before (N,Te,V).
    """

def hard_attention_backward(
    dlog_p: Array,
    scores: Array,
    content: Array,
    jump_scores: Array,
    ids: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gradients of scores, content and jump_scores from dlog_p (N,Td,V)."""
