"""What the decoders share: the initial state, and greedy decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fastseq.layers import TimeAffine, TimeEmbedding
from fastseq.layers.base import as_array, as_integer, checked, is_original
from fastseq.layers.recurrent.time_layer import decodable, decode

Array = npt.NDArray[Any]


_MOST_STEPS = np.iinfo(np.int64).max

_Method = TypeVar("_Method", bound=Callable[..., list[int]])

_GENERATE: set[object] = set()


def greedy(generate: _Method) -> _Method:
    """Note that a decoder's `generate` is that of one row of `GreedyDecoder`."""
    _GENERATE.add(generate)
    return generate


class GreedyDecoder:
    """Base of the decoders, whose initial state comes from the encoder's result.

    A subclass writes `_set_initial_state`, which takes that result, and `_scores`, which runs any
    number of further time steps. Where no layer is replaced, one kernel call takes all steps of
    greedy decoding.
    """

    embed: Any
    lstm: Any
    affine: Any

    def forward(self, xs: Array, h: Array) -> Array:
        """Score the next id at every step.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
        h : ndarray of float, shape (N, H)

        Returns
        -------
        ndarray of float32, shape (N, T, V)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        return self._forward(xs, h)

    @greedy
    def generate(self, h: Array, start_id: int, sample_size: int) -> list[int]:
        """Greedy decoding of one sequence: the best id of each step is the next input.

        Parameters
        ----------
        h : ndarray of float, shape (1, H)
        start_id : int
        sample_size : int

        Returns
        -------
        list of int

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind, or ``h`` has another number of rows than one.
        """
        return self._greedy_row(h, start_id, sample_size)

    def _checked(self, encoded: Array) -> Array:
        """The encoder's result as an array."""
        return checked("h", encoded, "(N, H)", None, None)

    def _set_initial_state(self, encoded: Array) -> None:
        raise NotImplementedError

    def _scores(self, xs: Array) -> Array:
        raise NotImplementedError

    def _has_original_layers(self) -> bool:
        """Of the layers besides the recurrent one."""
        embed, affine = self.embed, self.affine
        is_own = type(embed) is TimeEmbedding and type(affine) is TimeAffine
        return is_own and is_original(embed) and is_original(affine)

    def _inputs_of_decode(self) -> dict[str, Any]:
        """What a step reads besides the last id, as `_kernels.decode` takes it."""
        return {}

    def _forward(self, xs: Array, encoded: Array) -> Array:
        xs, encoded = as_array("xs", xs), self._checked(encoded)
        if xs.ndim == 2 and len(xs) != len(encoded):
            raise ValueError(
                f"xs: expected {len(encoded)} rows, as in the encoder's result, got {len(xs)}"
            )
        self._set_initial_state(encoded)
        return self._scores(xs)

    def _greedy(self, encoded: Array, start_id: int, sample_size: int) -> Array:
        """The ids (N, sample_size) of the best score at each step, each fed to the next step.

        The encoder's result is `_checked`.
        """
        start, size = as_integer("start_id", start_id), as_integer("sample_size", sample_size)
        if not 0 <= size <= _MOST_STEPS:
            raise ValueError(f"sample_size: expected at least 0, got {size}")
        self._set_initial_state(encoded)
        if decodable(self.lstm) and self._has_original_layers():
            found = decode(
                self.lstm,
                start,
                size,
                self.embed.params[0],
                self.affine.params,
                **self._inputs_of_decode(),
            )
            self._keep_weights(found.weights)
            return found.ids
        ids = np.full((len(encoded), 1), start)
        samples = np.empty((len(encoded), size), dtype=np.int64)
        for step in range(size):
            ids = self._scores(ids).argmax(axis=2)
            samples[:, step] = ids[:, 0]
        return samples

    def _keep_weights(self, weights: Array | None) -> None:
        """Keep the attention weights (N, Te) of the last step."""

    def _greedy_row(self, encoded: Array, start_id: int, sample_size: int) -> list[int]:
        encoded = self._checked(encoded)
        if len(encoded) != 1:
            raise ValueError(
                f"generate: expected a batch of one row, got {len(encoded)} "
                "(generate_batch takes many)"
            )
        ids: list[int] = self._greedy(encoded, start_id, sample_size)[0].tolist()
        return ids


def greedy_batch(decoder: Any, encoded: Array, start_id: int, sample_size: int) -> Array:
    """``decoder.generate`` of each row; that of the package decodes all rows together.

    Returns
    -------
    ndarray of int64, shape (N, sample_size)
    """
    if type(decoder).generate in _GENERATE and "generate" not in vars(decoder):
        ids: Array = decoder._greedy(decoder._checked(encoded), start_id, sample_size)
        return ids
    rows = [decoder.generate(row[np.newaxis], start_id, sample_size) for row in encoded]
    return np.array(rows, dtype=np.int64).reshape(len(rows), sample_size)
