"""Steps of the optimizers, in place, over lists of arrays with pairwise equal shapes.

Gradients are not modified. An array that is in a list twice is updated twice; a state of the
optimizer must not share memory with its parameter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

def sgd_step(params: Sequence[Array], grads: Sequence[Array], learning_rate: float) -> None:
    """Subtract learning_rate grads from params."""

def momentum_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    velocities: Sequence[Array],
    learning_rate: float,
    momentum: float,
) -> None:
    """One step of gradient descent with momentum."""

def nesterov_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    velocities: Sequence[Array],
    learning_rate: float,
    momentum: float,
) -> None:
    """One step of Nesterov's accelerated gradient."""

def adagrad_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    square_sums: Sequence[Array],
    learning_rate: float,
    epsilon: float = 1e-7,
) -> None:
    """One step of AdaGrad."""

def rmsprop_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    square_means: Sequence[Array],
    learning_rate: float,
    decay_rate: float,
    epsilon: float = 1e-7,
) -> None:
    """One step of RMSprop."""

def adam_step(
    params: Sequence[Array],
    grads: Sequence[Array],
    first_moments: Sequence[Array],
    second_moments: Sequence[Array],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float = 1e-7,
) -> None:
    """One step of Adam; learning_rate includes the bias correction."""

def global_norm(grads: Sequence[Array]) -> float:
    """Square root of the sum of all squares."""

def scale(arrays: Sequence[Array], factor: float) -> None:
    """Multiply the arrays by a factor."""
