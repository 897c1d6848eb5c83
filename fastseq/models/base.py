"""What all models share: parameters in one list, written to a file and read back.

A file that is read is never trusted: nothing in it is run, it is no larger in memory than the model
it is for, and every entry is compared with the model before the first one is assigned.
"""

from __future__ import annotations

import io
import operator
import os
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.files import reason_of, replace_file
from fastseq.models.pickles import load_pickle

Array = npt.NDArray[Any]

# Of float64, that NumPy can index.
_MOST_ELEMENTS = np.iinfo(np.intp).max // 8


class BaseModel:
    """Base of the models: subclasses fill `params` and `grads`, and write `forward` and `backward`.

    Attributes
    ----------
    params, grads : list of ndarray
        The parameters of all layers, the layers' own arrays, and their gradients.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Affine
    >>> from fastseq.models import BaseModel
    >>> class Linear(BaseModel):
    ...     def __init__(self):
    ...         self.layer = Affine(np.ones((2, 1), "f"), np.zeros(1, "f"))
    ...         self.params, self.grads = self.layer.params, self.layer.grads
    >>> model = Linear()
    >>> model.save_params("linear.safetensors")
    >>> model.params[0][...] = 7
    >>> model.load_params("linear.safetensors")
    >>> model.params[0].tolist()
    [[1.0], [1.0]]
    """

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, *args: Any) -> Any:
        """Compute the loss; for the subclass to write.

        Parameters
        ----------
        *args
            As the subclass defines them.

        Returns
        -------
        As the subclass defines it.

        Raises
        ------
        NotImplementedError
            The subclass has not written it.

        Examples
        --------
        >>> from fastseq.models import BaseModel
        >>> BaseModel().forward()
        Traceback (most recent call last):
        NotImplementedError: BaseModel has no forward
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *args: Any) -> Any:
        """Compute the gradients; for the subclass to write.

        Parameters
        ----------
        *args
            As the subclass defines them.

        Returns
        -------
        As the subclass defines it.

        Raises
        ------
        NotImplementedError
            The subclass has not written it.

        Examples
        --------
        >>> from fastseq.models import BaseModel
        >>> BaseModel().backward()
        Traceback (most recent call last):
        NotImplementedError: BaseModel has no backward
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def save_params(self, file_name: str | os.PathLike[str] | None = None) -> None:
        """Write all parameters, as float32, to a file.

        The file appears whole or not at all: it is written beside the target, flushed to the disk,
        then renamed.

        Parameters
        ----------
        file_name : path, optional
            ``<ClassName>.pkl`` by default. A name ending in ``.safetensors`` or ``.npz`` gives that
            format, with the entries ``params.0``, ``params.1`` and so on; any other name a pickle
            of a list of arrays.

        Raises
        ------
        OSError
            The file cannot be written. An earlier file of this name is still there.
        """
        path = self._parameter_file(file_name)
        arrays = [np.asarray(param, dtype=np.float32, order="C") for param in self.params]
        _, dump = _format_of(path)
        replace_file(path, dump(arrays))

    def load_params(self, file_name: str | os.PathLike[str] | None = None) -> None:
        """Read all parameters from a file, into the arrays that the layers hold.

        Parameters
        ----------
        file_name : path, optional
            As for `save_params`. The textbook's pickles of float16 arrays are read too.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is damaged, holds anything but float arrays, or belongs to another model. The
            parameters are as they were.
        """
        path = self._parameter_file(file_name)
        load, _ = _format_of(path)
        # The widest float has 16 bytes; a few MiB more are harmless, and then the message can name
        # the entry that does not fit.
        limit = 2**22 + 16 * sum(param.size for param in self.params)
        with open(path, "rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise ValueError(
                f"{path}: expected parameters in at most {limit} bytes, got a larger file"
            )
        try:
            arrays = load(content, limit)
        except ImportError:
            raise
        except Exception as error:
            raise ValueError(f"{path}: cannot be read as parameters: {reason_of(error)}") from error
        _check_arrays(path, arrays, self.params)
        for param, array in zip(self.params, arrays, strict=True):
            param[...] = array

    def _parameter_file(self, file_name: str | os.PathLike[str] | None) -> str:
        return os.fspath(file_name) if file_name is not None else f"{type(self).__name__}.pkl"


