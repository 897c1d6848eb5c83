"""Attention over the states of an encoder, and its gradients.

Inputs are arrays of real numbers of any dtype and layout, and are converted if necessary. Outputs
are writeable float arrays of the stated shape and any layout. Results are new, C-contiguous and
float32.

Letters: N rows of the batch, Te and Td steps of encoder and decoder, H hidden units. Lengths (N)
are the number of steps of each row, or None for all; results are 0 past them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

def attention_forward(
    hs_enc: Array,
    hs_dec: Array,
    scale: float = 1.0,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Contexts (N,Td,H) and weights (N,Td,Te) from hs_enc (N,Te,H) and hs_dec (N,Td,H)."""

def attention_backward(
    dout: Array,
    hs_enc: Array,
    hs_dec: Array,
    weights: Array,
    scale: float = 1.0,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from the gradient of the contexts."""

def attention_weight_forward(
    hs_enc: Array,
    hs_dec: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> FloatArray:
    """The weights alone: softmax(hs_dec hs_enc^T)."""

def attention_weight_backward(
    dweights: Array,
    hs_enc: Array,
    hs_dec: Array,
    weights: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from the gradient of the weights."""

def weight_sum_forward(
    hs_enc: Array,
    weights: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> FloatArray:
    """The contexts alone: weights hs_enc."""

def weight_sum_backward(
    dout: Array,
    hs_enc: Array,
    weights: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and weights from the gradient of the contexts."""

def additive_weight_forward(
    hs_enc: Array,
    hs_dec: Array,
    v: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> FloatArray:
    """Weights (N,Td,Te): softmax over e of v (H) . tanh(hs_enc (N,Te,H) + hs_dec (N,Td,H))."""

def additive_weight_backward(
    dweights: Array,
    hs_enc: Array,
    hs_dec: Array,
    v: Array,
    weights: Array,
    dv: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from the gradient of the weights; dv (H) is overwritten."""
