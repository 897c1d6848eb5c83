"""Threads concurrent with the calls: one changes settings, one writes to the arguments."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastseq import _kernels
from support.kernels.hostile_values import Converting

from .case import Arguments, Array, leaves

MAX_FLAT_AXES = 32  # `flat` supports fewer axes than arrays, which have up to 64
WILD = (0, 1, -1, 2**31, 2**40, -(2**50), 2**62)


class Background:
    """A daemon thread that repeats an action."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._action()
            time.sleep(0)


def change_settings() -> None:
    """Set another number of threads, or another instruction set."""
    if random.random() < 0.5:
        _kernels.set_num_threads(random.choice((1, 2, 3, 17, 64)))
    else:
        _kernels.set_isa(random.choice(_kernels.available_isas()))


class Scribbler:
    """Writes to the arrays of the current call."""

    def __init__(self) -> None:
        self.targets: list[tuple[Array, Array]] = []
        Background(self._scribble)

    def aim(self, arguments: Arguments) -> None:
        """Write to the arrays of these arguments, and no others."""
        found = []
        for _, value in leaves(arguments):
            arrays = value.arrays if isinstance(value, Converting) else [value]
            found += [each for each in arrays if type(each) is np.ndarray]
        self.targets = [
            (array, array.copy())
            for array in found
            if array.flags.writeable and array.dtype.kind in "fiu" and 0 < array.size < 2**20
            if array.ndim <= MAX_FLAT_AXES
        ]

    def _scribble(self) -> None:
        for array, original in self.targets:
            # mostly valid values, so that checks often pass
            if random.random() < 0.7 and array.shape == original.shape:
                array[...] = original
            elif array.dtype.kind == "f":
                array.flat[random.randrange(array.size)] = random.choice((np.nan, np.inf, 3e38))
            else:
                with np.errstate(over="ignore"):
                    array.flat[array.size // 2 :] = np.array(random.choice(WILD)).astype(
                        array.dtype
                    )
