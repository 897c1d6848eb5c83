"""What the recurrent layers share: the state that a sequence starts from."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def initial_state(name: str, state: Array | None, N: int, Wh: Array) -> Array:
    """The state to continue from: zeros if it is None, else itself, if it has N rows.

    Parameters
    ----------
    name : str
        The layer's class and the state's letter, for the message.
    state : (N, H) array or None
    N : int
        Batch size of the input.
    Wh : (H, ...) array
        Gives H and the dtype.

    Raises
    ------
    ValueError
        When the state belongs to another batch size.
    """
    expected = (N, Wh.shape[0])
    if state is None:
        return np.zeros(expected, dtype=Wh.dtype)
    if state.shape != expected:
        raise ValueError(
            f"{name} has shape {state.shape}, but the input needs {expected}: "
            "call reset_state() before changing the batch size"
        )
    return state
