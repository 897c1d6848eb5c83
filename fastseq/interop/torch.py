"""Layers of PyTorch as layers of fastseq, and back; PyTorch is imported by `to_torch` alone."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.files import reason_of
from fastseq.interop.dense import Dense
from fastseq.interop.gates import TORCH, Weights, from_fastseq
from fastseq.interop.stacks import make_stack
from fastseq.interop.tensor_files import find_state_dict, load_pt, load_safetensors
from fastseq.layers import Affine, Embedding, MatMul, TimeAffine
from fastseq.layers.base import as_array, checked
from fastseq.layers.recurrent.stack import RecurrentStack

Array = npt.NDArray[Any]
Layer = RecurrentStack | Embedding | MatMul

# The cell, by the number of blocks of H rows. PyTorch's GRU has its reset gate after the product.
_CELLS = {_kernels.CELLS[cell].gates: cell for cell in ("rnn", "gru_reset_after", "lstm")}
_RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l(\d+)(_reverse)?)?")
_MODULES = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell", "Embedding", "Linear")


class _Unknown(ValueError):
    """A module has tensors, but is of no kind that fastseq has."""


def from_torch(
    source: Any, name: str | None = None, *, batch_first: bool | None = None
) -> Layer | dict[str, Layer]:
    """Layers of fastseq with the weights of a network of PyTorch, which need not be installed.

    ======================================  ==============================================
    PyTorch                                 fastseq
    ======================================  ==============================================
    ``LSTM``, ``GRU``, ``RNN`` with tanh    `RecurrentStack`, the GRU with ``reset_after``
    ``LSTMCell``, ``GRUCell``, ``RNNCell``  `RecurrentStack` of one layer
    ``Embedding``                           `Embedding`
    ``Linear``                              `Affine`; without bias `MatMul`
    ======================================  ==============================================

    Parameters
    ----------
    source : Module, dict or path
        An ``nn.Module``; a state dict of tensors or arrays, or a checkpoint with one in it, as for
        `load_pt`; or a file: ``.safetensors``, else one of `torch.save`.
    name : str, optional
        Of the one module that is wanted, as "encoder.rnn".
    batch_first : bool, optional
        Whether a `RecurrentStack` takes (N, T, D), else (T, N, D). By default as the module says;
        a state dict does not say, and gives (N, T, D).

    Returns
    -------
    layer, or dict of str to layer
        The layer of that name, or the one that the source itself is; else each by its module's
        name, in the order of the source. Modules of other kinds are left out.

    Raises
    ------
    ImportError
        A file needs a package that is missing.
    OSError
        A file cannot be opened.
    TypeError, ValueError
        A file is damaged; there is no such module; or it cannot be computed: ``proj_size``, a
        ``nonlinearity`` other than tanh, dropout between layers of a module in training mode,
        ``max_norm`` of an embedding. The message names the module and the reason.

    Notes
    -----
    Weights become float32, copied; later changes of the module have no effect. A state dict names
    no classes, so they follow from names and shapes. ``weight_ih_l0`` of 4 H rows is an LSTM, of
    3 H a GRU, of H an RNN, whose ``nonlinearity`` is taken to be tanh. ``weight`` and ``bias`` of
    a matrix and a vector are a ``Linear``. A matrix ``weight`` alone is an ``Embedding`` where
    "emb" is in the module's name, else a ``Linear`` without bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.interop import from_torch
    >>> H, D = 4, 3
    >>> state_dict = {  # of nn.LSTM(D, H)
    ...     "weight_ih_l0": np.ones((4 * H, D), "f"),
    ...     "weight_hh_l0": np.ones((4 * H, H), "f"),
    ...     "bias_ih_l0": np.zeros(4 * H, "f"),
    ...     "bias_hh_l0": np.zeros(4 * H, "f"),
    ... }
    >>> stack = from_torch(state_dict)
    >>> stack.cell, stack.input_size, stack.hidden_size
    ('lstm', 3, 4)
    >>> hs, (h, c) = stack.run(np.ones((2, 5, D), "f"))
    >>> hs.shape, h.shape
    ((2, 5, 4), (1, 2, 4))
    """
    if batch_first is not None and not isinstance(batch_first, bool | np.bool_):
        raise TypeError(f"batch_first: expected a bool, got {type(batch_first).__name__}")
    if isinstance(source, str | os.PathLike):
        load = load_safetensors if os.fspath(source).endswith(".safetensors") else load_pt
        try:
            return _layers(load(source), {}, name, batch_first)
        except ValueError as error:
            path = os.fspath(source)
            text = reason_of(error).removeprefix(f"{path}: ")
            raise ValueError(f"{path}: {text}") from error
    nn = getattr(sys.modules.get("torch"), "nn", None)  # a module of it cannot exist without it
    if nn is not None and isinstance(source, nn.Module):
        return _layers(
            source.state_dict(),
            dict(source.named_modules(remove_duplicate=False)),
            name,
            batch_first,
        )
    if not isinstance(source, Mapping):
        raise TypeError(
            f"source: expected a module, a state dict or a path, got {type(source).__name__}"
        )
    return _layers(find_state_dict(source, _is_tensor), {}, name, batch_first)


def _layers(
    tensors: Mapping[str, Any],
    modules: Mapping[str, Any],
    name: str | None,
    batch_first: bool | None,
) -> Layer | dict[str, Layer]:
    """The layer of the one module that is meant, or all of them."""
    groups: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        prefix, _, leaf = str(key).rpartition(".")
        groups.setdefault(prefix, {})[leaf] = tensor
    if name is None and set(groups) == {""}:
        name = ""
    if name is not None:
        if name not in groups:
            known = ", ".join(repr(each) for each in list(groups)[:10])
            raise ValueError(f"name: expected one of the modules {known}, got {name!r}")
        try:
            return _layer(name, groups[name], modules.get(name), batch_first)
        except _Unknown as error:
            raise ValueError(str(error)) from error
    layers = {}
    for prefix, group in groups.items():
        try:
            layers[prefix] = _layer(prefix, group, modules.get(prefix), batch_first)
        except _Unknown:
            continue
    if not layers:
        raise ValueError("expected an LSTM, GRU, RNN, Embedding or Linear, got none of them")
    return layers


def _layer(name: str, tensors: Mapping[str, Any], module: Any, batch_first: bool | None) -> Layer:
    """The layer of one module, by its class if the module is there; errors begin with its name."""
    try:
        kind = _kind_of_module(module) if module is not None else _kind_of_tensors(name, tensors)
        if kind == "recurrent":
            if module is not None:
                batch_first = _check_recurrent_module(module, batch_first)
            return _stack(tensors, batch_first in (None, True))
        if kind == "embedding":
            return Embedding(np.array(_matrix(tensors["weight"])))
        W = np.array(_matrix(tensors["weight"]).T, order="C")
        if tensors.get("bias") is None:
            return MatMul(W)
        return Affine(W, np.array(_array("bias", tensors["bias"], "(M,)", W.shape[1])))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error


def _kind_of_module(module: Any) -> str:
    nn = sys.modules["torch"].nn
    kind = next((each for each in _MODULES if isinstance(module, getattr(nn, each))), None)
    if kind is None:
        raise _Unknown(f"expected {', '.join(_MODULES)}, got a {type(module).__name__}")
    if kind == "Embedding":
        if module.max_norm is not None:
            raise ValueError(f"max_norm={module.max_norm}: fastseq has no embedding with max_norm")
        return "embedding"
    return "linear" if kind == "Linear" else "recurrent"


def _kind_of_tensors(name: str, tensors: Mapping[str, Any]) -> str:
    if any(_RECURRENT.fullmatch(leaf) for leaf in tensors):
        return "recurrent"
    shapes = {leaf: tuple(tensor.shape) for leaf, tensor in tensors.items()}
    match [shapes.get("weight"), shapes.get("bias"), len(shapes)]:
        case [(rows, _), (columns,), 2] if rows == columns:
            return "linear"
        case [(_, _), None, 1]:
            return "embedding" if "emb" in name.lower() else "linear"
    found = ", ".join(f"{leaf} {shape}" for leaf, shape in list(shapes.items())[:5])
    raise _Unknown(f"expected the tensors of {', '.join(_MODULES)}, got {found}")


def _check_recurrent_module(module: Any, batch_first: bool | None) -> bool:
    """Refuse what a module computes and fastseq does not; whether it takes the batch first."""
    nonlinearity = getattr(module, "nonlinearity", "tanh")
    if nonlinearity != "tanh":
        raise ValueError(f"nonlinearity={nonlinearity!r}: expected 'tanh'")
    dropout = getattr(module, "dropout", 0)
    if dropout and module.num_layers > 1 and module.training:
        raise ValueError(
            f"dropout={dropout}: expected a module in evaluation mode, as after module.eval(): "
            "fastseq has no dropout between layers"
        )
    return bool(getattr(module, "batch_first", True) if batch_first is None else batch_first)


def _stack(tensors: Mapping[str, Any], batch_first: bool) -> RecurrentStack:
    """A stack of the tensors of nn.LSTM, nn.GRU, nn.RNN, or of one of their cells."""
    suffixes = set()
    for leaf in tensors:
        match = _RECURRENT.fullmatch(leaf)
        if match is None:
            raise ValueError(f"expected the tensors of a recurrent layer, got {leaf!r} among them")
        if match[2] == "hr":
            raise ValueError(f"{leaf}: fastseq has no LSTM with proj_size")
        suffixes.add(match[3] or "")
    is_cell = "" in suffixes
    K = 2 if any(suffix.endswith("_reverse") for suffix in suffixes) else 1
    count = 1 if is_cell else len(suffixes) // K
    directions = ("", "_reverse")[:K]
    layers = (
        [[f"_l{number}{direction}" for direction in directions] for number in range(count)]
        if not is_cell
        else [[""]]
    )
    if suffixes != {suffix for layer in layers for suffix in layer}:
        raise ValueError(f"expected layers 0 to n, of the same directions, got {sorted(suffixes)}")
    gates = {_gates(tensors, suffix) for layer in layers for suffix in layer}
    has_bias = any(leaf.startswith("bias") for leaf in tensors)
    if len(gates) != 1 or not gates <= set(_CELLS):
        raise ValueError(f"weight_ih: expected H, 3 H or 4 H rows, got {sorted(gates)} times H")
    (G,) = gates
    weights = [[_weights(tensors, suffix, G, has_bias) for suffix in layer] for layer in layers]
    return make_stack(TORCH, _CELLS[G], weights, batch_first)


def _gates(tensors: Mapping[str, Any], suffix: str) -> int:
    rows, H = _array(
        f"weight_hh{suffix}", tensors.get(f"weight_hh{suffix}"), "(G H, H)", None, None
    ).shape
    return rows // H if H and rows % H == 0 else 0


def _weights(tensors: Mapping[str, Any], suffix: str, G: int, has_bias: bool) -> Weights:
    def read(kind: str, letters: str, *sizes: int | None) -> Array:
        return _array(f"{kind}{suffix}", tensors.get(f"{kind}{suffix}"), letters, *sizes)

    H = read("weight_hh", "(G H, H)", None, None).shape[1]
    biases = [read(f"bias_{side}", "(G H,)", G * H) for side in ("ih", "hh")] if has_bias else []
    return Weights(
        read("weight_ih", "(G H, D)", G * H, None).T,
        read("weight_hh", "(G H, H)", G * H, H).T,
        *biases,
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "is_floating_point")


def _array(name: str, tensor: Any, letters: str, *sizes: int | None) -> Array:
    """A tensor as an array of floats of the expected shape."""
    if tensor is None:
        raise ValueError(f"{name}: expected a tensor of shape {letters}, got none")
    if hasattr(tensor, "is_floating_point"):  # of PyTorch; NumPy has no bfloat16
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return checked(name, as_array(name, tensor), letters, *sizes, kinds="f").astype(
        np.float32, copy=False
    )


def _matrix(tensor: Any) -> Array:
    return _array("weight", tensor, "(rows, columns)", None, None)


def to_torch(layers: Any) -> dict[str, Any]:
    """The state dict with which modules of PyTorch compute what layers of fastseq do.

    Parameters
    ----------
    layers : layer, or mapping of str to layer
        What `from_torch` returns, or layers of these kinds trained here: `RecurrentStack`,
        `Embedding`, `Affine`, `TimeAffine`, `MatMul` and their subclasses. The names of a mapping
        are put before the keys: ``{"rnn": stack}`` gives "rnn.weight_ih_l0".

    Returns
    -------
    dict of str to Tensor
        Float32, of the keys that the modules' ``load_state_dict`` requires. fastseq's one bias is
        ``bias_ih``; ``bias_hh`` is zero, but for the candidate of a GRU.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError, ValueError
        A layer is none of these, or one that PyTorch does not have: a GRU with
        ``reset_after=False``, an affine map with an activation.

    Examples
    --------
    >>> from fastseq.interop import to_torch
    >>> from fastseq.layers import RecurrentStack
    >>> stack = RecurrentStack("gru", 3, 4, reset_after=False)
    >>> to_torch(stack)
    Traceback (most recent call last):
    ValueError: reset_after: expected True, as PyTorch has no other GRU, got False
    """
    arrays = to_torch_arrays(layers)
    try:
        import torch
    except ImportError as error:
        raise ImportError("to_torch needs PyTorch: pip install torch") from error
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def to_torch_arrays(layers: Any) -> dict[str, Array]:
    """The arrays of `to_torch`, for which PyTorch is not needed."""
    named: Iterable[tuple[str, Any]] = (
        ((f"{name}.", layer) for name, layer in layers.items())
        if isinstance(layers, Mapping)
        else [("", layers)]
    )
    return {
        f"{prefix}{key}": array
        for prefix, layer in named
        for key, array in _state_dict_arrays(prefix, layer).items()
    }


def _state_dict_arrays(prefix: str, layer: Any) -> dict[str, Array]:
    where = f"{prefix.removesuffix('.')}: " if prefix else ""
    if isinstance(layer, RecurrentStack):
        if layer.cell == "gru" and not layer.reset_after:
            raise ValueError(
                f"{where}reset_after: expected True, as PyTorch has no other GRU, got False"
            )
        return _stack_arrays(layer)
    if isinstance(layer, Dense):
        raise ValueError(f"{where}PyTorch has no Linear with the activation {layer.activation}")
    params = [np.array(param, np.float32) for param in getattr(layer, "params", [])]
    if isinstance(layer, Embedding):
        return {"weight": params[0]}
    if isinstance(layer, MatMul | TimeAffine):
        W, *b = params
        weight = {"weight": np.ascontiguousarray(W.T)}
        return weight | ({"bias": b[0].reshape(-1)} if b else {})
    raise TypeError(
        f"{where}expected a RecurrentStack, an Embedding, an affine map or a dict of them, got "
        f"{type(layer).__name__}"
    )


def _stack_arrays(stack: RecurrentStack) -> dict[str, Array]:
    cell = "gru_reset_after" if stack.cell == "gru" else stack.cell
    shapes = _kernels.CELLS[cell].shapes(1, stack.hidden_size)
    directions = ("", "_reverse") if stack.bidirectional else ("",)
    suffixes = [f"_l{number}{each}" for number in range(stack.num_layers) for each in directions]
    count = len(stack.params) // len(suffixes)
    arrays = {}
    for index, suffix in enumerate(suffixes):
        params = stack.params[index * count : (index + 1) * count]
        zeros = [np.zeros(shape, np.float32) for shape in shapes[count:]]
        Wx, Wh, bx, bh = from_fastseq(TORCH, cell, [*params, *zeros])
        arrays[f"weight_ih{suffix}"] = np.ascontiguousarray(Wx.T)
        arrays[f"weight_hh{suffix}"] = np.ascontiguousarray(Wh.T)
        if stack.bias:
            assert bx is not None and bh is not None
            arrays[f"bias_ih{suffix}"], arrays[f"bias_hh{suffix}"] = bx, bh
    return arrays
