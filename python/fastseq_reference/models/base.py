"""What all models share: ``params`` and ``grads``, and saving the weights."""

import os
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class BaseModel:
    """A model: two lists of equal length, ``params`` and ``grads``."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, *args: Any) -> Any:
        """To be defined by the model."""
        raise NotImplementedError

    def backward(self, *args: Any) -> Any:
        """To be defined by the model."""
        raise NotImplementedError

    def save_params(self, file_name: str | os.PathLike[str] | None = None) -> None:
        """Write the weights, losslessly, as a pickle of the list of arrays.

        Parameters
        ----------
        file_name : path, optional
            ``<ClassName>.pkl`` if not given.
        """
        if file_name is None:
            file_name = type(self).__name__ + ".pkl"
        with open(file_name, "wb") as file:
            pickle.dump([np.ascontiguousarray(param) for param in self.params], file)

    def load_params(self, file_name: str | os.PathLike[str] | None = None) -> None:
        """Read weights written by `save_params` into the arrays of this model.

        Parameters
        ----------
        file_name : path, optional
            ``<ClassName>.pkl`` if not given. Read only files you wrote yourself: unpickling a
            stranger's file runs what is in it.

        Raises
        ------
        ValueError
            When the number of arrays or one of their shapes is not that of this model; the weights
            are then unchanged.
        """
        if file_name is None:
            file_name = type(self).__name__ + ".pkl"
        with open(file_name, "rb") as file:
            arrays = pickle.load(file)

        if len(arrays) != len(self.params):
            raise ValueError(
                f"{file_name}: expected {len(self.params)} arrays, found {len(arrays)}"
            )
        for index, (param, array) in enumerate(zip(self.params, arrays, strict=True)):
            if array.shape != param.shape:
                raise ValueError(
                    f"{file_name}: array {index}: expected shape {param.shape}, found {array.shape}"
                )
        for param, array in zip(self.params, arrays, strict=True):
            param[...] = array
