"""Optimizers: ``update(params, grads)`` changes the parameters in place."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class SGD:
    """Stochastic gradient descent: ``p -= lr g``.

    Parameters
    ----------
    lr : float
        Learning rate.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params, grads : lists of arrays, pairwise of equal shape
        """
        for param, grad in zip(params, grads, strict=True):
            param -= self.lr * grad


class Momentum:
    """Gradient descent with momentum: ``v = momentum v - lr g``, ``p += v``.

    Parameters
    ----------
    lr : float
        Learning rate.
    momentum : float
        Factor of the previous velocity.

    Attributes
    ----------
    v : list of arrays, or None before the first update

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step; the velocities are zero before the first.

        Parameters
        ----------
        params, grads : lists of arrays, pairwise of equal shape
        """
        if self.v is None:
            self.v = [np.zeros_like(param) for param in params]
        for param, grad, v in zip(params, grads, self.v, strict=True):
            v[...] = self.momentum * v - self.lr * grad
            param += v


class Nesterov:
    """Nesterov's accelerated gradient.

    ``v = momentum v - lr g``, ``p += momentum^2 v``, ``p -= (1 + momentum) lr g``, in this order.

    Parameters
    ----------
    lr : float
        Learning rate.
    momentum : float
        Factor of the previous velocity.

    Attributes
    ----------
    v : list of arrays, or None before the first update

    References
    ----------
    Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, "Advances in optimizing recurrent networks",
    2012, equation 7, as the textbook writes it.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step; the velocities are zero before the first.

        Parameters
        ----------
        params, grads : lists of arrays, pairwise of equal shape
        """
        if self.v is None:
            self.v = [np.zeros_like(param) for param in params]
        for param, grad, v in zip(params, grads, self.v, strict=True):
            v[...] = self.momentum * v - self.lr * grad
            param += self.momentum**2 * v
            param -= (1 + self.momentum) * self.lr * grad


class AdaGrad:
    """AdaGrad: ``h += g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``.

    Parameters
    ----------
    lr : float
        Learning rate.

    Attributes
    ----------
    h : list of arrays, or None before the first update

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12, 2011.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step; the sums are zero before the first.

        Parameters
        ----------
        params, grads : lists of arrays, pairwise of equal shape
        """
        if self.h is None:
            self.h = [np.zeros_like(param) for param in params]
        for param, grad, h in zip(params, grads, self.h, strict=True):
            h += grad**2
            param -= self.lr * grad / (np.sqrt(h) + 1e-7)


class RMSprop:
    """RMSprop: ``h = decay_rate h + (1 - decay_rate) g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``.

    Parameters
    ----------
    lr : float
        Learning rate.
    decay_rate : float
        Share of ``h`` that is kept.

    Attributes
    ----------
    h : list of arrays, or None before the first update

    References
    ----------
    T. Tieleman and G. Hinton, "Neural networks for machine learning", lecture 6.5, 2012.
    """

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step; the means are zero before the first.

        Parameters
        ----------
        params, grads : lists of arrays, pairwise of equal shape
        """
        if self.h is None:
            self.h = [np.zeros_like(param) for param in params]
        for param, grad, h in zip(params, grads, self.h, strict=True):
            h[...] = self.decay_rate * h + (1 - self.decay_rate) * grad**2
            param -= self.lr * grad / (np.sqrt(h) + 1e-7)


class Adam:
    """Adam, with epsilon outside the bias correction.

    ``m += (1 - beta1) (g - m)``, ``v += (1 - beta2) (g^2 - v)``,
    ``lr_k = lr sqrt(1 - beta2^k) / (1 - beta1^k)``, ``p -= lr_k m / (sqrt(v) + 1e-7)``.

    Parameters
    ----------
    lr : float
        Learning rate.
    beta1, beta2 : float
        Decay rates of the two moments.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; the form at the
    end of section 2.
    """

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: list[Array] | None = None
        self.v: list[Array] | None = None

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step; the moments are zero before the first.

        Parameters
        ----------
        params, grads : lists of arrays, pairwise of equal shape
        """
        if self.m is None or self.v is None:
            self.m = [np.zeros_like(param) for param in params]
            self.v = [np.zeros_like(param) for param in params]

        self.iter += 1
        lr_k = self.lr * math.sqrt(1 - self.beta2**self.iter) / (1 - self.beta1**self.iter)
        for param, grad, m, v in zip(params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (grad - m)
            v += (1 - self.beta2) * (grad**2 - v)
            param -= lr_k * m / (np.sqrt(v) + 1e-7)
