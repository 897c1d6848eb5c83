"""What the recurrent layers share: their weights, and the engine that runs them."""

from typing import Any

import numpy.typing as npt

from fastseq.layers.base import zero_gradients
from fastseq.layers.recurrent.engine import Recurrence, check_weights

Array = npt.NDArray[Any]


class RecurrentBase:
    """Holds the weights of a cell, and runs it; a subclass names the cell."""

    _cell: str  # in `_kernels.CELLS`

    def __init__(self, params: list[Array]) -> None:
        check_weights(self._cell, params)
        self.params = params
        self.grads = zero_gradients(params)
        self._recurrence = self._new_recurrence()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # of a copy, or of the textbook's class: a forward pass is not part of it
        for name in state.keys() - {"layers", "cache", "_recurrence"}:
            setattr(self, name, state[name])
        self._recurrence = self._new_recurrence()

    def _new_recurrence(self) -> Recurrence:
        return Recurrence(self._cell, has_bias=len(self.params) > 2)
