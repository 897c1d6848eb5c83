"""What the layers share that advance a state by one step."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers.base import as_array, checked
from fastseq.layers.recurrent.base import RecurrentBase
from fastseq.layers.recurrent.engine import Recurrence

Array = npt.NDArray[Any]


class CellLayer(RecurrentBase):
    """One step of a cell."""

    _cache: Recurrence | None = None
    _cache_is_shared = False  # whether `cache` was read or set: the next pass needs a new one

    @property
    def cache(self) -> object:
        """What `backward` needs of the last `forward`, or None.

        An opaque value. Set again later, it lets `backward` follow an earlier `forward`.
        """
        self._cache_is_shared = True
        return self._cache

    @cache.setter
    def cache(self, cache: Recurrence | None) -> None:
        self._cache_is_shared = True
        self._cache = cache

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._cache = None

    def _step(
        self, x: Array, h_prev: Array, c_prev: Array | None = None
    ) -> tuple[Array, Array | None]:
        """The next h and c."""
        if self._cache_is_shared:
            self._recurrence = self._new_recurrence()
            self._cache_is_shared = False
        try:
            steps = as_array("x", x)[:, np.newaxis]
            _, h, c = self._recurrence.forward(self.params, steps, h_prev, c_prev)
        except (TypeError, ValueError, IndexError):
            Wx, Wh = self.params[:2]  # the same error in the names and shapes of one step
            N = len(checked("x", x, "(N, D)", None, len(Wx)))
            checked("h_prev", h_prev, "(N, H)", N, len(Wh))
            if c_prev is not None:
                checked("c_prev", c_prev, "(N, H)", N, len(Wh))
            raise
        self._cache = self._recurrence
        return h, c

    def _step_backward(
        self, dh_next: Array, dc_next: Array | None = None
    ) -> tuple[Array, Array, Array | None]:
        """The gradients of x, h_prev and c_prev."""
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        try:
            steps = as_array("dh_next", dh_next)[:, np.newaxis]
            dxs, _, dh_prev, dc_prev = self._cache.backward(
                self.params, self.grads, steps, dc=dc_next
            )
        except (TypeError, ValueError, IndexError):
            H = len(self.params[1])
            N = len(checked("dh_next", dh_next, "(N, H)", None, H))
            if dc_next is not None:
                checked("dc_next", dc_next, "(N, H)", N, H)
            raise
        assert dxs is not None
        return dxs[:, 0], dh_prev, dc_prev


class HiddenStateCell(CellLayer):
    """One step of a cell whose state is h alone."""

    def forward(self, x: Array, h_prev: Array) -> Array:
        """Advance the state by one step.

        Parameters
        ----------
        x : ndarray of float, shape (N, D)
        h_prev : ndarray of float, shape (N, H)

        Returns
        -------
        ndarray of float32, shape (N, H)

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        h_next, _ = self._step(x, h_prev)
        return h_next

    def backward(self, dh_next: Array) -> tuple[Array, Array]:
        """Gradients of the inputs; ``grads`` receive those of the weights.

        Parameters
        ----------
        dh_next : ndarray of float, shape (N, H)

        Returns
        -------
        dx : ndarray of float32, shape (N, D)
        dh_prev : ndarray of float32, shape (N, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        dx, dh_prev, _ = self._step_backward(dh_next)
        return dx, dh_prev
