"""Operations without recurrence: elementwise, softmax and its loss, embedding, affine.

Inputs are arrays of real numbers of any dtype and layout, and are converted if necessary. Outputs
are writeable float arrays of the stated shape and any layout. Results are new, C-contiguous and
float32.

Letters: D inputs, V vocabulary size, K and M columns; S any shape.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

def exp(x: Array) -> FloatArray: ...
def tanh(x: Array) -> FloatArray: ...
def sigmoid(x: Array) -> FloatArray: ...
def softmax(x: Array) -> FloatArray:
    """Over the last axis."""

def log_softmax(x: Array) -> FloatArray:
    """Over the last axis; finite where a probability underflows to 0."""

def log_mean_exp(x: Array) -> FloatArray:
    """The logarithm of the mean of the K probabilities with logarithms x (K,R,V): (R,V)."""

def softmax_loss_forward(
    xs: Array, labels: Array, ignore_label: int | None
) -> tuple[float, FloatArray, int]:
    """Mean of -log p over the labels that are not ignored, p (S,V), and the number of these.

    xs (S,V), labels (S). ValueError if all labels are ignored.
    """

def softmax_loss_backward(
    probabilities: Array, labels: Array, ignore_label: int | None, scale: float
) -> FloatArray:
    """(p - onehot(labels)) scale, zero where the label is ignored: (S,V)."""

def embedding_forward(W: Array, ids: Array) -> FloatArray:
    """W[ids]: (S,D) from W (V,D) and ids (S)."""

def embedding_backward(dW: Array, ids: Array, dout: Array) -> None:
    """Overwrite dW (V,D) with the sums of the rows of dout (S,D) that have the same id."""

def affine_forward(x: Array, W: Array, b: Array | None = None) -> FloatArray:
    """The product x W + b: (S,M) from x (S,K), W (K,M), b (M), (1,M) or (S,M)."""

def affine_backward(
    dout: Array, x: Array, W: Array, dW: Array, db: Array | None = None
) -> FloatArray:
    """Gradient of x (S,K) from dout (S,M); dW (K,M) and db, (M) or (1,M), are overwritten."""
