"""Recurrent layers one above the other, over sequences of vectors.

The layer above reads the states of the one below at every step (Schmidhuber, "Learning complex,
extended sequences using the principle of history compression", 1992; Graves, Mohamed and Hinton,
"Speech recognition with deep recurrent neural networks", 2013). Arguments, results and the order of
the states are those of `torch.nn.LSTM`, `GRU` and `RNN`; weights are laid out as in the rest of the
package.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import (
    as_array,
    as_integer,
    as_list,
    check_choice,
    check_weight,
    checked,
    zero_gradients,
)
from fastseq.layers.recurrent.engine import Recurrence

Array = npt.NDArray[Any]

# h of all layers, or h and c: the LSTM's.
State = Array | tuple[Array, Array]

_CELLS = ("lstm", "gru", "rnn")
# Beyond any memory.
_MOST_LAYERS = 2**16
_MOST_SIZE = 2**31 - 1


class RecurrentStack:
    """Recurrent layers of one cell over whole sequences, in one direction or in both.

    L below is the number of layers, K that of directions, G that of the cell's gates: 1 of the
    plain RNN, 3 of both GRUs (in the order z, r, g), 4 of the LSTM (f, g, i, o). Of two directions,
    the second takes each row from its last step to its first, and their states lie side by side. A
    row gives the same result alone, padded, or anywhere in a batch.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}
        The activation of the RNN is tanh.
    input_size, hidden_size : int
        D and H.
    num_layers : int, default 1
        L.
    bidirectional : bool, default False
        Whether K is 2, else 1.
    reset_after : bool, default True
        Of the GRU alone: whether its reset gate acts after the product with ``Wh``, as in PyTorch,
        Keras and cuDNN, or before it, as in the textbook.
    bias : bool, default True
        Whether there are biases; ``params`` are else ``Wx`` and ``Wh`` alone.
    batch_first : bool, default True
        Whether sequences are (N, T, .), else (T, N, .).
    params : sequence of ndarray of float, optional
        The weights of each layer, and of each of its directions: ``Wx, Wh, b`` of shapes (D, G H),
        (H, G H) and (G H,), of the GRU with ``reset_after`` also ``bh`` of shape (H,). In layers
        above the first, D is K H. All may be views. Without it they are drawn evenly from
        -1/sqrt(H) to 1/sqrt(H), as float32.
    seed : int, optional
        For the weights that are drawn; without it they are others each time.

    Attributes
    ----------
    cell, input_size, hidden_size, num_layers, bidirectional, reset_after, bias, batch_first
        The arguments.
    params, grads : list of ndarray
        The weights, the caller's own arrays where they were given, and their gradients after
        `backward`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or a weight of a shape that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import RecurrentStack
    >>> stack = RecurrentStack("lstm", 3, 4, num_layers=2, bidirectional=True, seed=0)
    >>> xs = np.ones((2, 5, 3), "f")
    >>> hs, (h, c) = stack.run(xs, lengths=[5, 2])
    >>> hs.shape, h.shape, bool((hs[1, 2:] == 0).all())
    ((2, 5, 8), (4, 2, 4), True)

    To train it:

    >>> hs, (h, c) = stack.forward(xs, lengths=[5, 2])
    >>> dxs, (dh0, dc0) = stack.backward(np.ones_like(hs))
    >>> dxs.shape, dh0.shape, len(stack.grads)
    ((2, 5, 3), (4, 2, 4), 12)

    A sequence that comes piece by piece:

    >>> stack = RecurrentStack("gru", 3, 4, seed=0)
    >>> first, state = stack.run(xs[:, :2])
    >>> rest, state = stack.run(xs[:, 2:], state=state)
    >>> bool((np.concatenate([first, rest], axis=1) == stack.run(xs)[0]).all())
    True
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
        check_choice("cell", cell, _CELLS)
        self.cell = cell
        self.input_size = _size("input_size", input_size)
        self.hidden_size = _size("hidden_size", hidden_size)
        self.num_layers = _size("num_layers", num_layers, _MOST_LAYERS)
        self.bidirectional = bool(bidirectional)
        self.reset_after = bool(reset_after)
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self._directions = 2 if self.bidirectional else 1
        kernel_cell = "gru_reset_after" if cell == "gru" and self.reset_after else cell
        self._has_c = _kernels.CELLS[kernel_cell].states > 1
        shapes = self._shapes(kernel_cell)
        self._arrays_per_layer = len(shapes) // self.num_layers
        self.params = (
            _draw(shapes, self.hidden_size, seed) if params is None else as_list("params", params)
        )
        _check_params(self.params, shapes)
        self.grads = zero_gradients(self.params)
        self._recurrences = [Recurrence(kernel_cell, self.bias) for _ in range(self.num_layers)]
        # of the last forward pass, if all layers hold it
        self._hs_shape: tuple[int, ...] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_hs_shape": None}  # copies and pickles hold no pass

    def run(
        self, xs: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[Array, State]:
        """Run the sequences, and keep nothing; any number of threads may do so at once.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, D), or (T, N, D) without ``batch_first``
            What lies past a row's length is not read.
        lengths : ndarray of int, shape (N,), optional
            How many steps each row has, from 0 to T; T each by default.
        state : ndarray of float, shape (L K, N, H), or a tuple of two, optional
            The states h before the first step, of the LSTM ``(h, c)``; zeros by default. Of two
            directions, those of a layer follow each other, and the second's is that before the
            row's last step.

        Returns
        -------
        hs : ndarray of float32, shape (N, T, K H), or (T, N, K H) without ``batch_first``
            The hidden states of the top layer after each step, 0 past a row's length.
        state : ndarray of float32, shape (L K, N, H), or a tuple of two
            The states after each row's last step, for the next piece of the sequences.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape, or a length is out of range.
        """
        return self._run(xs, lengths, state, keep=False)

    def forward(
        self, xs: Array, lengths: Array | None = None, state: State | None = None
    ) -> tuple[Array, State]:
        """The result of `run`, and keep what `backward` needs.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, D), or (T, N, D) without ``batch_first``
        lengths : ndarray of int, shape (N,), optional
        state : ndarray of float, shape (L K, N, H), or a tuple of two, optional

        Returns
        -------
        hs : ndarray of float32, shape (N, T, K H), or (T, N, K H) without ``batch_first``
        state : ndarray of float32, shape (L K, N, H), or a tuple of two

        Raises
        ------
        TypeError, ValueError
            As `run`.
        RuntimeError
            Another thread is in `forward` or `backward` of the same stack.
        """
        self._hs_shape = None
        hs, last = self._run(xs, lengths, state, keep=True)
        self._hs_shape = hs.shape
        return hs, last

    def backward(self, dhs: Array, dstate: State | None = None) -> tuple[Array, State]:
        """Gradients of the inputs; ``grads`` receive those of the weights.

        Parameters
        ----------
        dhs : ndarray of float, shape (N, T, K H), or (T, N, K H) without ``batch_first``
            What lies past a row's length is not read.
        dstate : ndarray of float, shape (L K, N, H), or a tuple of two, optional
            The gradients of the last states; zeros by default.

        Returns
        -------
        dxs : ndarray of float32, shape (N, T, D), or (T, N, D) without ``batch_first``
            0 past a row's length.
        dstate0 : ndarray of float32, shape (L K, N, H), or a tuple of two
            The gradients of the first states.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        if self._hs_shape is None:
            raise RuntimeError("RecurrentStack.backward was called before forward")
        d = self._as_batch_first("dhs", dhs, "K H", *self._hs_shape)
        dh, dc = self._by_layer("dstate", dstate, len(d))
        dh0: list[Array] = []
        dc0: list[Array] = []
        for layer in reversed(range(self.num_layers)):
            own = self._arrays_of(layer)
            dxs, _, dh_first, dc_first = self._recurrences[layer].backward(
                self.params[own], self.grads[own], d, dh[layer], dc[layer]
            )
            assert dxs is not None
            d = dxs
            dh0.insert(0, dh_first)
            if dc_first is not None:
                dc0.insert(0, dc_first)
        return self._as_given(d), self._as_state(dh0, dc0)

    def _run(
        self, xs: Array, lengths: Array | None, state: State | None, keep: bool
    ) -> tuple[Array, State]:
        hs = self._as_batch_first("xs", xs, "D", None, None, self.input_size)
        if lengths is not None:
            lengths = as_array("lengths", lengths)
        h0, c0 = self._by_layer("state", state, len(hs))
        h: list[Array] = []
        c: list[Array] = []
        for layer, recurrence in enumerate(self._recurrences):
            hs, h_last, c_last = recurrence.forward(
                self.params[self._arrays_of(layer)], hs, h0[layer], c0[layer], lengths, keep=keep
            )
            h.append(h_last)
            if c_last is not None:
                c.append(c_last)
        return self._as_given(hs), self._as_state(h, c)

    def _shapes(self, kernel_cell: str) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each weight array, in the order of ``params``."""
        cell = _kernels.CELLS[kernel_cell]
        H, shapes = self.hidden_size, []
        for layer in range(self.num_layers):
            D = self._directions * H if layer else self.input_size
            named = list(zip(cell.weights, cell.shapes(D, H), strict=True))
            shapes += self._directions * (named if self.bias else named[:2])
        return shapes

    def _arrays_of(self, layer: int) -> slice:
        """Where ``params`` and ``grads`` hold those of a layer."""
        first = layer * self._arrays_per_layer
        return slice(first, first + self._arrays_per_layer)

    def _as_batch_first(self, name: str, xs: Array, letter: str, *sizes: int | None) -> Array:
        """An argument of these sizes as an array (N, T, .)."""
        if self.batch_first:
            return checked(name, xs, f"(N, T, {letter})", *sizes)
        return checked(name, xs, f"(T, N, {letter})", *sizes).swapaxes(0, 1)

    def _as_given(self, hs: Array) -> Array:
        """A result (N, T, .) in the caller's order of axes."""
        return hs if self.batch_first else np.ascontiguousarray(hs.swapaxes(0, 1))

    def _by_layer(
        self, name: str, state: State | None, N: int
    ) -> tuple[Sequence[Array | None], Sequence[Array | None]]:
        """The caller's h and c as arrays (N, K H) of each layer, None for zeros."""
        h, c = self._checked_state(name, state, N)
        return self._split(h), self._split(c)

    def _checked_state(
        self, name: str, state: State | None, N: int | None
    ) -> tuple[Array | None, Array | None]:
        """The caller's h and c, None for zeros."""
        if state is None:
            return None, None
        letters, sizes = "(L K, N, H)", (self.num_layers * self._directions, N, self.hidden_size)
        if not self._has_c:
            if isinstance(state, tuple):
                raise TypeError(
                    f"{name}: expected an array h, as a {self.cell} has no c; got tuple"
                )
            return checked(name, state, letters, *sizes), None
        if not isinstance(state, tuple | list):
            raise TypeError(f"{name}: expected a tuple (h, c), got {type(state).__name__}")
        pair = tuple(state)  # read once
        if len(pair) != 2:
            raise ValueError(f"{name}: expected a tuple (h, c), got {len(pair)} items")
        h = checked(f"{name}[0]", pair[0], letters, *sizes)
        return h, checked(f"{name}[1]", pair[1], letters, *h.shape)

    def _split(self, state: Array | None) -> Sequence[Array | None]:
        if state is None:
            return [None] * self.num_layers
        K, N, H = self._directions, state.shape[1], self.hidden_size
        layers = range(0, len(state), K)
        return [state[first : first + K].swapaxes(0, 1).reshape(N, K * H) for first in layers]

    def _as_state(self, h: list[Array], c: list[Array]) -> State:
        """The inverse of `_by_layer`."""
        return (self._join(h), self._join(c)) if c else self._join(h)

    def _join(self, layers: list[Array]) -> Array:
        K, N, H = self._directions, len(layers[0]), self.hidden_size
        state = np.empty((len(layers) * K, N, H), dtype=np.float32)
        return np.concatenate([each.reshape(N, K, H).swapaxes(0, 1) for each in layers], out=state)


def initial_state(stack: RecurrentStack, state: State) -> tuple[Array, Array | None]:
    """A state as arrays h and c (L K, N, H), c None but for the LSTM; for `_kernels.decode`."""
    h, c = stack._checked_state("state", state, None)
    if h is None:
        raise TypeError("state: expected the states before the first step, got None")
    return h, c


def cell_and_weights(stack: RecurrentStack) -> tuple[str, list[list[Array]]]:
    """The name of the cell, and the weights of each layer, as `_kernels.decode` takes them."""
    weights = [
        recurrence.complete(stack.params[stack._arrays_of(layer)])
        for layer, recurrence in enumerate(stack._recurrences)
    ]
    return stack._recurrences[0].cell, weights


def _size(name: str, size: int, most: int = _MOST_SIZE) -> int:
    size = as_integer(name, size)
    if not 1 <= size <= most:
        raise ValueError(f"{name}: expected 1 to {most}, got {size}")
    return size


def _draw(shapes: list[tuple[str, tuple[int, ...]]], H: int, seed: int | None) -> list[Array]:
    generator = np.random.default_rng(seed)
    bound = 1 / np.sqrt(H)
    return [generator.uniform(-bound, bound, shape).astype(np.float32) for _, shape in shapes]


def _check_params(params: list[Array], shapes: list[tuple[str, tuple[int, ...]]]) -> None:
    if len(params) != len(shapes):
        raise ValueError(f"params: expected {len(shapes)} arrays, got {len(params)}")
    for i, (weight, (name, shape)) in enumerate(zip(params, shapes, strict=True)):
        check_weight(f"params[{i}]", weight, f"of {name}", *shape)
