"""Softmax with cross-entropy and label smoothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels

Array = npt.NDArray[Any]


class SmoothedLoss:
    """The mean over the rows of ``(1 - eps) (-log p[label]) + eps mean_v(-log p[v])``.

    p is the softmax of the row's scores, eps the label smoothing of Szegedy et al., "Rethinking the
    Inception Architecture for Computer Vision", 2016.
    """

    def __init__(self) -> None:
        self._cache: tuple[Array, Array, float] | None = None

    def forward(self, scores: Array, labels: Array, smoothing: float) -> float:
        """The loss of scores (R, V) and labels (R), at least one row."""
        loss, probabilities, _ = _kernels.softmax_loss_forward(scores, labels, None)
        self._cache = probabilities, labels, smoothing
        if smoothing:
            # -log p[v] = -log p[label] + scores[label] - scores[v]
            labelled = scores[np.arange(len(labels)), labels].mean(dtype=np.float64)
            loss += smoothing * float(labelled - scores.mean(dtype=np.float64))
        return loss

    def backward(self) -> Array:
        """The gradient of the scores: ``(p - (1 - eps) onehot(labels) - eps / V) / R``."""
        assert self._cache is not None
        probabilities, labels, smoothing = self._cache
        R, V = probabilities.shape
        dscores = _kernels.softmax_loss_backward(probabilities, labels, None, 1 / R)
        if smoothing:
            dscores -= np.float32(smoothing / (R * V))
            dscores[np.arange(R), labels] += np.float32(smoothing / R)
        return dscores
