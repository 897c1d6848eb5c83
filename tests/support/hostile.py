"""What the tests of hostile calls share: a process of its own for each, arrays, hostile objects.

A call that a kernel does not survive ends the interpreter, so a test that may provoke one runs in a
child process, and a crash there is a failure of that test alone.
"""

import functools
import inspect
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import _kernels

Array = npt.NDArray[Any]
Call = Callable[[], Any]

DOCUMENTED = (TypeError, ValueError, IndexError, MemoryError, RuntimeError)

SECONDS = 60  # what a child may take; then it says where it is, and ends

# The optimizers' steps: how many states each has, and its numbers.
STEPS = {
    "sgd_step": (0, (0.5,)),
    "momentum_step": (1, (0.5, 0.9)),
    "nesterov_step": (1, (0.5, 0.9)),
    "adagrad_step": (1, (0.5,)),
    "rmsprop_step": (1, (0.5, 0.9)),
    "adam_step": (2, (0.5, 0.9, 0.99)),
}

_CHILD = """
import faulthandler, runpy, sys
sys.path[:] = {path!r}
faulthandler.enable()
faulthandler.dump_traceback_later({seconds}, exit=True)
test = runpy.run_path({file!r})[{name!r}]
test.__wrapped__(*{arguments!r}, **{named!r})
"""


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a child process; its arguments are written out, so texts and numbers only."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        code = _CHILD.format(
            path=sys.path,
            seconds=SECONDS,
            file=inspect.getfile(test),
            name=test.__name__,
            arguments=arguments,
            named=named,
        )
        child = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS + 20
        )
        if child.returncode != 0:
            pytest.fail(f"exit status {child.returncode}\n{child.stderr[-4000:]}", pytrace=False)

    return run


def draw(*shape: int, seed: int = 0) -> Array:
    """Float32 values of a normal distribution."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def refused(
    call: Call, *names: str, kinds: tuple[type[Exception], ...] = (TypeError, ValueError)
) -> None:
    """Require an exception of these kinds, whose message has each of the names as a word."""
    with pytest.raises(kinds) as raised:
        call()
    for name in names:
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(raised.value)), (
            f"{name!r} is not named by: {raised.value}"
        )


def right_or_refused(call: Call, check: Callable[[Any], None], *names: str) -> bool:
    """Whether the call returned, and then `check` holds of the result; else as `refused`."""
    try:
        result = call()
    except DOCUMENTED as error:
        message = str(error)
        assert not names or any(name in message for name in names), f"nothing named by: {message}"
        return False
    check(result)
    return True


class Converting:
    """An object that NumPy converts with `__array__`: one array after another, the last for ever.

    Before each conversion `action` is called.
    """

    def __init__(self, *arrays: Any, action: Call = lambda: None) -> None:
        self.arrays = list(arrays)
        self.action = action
        self.conversions = 0

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.action()
        array = self.arrays[min(self.conversions, len(self.arrays) - 1)]
        self.conversions += 1
        return array


class Counting:
    """An integer that is another at each look at it, the last for ever."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def __index__(self) -> int:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    __int__ = __index__


class OwnError(Exception):
    """What an argument raises itself."""


def raise_own_error() -> None:
    raise OwnError("from the argument")


@contextmanager
def meanwhile(action: Call) -> Iterator[None]:
    """Call `action` over and over in another thread, and change threads as often as possible."""
    stopped = threading.Event()

    def loop() -> None:
        while not stopped.is_set():
            action()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        sys.setswitchinterval(interval)


def lstm_weights(D: int, H: int, seed: int = 0) -> list[Array]:
    """Wx, Wh and b, small enough that the gates are not saturated."""
    return [draw(*shape, seed=seed) / 4 for shape in ((D, 4 * H), (H, 4 * H), (4 * H,))]


def lstm_gradients(D: int, H: int) -> list[Array]:
    """Arrays for the gradients of `lstm_weights`."""
    return [np.full_like(weight, np.nan) for weight in lstm_weights(D, H)]


def decoder(**changed: Any) -> dict[str, Any]:
    """Arguments of `decode` for two layers of LSTM and two rows, some of them changed."""
    V, D, H = 9, 5, 8
    arguments: dict[str, Any] = {
        "cell": "lstm",
        "start_id": 1,
        "steps": 3,
        "h0": draw(2, 2, H),
        "embedding": draw(V, D),
        "layers": [lstm_weights(D, H), lstm_weights(H, H)],
        "output": (draw(H, V), draw(V)),
        "c0": draw(2, 2, H, seed=1),
    }
    return arguments | changed


def decode(**changed: Any) -> Any:
    """What `decode` gives for these changes of `decoder`."""
    return _kernels.decode(**decoder(**changed))
