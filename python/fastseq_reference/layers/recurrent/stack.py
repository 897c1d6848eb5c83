"""Recurrent layers one above the other, over sequences of vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.recurrent.layer import RecurrentLayer

Array = npt.NDArray[Any]

# h of all layers, or h and c: the LSTM's.
State = Array | tuple[Array, Array]

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class RecurrentStack:
    """One `RecurrentLayer` after the other: each reads the states of the one below.

    L below is the number of layers, K that of directions. Gates in the order f, g, i, o (LSTM) or
    z, r, g (both GRUs).

    Parameters
    ----------
    cell : "lstm", "gru" or "rnn"
    input_size, hidden_size, num_layers : int
        D, H and L.
    bidirectional : bool
        Whether K is 2, else 1.
    reset_after : bool
        Whether the reset gate of the GRU acts after the product with ``Wh``.
    bias : bool
        Whether there are biases; else ``params`` are ``Wx`` and ``Wh`` alone.
    batch_first : bool
        Whether sequences are (N, T, .), else (T, N, .).
    params : sequence of arrays, optional
        Of each layer, and of each of its directions, ``Wx, Wh, b`` of shapes (D, G H), (H, G H) and
        (G H,), and of the GRU with ``reset_after`` ``bh`` of shape (H,). Drawn evenly from
        -1/sqrt(H) to 1/sqrt(H) by default.
    seed : int, optional
        For the weights that are drawn.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        reset_after: bool = True,
        *,
        bias: bool = True,
        batch_first: bool = True,
        params: Sequence[Array] | None = None,
        seed: int | None = None,
    ) -> None:
        self.cell = cell
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bidirectional, self.reset_after = bidirectional, reset_after
        self.bias, self.batch_first = bias, batch_first
        if params is None:
            params = self._draw(np.random.default_rng(seed))
        self.params: list[Array] = list(params)
        self.grads: list[Array] = [np.zeros_like(param) for param in self.params]
        self.layers: list[RecurrentLayer] | None = None

    def run(
        self, xs: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[Array, State]:
        """The result of `forward`, with nothing kept.

        Parameters
        ----------
        xs : (N, T, D) array, or (T, N, D) without ``batch_first``
        lengths : (N,) integer array, optional
            The steps of each row; T each by default.
        state : (L K, N, H) array, or for the LSTM a tuple of two, optional
            h, or h and c, before the first step of each layer and direction; zeros by default.

        Returns
        -------
        hs : (N, T, K H) array, or (T, N, K H) without ``batch_first``
            ``h`` of the top layer at every step, 0 past a row's length.
        state : (L K, N, H) array, or for the LSTM a tuple of two
            After each row's last step.
        """
        layers = self.layers
        results = self.forward(xs, lengths, state)
        self.layers = layers
        return results

    def forward(
        self, xs: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[Array, State]:
        """Run one layer after the other.

        Parameters
        ----------
        xs : (N, T, D) array, or (T, N, D) without ``batch_first``
        lengths : (N,) integer array, optional
        state : (L K, N, H) array, or for the LSTM a tuple of two, optional

        Returns
        -------
        hs : (N, T, K H) array, or (T, N, K H) without ``batch_first``
        state : (L K, N, H) array, or for the LSTM a tuple of two
        """
        hs = xs if self.batch_first else xs.swapaxes(0, 1)
        cell = "gru_reset_after" if self.cell == "gru" and self.reset_after else self.cell
        self.layers = [RecurrentLayer(cell, params) for params in self._params_of_layers()]
        states = []
        for layer, (h0, c0) in zip(self.layers, self._states_of_layers(state), strict=True):
            hs, h, c = layer.forward(hs, h0, c0, lengths)
            states.append((h, c))
        return hs if self.batch_first else hs.swapaxes(0, 1), self._state(states)

    def backward(self, dhs: Array, dstate: State | None = None) -> tuple[Array, State]:
        """Gradient through the layers, from the top; ``grads`` are overwritten.

        Parameters
        ----------
        dhs : (N, T, K H) array, or (T, N, K H) without ``batch_first``
        dstate : (L K, N, H) array, or for the LSTM a tuple of two, optional
            The gradients of the last states; zeros by default.

        Returns
        -------
        dxs : (N, T, D) array, or (T, N, D) without ``batch_first``
        dstate0 : (L K, N, H) array, or for the LSTM a tuple of two

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("RecurrentStack.backward was called before forward")
        d = dhs if self.batch_first else dhs.swapaxes(0, 1)
        dstates: list[tuple[Array, Array | None]] = []
        of_layers = list(zip(self.layers, self._states_of_layers(dstate), strict=True))
        for layer, (dh, dc) in reversed(of_layers):
            d, dh0, dc0 = layer.backward(d, dh, dc)
            dstates.insert(0, (dh0, dc0))
        all_grads = [grad for layer in self.layers for grad in self._without_zeros(layer.grads)]
        for grad, value in zip(self.grads, all_grads, strict=True):
            grad[...] = value
        return d if self.batch_first else d.swapaxes(0, 1), self._state(dstates)

    def _shapes(self, D: int) -> list[tuple[int, ...]]:
        """Those of all arrays of one direction."""
        H, G = self.hidden_size, _GATES[self.cell]
        shapes: list[tuple[int, ...]] = [(D, G * H), (H, G * H), (G * H,)]
        return [*shapes, (H,)] if self.cell == "gru" and self.reset_after else shapes

    def _draw(self, rng: np.random.Generator) -> list[Array]:
        K, H = 1 + self.bidirectional, self.hidden_size
        bound = 1 / np.sqrt(H)
        sizes = [self.input_size] + [K * H] * (self.num_layers - 1)
        shapes = [s for D in sizes for s in self._without_zeros(K * self._shapes(D))]
        return [rng.uniform(-bound, bound, shape).astype("f") for shape in shapes]

    def _params_of_layers(self) -> list[list[Array]]:
        """With zeros for the biases that there are not."""
        K, count = 1 + self.bidirectional, len(self._without_zeros(self._shapes(0)))
        layers: list[list[Array]] = [[] for _ in range(self.num_layers)]
        for first in range(0, len(self.params), count):
            own = self.params[first : first + count]
            zeros = [np.zeros(shape, own[0].dtype) for shape in self._shapes(0)[count:]]
            layers[first // (K * count)] += own + zeros
        return layers

    def _without_zeros(self, arrays: list[Any]) -> list[Any]:
        """Without the biases that the stack does not have."""
        count = len(self._shapes(0))
        return [array for i, array in enumerate(arrays) if self.bias or i % count < 2]

    def _states_of_layers(self, state: State | None) -> list[tuple[Array | None, Array | None]]:
        """Of each layer h and c, (N, K H)."""
        pair = state if isinstance(state, tuple) else (state, None)
        h, c = (self._split(each) for each in pair)
        return list(zip(h, c, strict=True))

    def _split(self, state: Array | None) -> list[Array | None]:
        if state is None:
            return [None] * self.num_layers
        layers = np.split(state, self.num_layers)
        return [np.concatenate(list(directions), axis=1) for directions in layers]

    def _state(self, states: list[tuple[Array, Array | None]]) -> State:
        """The inverse of `_states_of_layers`."""
        h = np.concatenate([self._by_direction(h) for h, _ in states])
        if self.cell != "lstm":
            return h
        return h, np.concatenate([self._by_direction(c) for _, c in states if c is not None])

    def _by_direction(self, state: Array) -> Array:
        """(K, N, H) of (N, K H)."""
        return np.stack(np.split(state, 1 + self.bidirectional, axis=1))
