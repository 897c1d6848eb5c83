"""Optimizers: one method, ``update(params, grads)``, which changes the parameters in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.util import all_float32

Array = npt.NDArray[Any]

_EPSILON = 1e-7

# Elements that one round of NumPy's formulas takes: with its scratch memory it fits in the cache.
_BLOCK = 1 << 14


def _kept(state: list[Array] | None, params: list[Array], grads: list[Array]) -> list[Array]:
    """What an optimizer keeps of each parameter: zeros before the first update."""
    if state is None:
        state = [np.zeros_like(param, subok=False) for param in params]
    if not len(params) == len(grads) == len(state):
        raise ValueError(
            f"params and grads: expected {len(state)} arrays each, as in the first update; "
            f"got {len(params)} and {len(grads)}"
        )
    return state


def _blocks(
    params: list[Array], grads: list[Array], state: list[Array]
) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Parameter, gradient and state, some rows of them at a time, and scratch of the same shape."""
    for index, arrays in enumerate(zip(params, grads, state, strict=True)):
        param, grad, kept = arrays
        if not param.shape == np.shape(grad) == kept.shape:
            raise ValueError(
                f"params[{index}], grads[{index}]: expected the shape {kept.shape} of the first "
                f"update; got {param.shape} and {np.shape(grad)}"
            )
    for param, grad, kept in zip(params, grads, state, strict=True):
        if param.ndim == 0:
            param, grad, kept = param[np.newaxis], np.reshape(grad, 1), kept[np.newaxis]
        elif param.flags.f_contiguous:  # the rows of the transposed view lie together
            param, grad, kept = param.T, grad.T, kept.T
        rows = max(1, _BLOCK * len(param) // max(1, param.size))
        scratch = np.empty_like(param[:rows])
        for first in range(0, len(param), rows):
            part = param[first : first + rows]
            last = first + len(part)
            yield part, grad[first:last], kept[first:last], scratch[: len(part)]


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


class Momentum:
    """Gradient descent with momentum: ``v = momentum * v - lr * g``, ``p += v``.

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods".

    Parameters
    ----------
    lr, momentum : float
        The learning rate, and the share of its velocity that a parameter keeps. May be changed
        between updates.

    Attributes
    ----------
    v : list of arrays, or None before the first update
        The velocity of each parameter, in the order of `params`.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. Every call must bring the same parameters in the same order.
        grads : list of arrays
            Of the same shapes.

        Raises
        ------
        ValueError
            When the number of parameters or gradients, or a shape, differs from the first call.
        """
        self.v = _kept(self.v, params, grads)
        for param, grad, v, scratch in _blocks(params, grads, self.v):
            v *= self.momentum
            v -= np.multiply(grad, self.lr, out=scratch)
            param += v


class Nesterov:
    """Nesterov's accelerated gradient, with the parameters kept at the point that looks ahead.

    In this order, with the new ``v``::

        v = momentum * v - lr * g
        p += momentum**2 * v
        p -= (1 + momentum) * lr * g

    This is equation 7 of Bengio, Boulanger-Lewandowski and Pascanu 2012, "Advances in optimizing
    recurrent networks" (http://arxiv.org/abs/1212.0901), as the textbook writes it.

    Parameters
    ----------
    lr, momentum : float
        As in `Momentum`. May be changed between updates.

    Attributes
    ----------
    v : list of arrays, or None before the first update
        The velocity of each parameter, in the order of `params`.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. Every call must bring the same parameters in the same order.
        grads : list of arrays
            Of the same shapes.

        Raises
        ------
        ValueError
            When the number of parameters or gradients, or a shape, differs from the first call.
        """
        self.v = _kept(self.v, params, grads)
        for param, grad, v, scratch in _blocks(params, grads, self.v):
            v *= self.momentum
            v -= np.multiply(grad, self.lr, out=scratch)
            param += np.multiply(v, self.momentum**2, out=scratch)
            param -= np.multiply(grad, (1 + self.momentum) * self.lr, out=scratch)


def _scaled_step(param: Array, grad: Array, h: Array, scratch: Array, lr: float) -> None:
    """The step that AdaGrad and RMSprop share: ``p -= lr * g / (sqrt(h) + 1e-7)``."""
    np.sqrt(h, out=scratch)
    scratch += _EPSILON
    np.divide(grad, scratch, out=scratch)
    scratch *= lr
    param -= scratch


class AdaGrad:
    """AdaGrad: ``h += g**2``, ``p -= lr * g / (sqrt(h) + 1e-7)``.

    Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization".

    Parameters
    ----------
    lr : float
        The learning rate. May be changed between updates.

    Attributes
    ----------
    h : list of arrays, or None before the first update
        The sums of squared gradients, in the order of `params`.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. Every call must bring the same parameters in the same order.
        grads : list of arrays
            Of the same shapes.

        Raises
        ------
        ValueError
            When the number of parameters or gradients, or a shape, differs from the first call.
        """
        self.h = _kept(self.h, params, grads)
        for param, grad, h, scratch in _blocks(params, grads, self.h):
            h += np.multiply(grad, grad, out=scratch)
            _scaled_step(param, grad, h, scratch, self.lr)


class RMSprop:
    """RMSprop: ``h = decay_rate * h + (1 - decay_rate) * g**2``, then the step of `AdaGrad`.

    Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning".

    Parameters
    ----------
    lr, decay_rate : float
        The learning rate, and how much of `h` stays. May be changed between updates.

    Attributes
    ----------
    h : list of arrays, or None before the first update
        The running means of squared gradients, in the order of `params`.
    """

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. Every call must bring the same parameters in the same order.
        grads : list of arrays
            Of the same shapes.

        Raises
        ------
        ValueError
            When the number of parameters or gradients, or a shape, differs from the first call.
        """
        self.h = _kept(self.h, params, grads)
        for param, grad, h, scratch in _blocks(params, grads, self.h):
            h *= self.decay_rate
            np.multiply(grad, grad, out=scratch)
            scratch *= 1 - self.decay_rate
            h += scratch
            _scaled_step(param, grad, h, scratch, self.lr)


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
        self.m = _kept(self.m, params, grads)
        self.v = _kept(self.v, params, grads)

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
