"""Softmax with cross-entropy and label smoothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels

Array = npt.NDArray[Any]


class SmoothedLoss:
    """The mean over the rows of ``w ((1 - eps) (-log p[label]) + eps mean_v(-log p[v]))``.

    p is the softmax of the row's scores, eps the label smoothing of Szegedy et al., "Rethinking the
    Inception Architecture for Computer Vision", 2016; w the row's weight, 1 by default.
    """

    def __init__(self) -> None:
        self._cache: tuple[Array, Array, float, Array | None] | None = None

    def forward(
        self, scores: Array, labels: Array, smoothing: float, weights: Array | None = None
    ) -> float:
        """The loss of scores (R, V), labels (R) and weights (R), at least one row."""
        loss, probabilities, _ = _kernels.softmax_loss_forward(scores, labels, None)
        self._cache = probabilities, labels, smoothing, weights
        if weights is not None:
            return _weighted_loss(scores, labels, smoothing, weights)
        if smoothing:
            # -log p[v] = -log p[label] + scores[label] - scores[v]
            labelled = scores[np.arange(len(labels)), labels].mean(dtype=np.float64)
            loss += smoothing * float(labelled - scores.mean(dtype=np.float64))
        return loss

    def backward(self) -> Array:
        """The gradient of the scores: ``w (p - (1 - eps) onehot(labels) - eps / V) / R``."""
        assert self._cache is not None
        probabilities, labels, smoothing, weights = self._cache
        R, V = probabilities.shape
        dscores = _kernels.softmax_loss_backward(probabilities, labels, None, 1 / R)
        if smoothing:
            dscores -= np.float32(smoothing / (R * V))
            dscores[np.arange(R), labels] += np.float32(smoothing / R)
        if weights is not None:
            dscores *= weights[:, np.newaxis]
        return dscores


def _weighted_loss(scores: Array, labels: Array, smoothing: float, weights: Array) -> float:
    largest = scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores - largest)
    log_sums = largest[:, 0] + np.log(exponentials.sum(axis=1, dtype=np.float64))
    labelled = (1 - smoothing) * scores[np.arange(len(labels)), labels].astype(np.float64)
    losses = log_sums - labelled - smoothing * scores.mean(axis=1, dtype=np.float64)
    return float(np.mean(weights * losses))