def check_sizes(**sizes: int) -> list[int]:
    """Sizes of at least 1, as integers that were read once.

    Raises
    ------
    TypeError, ValueError
        One is no integer, or below 1; the message names it.
    """
    converted = []
    for name, given in sizes.items():
        if isinstance(given, bool) or not isinstance(given, int | np.integer):
            raise TypeError(f"{name}: expected an integer, got {type(given).__name__}")
        size = operator.index(given)
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
        converted.append(size)
    return converted


def model_sizes(vocab_size: int, wordvec_size: int, hidden_size: int) -> tuple[int, int, int]:
    """The sizes of a model, as integers that were read once.

    Raises
    ------
    TypeError, ValueError
        One is no integer, or below 1, or too large for NumPy's arrays; the message names it.
    """
    V, D, H = check_sizes(vocab_size=vocab_size, wordvec_size=wordvec_size, hidden_size=hidden_size)
    # the largest arrays of any model, which are drawn as float64: the embedding, the LSTM's weights
    # with a context beside the embedding, the affine weight of two states, of two directions each
    elements = {
        "vocab_size, wordvec_size": V * D,
        "wordvec_size, hidden_size": (D + 2 * H) * 8 * H,
        "vocab_size, hidden_size": V * 4 * H,
    }
    for names, count in elements.items():
        if count > _MOST_ELEMENTS:
            raise ValueError(
                f"{names}: expected arrays of at most {_MOST_ELEMENTS} elements, got {count}"
            )
    return V, D, H


def _check_arrays(path: str, arrays: Sequence[Array], params: Sequence[Array]) -> None:
    if len(arrays) != len(params):
        raise ValueError(f"{path}: expected {len(params)} arrays, got {len(arrays)}")
    for index, (array, param) in enumerate(zip(arrays, params, strict=True)):
        if array.dtype.kind != "f":
            raise ValueError(f"{path}: params.{index}: expected floats, got {array.dtype}")
        if array.shape != param.shape:
            raise ValueError(
                f"{path}: params.{index}: expected shape {param.shape}, got {array.shape}"
            )
        if not param.flags.writeable:
            raise ValueError(f"params.{index}: the model's array is read-only")


# One pair (load, dump) for each format. A loader takes the content of the file, and how many bytes
# it may unfold to.

_Load = Callable[[bytes, int], list[Array]]
_Dump = Callable[[list[Array]], bytes]


def _format_of(path: str) -> tuple[_Load, _Dump]:
    if path.endswith(".safetensors"):
        return _load_safetensors, _dump_safetensors
    if path.endswith(".npz"):
        return _load_npz, _dump_npz
    return load_pickle, pickle.dumps


def _in_order(arrays: dict[str, Array]) -> list[Array]:
    names = [f"params.{index}" for index in range(len(arrays))]
    if set(names) != set(arrays):
        raise ValueError(f"expected entries params.0 to params.n, got {sorted(arrays)[:5]}")
    return [arrays[name] for name in names]


def _load_safetensors(content: bytes, limit: int) -> list[Array]:
    safetensors = _import_safetensors()
    return _in_order(safetensors.load(content))


def _dump_safetensors(arrays: list[Array]) -> bytes:
    safetensors = _import_safetensors()
    content: bytes = safetensors.save({f"params.{i}": array for i, array in enumerate(arrays)})
    return content


def _import_safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "files ending in .safetensors need the package safetensors: pip install safetensors"
        ) from error
    return safetensors.numpy


def _load_npz(content: bytes, limit: int) -> list[Array]:
    import zipfile

    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unfolded = sum(entry.file_size for entry in archive.infolist())
        if unfolded > limit:
            raise ValueError(f"expected at most {limit} bytes of arrays, got {unfolded}")
        for entry in archive.infolist():
            member = io.BytesIO(archive.read(entry))
            array = np.lib.format.read_array(member, allow_pickle=False)
            arrays[entry.filename.removesuffix(".npy")] = array
    return _in_order(arrays)


def _dump_npz(arrays: list[Array]) -> bytes:
    import zipfile

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for index, array in enumerate(arrays):
            with archive.open(f"params.{index}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return content.getvalue()
