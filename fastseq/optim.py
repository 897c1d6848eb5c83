"""Optimizers: one method, ``update(params, grads)``, which changes the parameters in place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.util import all_float32

Array = npt.NDArray[Any]

_EPSILON = 1e-7


class _Optimizer:
    """What the optimizers share: `update`, which checks and leaves the step to `_step`; the state.

    The arrays that an optimizer keeps, one for each parameter, start from zeros.
    """

    _counts: ClassVar[tuple[str, ...]] = ()  # the attributes that count updates
    _kept: ClassVar[tuple[str, ...]] = ()  # those that are lists of arrays

    def update(self, params: list[Array], grads: list[Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : list of writeable float arrays
            Changed in place. float32 arrays, of any strides, go through the compiled kernel. Every
            call must bring the same parameters in the same order: what is kept belongs to them.
        grads : list of arrays
            Of the same shapes.

        Raises
        ------
        ValueError
            When a gradient is missing or not shaped as its parameter; and when the number of
            parameters, or a shape, differs from the first call. Nothing is changed then.
        """
        _check_partners("grads", grads, params, "as in params")
        self._step(params, grads, compiled=all_float32(params) and all_float32(grads))

    def state(self, params: list[Array]) -> dict[str, Any]:
        """What is kept between updates, for a checkpoint.

        Parameters
        ----------
        params : list of float arrays
            Those of the updates. Before the first one the arrays of the state are zeros.

        Returns
        -------
        dict
            By the names of attributes: int for a count of updates, else a list of arrays, one for
            each parameter. They are the optimizer's own: copy what is to stay as it is.

        Examples
        --------
        >>> import numpy as np
        >>> from fastseq.optim import SGD, Adam
        >>> SGD().state([np.zeros(3)]), Adam().state([np.zeros(2)])
        ({}, {'iter': 0, 'm': [array([0., 0.])], 'v': [array([0., 0.])]})
        """
        for name in self._kept:
            setattr(self, name, _kept_of(getattr(self, name), params))
        return {name: getattr(self, name) for name in (*self._counts, *self._kept)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, which is copied.

        Parameters
        ----------
        state : mapping
            As `state` returned it.

        Raises
        ------
        KeyError
            An entry is missing.

        Examples
        --------
        >>> import numpy as np
        >>> from fastseq.optim import Adam
        >>> params, first, second = [np.ones(2, "f")], Adam(), Adam()
        >>> first.update(params, [np.ones(2, "f")])
        >>> second.restore(first.state(params))
        >>> second.iter, second.m[0].round(2)
        (1, array([0.1, 0.1], dtype=float32))
        """
        counts = {name: int(state[name]) for name in self._counts}
        kept = {name: [np.array(array) for array in state[name]] for name in self._kept}
        vars(self).update(counts, **kept)

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        """Take one step over checked arrays, by the kernel or by the formula in NumPy."""
        raise NotImplementedError


def _kept_of(state: list[Array] | None, params: list[Array]) -> list[Array]:
    """What an optimizer keeps of each parameter, checked to fit; zeros before the first update."""
    if state is None:
        return [np.zeros_like(param, subok=False) for param in params]
    _check_partners("params", params, state, "as in the first update")
    return state


def _check_partners(name: str, arrays: list[Array], partners: list[Array], why: str) -> None:
    """ValueError unless there are as many arrays as partners, pairwise of the same shapes."""
    if len(arrays) != len(partners):
        raise ValueError(f"{name}: expected {len(partners)} arrays, {why}; got {len(arrays)}")
    for index, (array, partner) in enumerate(zip(arrays, partners, strict=True)):
        if array.shape != partner.shape:
            raise ValueError(
                f"{name}[{index}]: expected the shape {partner.shape}, {why}; got {array.shape}"
            )


class SGD(_Optimizer):
    """Stochastic gradient descent: ``p -= lr * g``.

    Parameters
    ----------
    lr : float
        The learning rate. May be changed between updates.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.optim import SGD
    >>> param, optimizer = np.ones(2, "f"), SGD(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update([param], [np.array([1, -1], "f")])
    >>> param.round(2)
    array([0.8, 1.2], dtype=float32)
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        if compiled:
            _kernels.sgd_step(params, grads, self.lr)
            return
        for param, grad in zip(params, grads, strict=True):
            param -= self.lr * grad


class Momentum(_Optimizer):
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.optim import Momentum
    >>> param, optimizer = np.ones(2, "f"), Momentum(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update([param], [np.array([1, -1], "f")])
    >>> param.round(2)
    array([0.71, 1.29], dtype=float32)
    """

    _kept = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: list[Array] | None = None

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        self.v = _kept_of(self.v, params)
        if compiled:
            _kernels.momentum_step(params, grads, self.v, self.lr, self.momentum)
            return
        for param, grad, v in zip(params, grads, self.v, strict=True):
            v[...] = self.momentum * v - self.lr * grad
            param += v


class Nesterov(_Optimizer):
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.optim import Nesterov
    >>> param, optimizer = np.ones(2, "f"), Nesterov(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update([param], [np.array([1, -1], "f")])
    >>> param.round(2)
    array([0.39, 1.61], dtype=float32)
    """

    _kept = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: list[Array] | None = None

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        self.v = _kept_of(self.v, params)
        if compiled:
            _kernels.nesterov_step(params, grads, self.v, self.lr, self.momentum)
            return
        for param, grad, v in zip(params, grads, self.v, strict=True):
            v[...] = self.momentum * v - self.lr * grad
            param += self.momentum**2 * v
            param -= (1 + self.momentum) * self.lr * grad


class AdaGrad(_Optimizer):
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.optim import AdaGrad
    >>> param, optimizer = np.ones(2, "f"), AdaGrad(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update([param], [np.array([1, -1], "f")])
    >>> param.round(2)
    array([0.83, 1.17], dtype=float32)
    """

    _kept = ("h",)

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: list[Array] | None = None

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        self.h = _kept_of(self.h, params)
        if compiled:
            _kernels.adagrad_step(params, grads, self.h, self.lr, _EPSILON)
            return
        for param, grad, h in zip(params, grads, self.h, strict=True):
            h += grad**2
            param -= self.lr * grad / (np.sqrt(h) + _EPSILON)


class RMSprop(_Optimizer):
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.optim import RMSprop
    >>> param, optimizer = np.ones(2, "f"), RMSprop(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update([param], [np.array([1, -1], "f")])
    >>> param.round(2)
    array([-0.71,  2.71], dtype=float32)
    """

    _kept = ("h",)

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: list[Array] | None = None

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        self.h = _kept_of(self.h, params)
        if compiled:
            _kernels.rmsprop_step(params, grads, self.h, self.lr, self.decay_rate, _EPSILON)
            return
        for param, grad, h in zip(params, grads, self.h, strict=True):
            h[...] = self.decay_rate * h + (1 - self.decay_rate) * grad**2
            param -= self.lr * grad / (np.sqrt(h) + _EPSILON)


class Adam(_Optimizer):
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.optim import Adam
    >>> param, optimizer = np.ones(2, "f"), Adam(lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.update([param], [np.array([1, -1], "f")])
    >>> param.round(2)
    array([0.8, 1.2], dtype=float32)
    """

    _counts = ("iter",)
    _kept = ("m", "v")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: list[Array] | None = None
        self.v: list[Array] | None = None

    def _step(self, params: list[Array], grads: list[Array], *, compiled: bool) -> None:
        self.m = _kept_of(self.m, params)
        self.v = _kept_of(self.v, params)

        self.iter += 1
        bias_correction = math.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        rate = self.lr * bias_correction

        if compiled:
            _kernels.adam_step(
                params, grads, self.m, self.v, rate, self.beta1, self.beta2, _EPSILON
            )
            return
        for param, grad, m, v in zip(params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (grad - m)
            v += (1 - self.beta2) * (grad**2 - v)
            param -= rate * m / (np.sqrt(v) + _EPSILON)
