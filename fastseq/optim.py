"""Optimizers: one method, ``update(params, grads)``, which changes the parameters in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.util import all_float32

Array = npt.NDArray[Any]

_EPSILON = 1e-7


class SGD:
    """Stochastic gradient descent: ``p -= lr * g``.

    Parameters
    ----------
    lr : float
        The learning rate. May be changed between updates.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. float32 arrays, of any strides, go through the compiled kernel.
        grads : list of arrays
            Of the same shapes.
        """
        if all_float32(params) and all_float32(grads):
            _kernels.sgd_step(params, grads, self.lr)
            return
        for param, grad in zip(params, grads, strict=True):
            param -= self.lr * grad


class Adam:
    """Adam, with ε outside the bias correction.

    With k counting updates from 1::

        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g**2 - v)
        p -= lr * sqrt(1 - beta2**k) / (1 - beta1**k) * m / (sqrt(v) + 1e-7)

    This is the form at the end of section 2 of Kingma & Ba 2015, "Adam: a method for stochastic
    optimization" (http://arxiv.org/abs/1412.6980).

    Parameters
    ----------
    lr, beta1, beta2 : float
        The learning rate and the decay rates of the two moments. May be changed between updates.

    Attributes
    ----------
    iter : int
        How many updates were made.
    m, v : list of arrays, or None before the first update
        The moments of each parameter, in the order of `params`.
    """

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: list[Array] | None = None
        self.v: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. float32 arrays, of any strides, go through the compiled kernel. Every
            call must bring the same parameters in the same order: the moments belong to them.
        grads : list of arrays
            Of the same shapes.

        Raises
        ------
        ValueError
            When the number of parameters or gradients differs from that of the first call.
        """
        if self.m is None or self.v is None:
            self.m = [np.zeros_like(param) for param in params]
            self.v = [np.zeros_like(param) for param in params]
        if not len(params) == len(grads) == len(self.m):
            raise ValueError(
                f"params and grads: expected {len(self.m)} arrays each, as in the first update; "
                f"got {len(params)} and {len(grads)}"
            )

        self.iter += 1
        bias_correction = math.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        rate = self.lr * bias_correction

        if all_float32(params) and all_float32(grads):
            _kernels.adam_step(
                params, grads, self.m, self.v, rate, self.beta1, self.beta2, _EPSILON
            )
            return
        for param, grad, m, v in zip(params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (grad - m)
            v += (1 - self.beta2) * (grad**2 - v)
            param -= rate * m / (np.sqrt(v) + _EPSILON)
