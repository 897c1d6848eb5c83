"""Every shape that the recurrent kernels read by is checked, and a wrong one named."""

import sys
from typing import Any

import numpy as np
import pytest

from fastseq import _kernels
from support.kernels.hostile import draw, isolated, lstm_gradients, lstm_weights, refused
from support.processes import SANITIZED

N, T, D, C, V, H = 2, 3, 4, 5, 9, 8


def forward(**changed: Any) -> None:
    arguments: dict[str, Any] = {
        "xs": draw(N, T, D),
        "params": lstm_weights(C + D, H),
        "context": draw(N, C),
        "h0": draw(N, H),
        "c0": draw(N, H),
        "lengths": [2, 3],
    }
    _kernels.recurrent_forward(_kernels.Workspace(), "lstm", **arguments | changed)


@isolated
def test_a_wrong_argument_of_forward_is_named() -> None:
    wide, narrow = lstm_weights(C + D + 1, H), lstm_weights(C + D, H - 1)
    params = lstm_weights(C + D, H)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("xs", {"xs": draw(N, T)}),
        ("xs", {"xs": draw(N, T, D - 1), "context": None, "params": lstm_weights(D, H)}),
        ("Wx", {"params": wide}),
        ("Wh", {"params": [params[0], draw(H, 4 * H + 4), params[2]]}),
        ("b", {"params": [params[0], params[1], narrow[2]]}),
        ("context", {"context": draw(N + 1, C)}),
        ("Wx", {"context": draw(N, C - 1)}),
        ("h0", {"h0": draw(N, H + 1)}),
        ("h0", {"h0": draw(N - 1, H)}),
        ("c0", {"c0": draw(N, H + 1)}),
        ("c0", {"c0": draw(N - 1, H)}),
        ("lengths", {"lengths": [2]}),
        ("lengths", {"lengths": [2, T + 1]}),
        ("lengths", {"lengths": [-1, 2]}),
        ("xs", {"xs": np.full((N, T), V), "embedding": draw(V, D)}),
        ("xs", {"xs": np.full((N, T), -1), "embedding": draw(V, D)}),
        ("Wx", {"xs": np.zeros((N, T), int), "embedding": draw(V, D + 1)}),
    ]
    forward()
    forward(xs=np.zeros((N, T), int), embedding=draw(V, D))
    for name, changed in cases:
        refused(lambda c=changed: forward(**c), name, kinds=(ValueError, IndexError))


@isolated
def test_a_wrong_argument_of_backward_is_named() -> None:
    workspace = _kernels.Workspace()
    params = lstm_weights(C + D, H)
    ids = np.zeros((N, T), int)
    _kernels.recurrent_forward(
        workspace, "lstm", ids, params, embedding=draw(V, D), context=draw(N, C)
    )
    right: dict[str, Any] = {
        "dhs": draw(N, T, H),
        "params": params,
        "grads": lstm_gradients(C + D, H),
        "dh": draw(N, H),
        "dc": draw(N, H),
        "dcontext": draw(N, C),
        "dembedding": draw(V, D),
    }
    wide, narrow = lstm_gradients(C + D + 1, H), lstm_gradients(C + D, H - 1)
    grads = right["grads"]
    cases: list[tuple[str, dict[str, Any]]] = [
        ("dhs", {"dhs": draw(N, T, H + 1)}),
        ("dhs", {"dhs": draw(N, T - 1, H)}),
        ("dhs", {"dhs": draw(N + 1, T, H)}),
        ("Wx", {"params": lstm_weights(C + D + 1, H)}),
        ("params", {"params": params + params}),
        ("grads", {"grads": grads[:2]}),
        ("dWx", {"grads": [wide[0], *grads[1:]]}),
        ("dWh", {"grads": [grads[0], narrow[1], grads[2]]}),
        ("db", {"grads": [*grads[:2], narrow[2]]}),
        ("dh", {"dh": draw(N, H + 1)}),
        ("dh", {"dh": draw(N - 1, H)}),
        ("dc", {"dc": draw(N, H + 1)}),
        ("dc", {"dc": draw(N - 1, H)}),
        ("dcontext", {"dcontext": None}),
        ("dcontext", {"dcontext": draw(N, C + 1)}),
        ("dembedding", {"dembedding": None}),
        ("dembedding", {"dembedding": draw(V - 1, D)}),
    ]
    for name, changed in cases:
        refused(lambda c=changed: _kernels.recurrent_backward(workspace, **right | c), name)
    _kernels.recurrent_backward(workspace, **right)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no module resource")
@pytest.mark.skipif(SANITIZED, reason="it needs terabytes")
@isolated
def test_backward_after_a_forward_that_found_no_memory_is_refused() -> None:
    import resource

    workspace, params = _kernels.Workspace(), lstm_weights(D, H)
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", draw(N, T, D), params)
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
    many = np.zeros((2**20, 2**7, 0), np.float32)  # 40 GB of cache, half a gigabyte of results
    with pytest.raises(MemoryError):
        _kernels.recurrent_forward(workspace, "lstm", many, lstm_weights(0, 1))
    with pytest.raises(RuntimeError, match="call forward first"):
        _kernels.recurrent_backward(workspace, hs, params, lstm_gradients(D, H))
