"""Helpers for tests of hostile calls: child processes, and valid arguments to start from.

A call that crashes ends the interpreter, so each such test runs in a child process: a crash there
fails only that test.
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
from support.kernels.hostile_values import DOCUMENTED

Array = npt.NDArray[Any]
Call = Callable[[], Any]

SECONDS = 60  # time limit of a child, which then prints its traceback and ends

# By optimizer step: the number of states, and its numeric arguments.
STEPS = {
    "sgd_step": (0, (0.5,)),
    "momentum_step": (1, (0.5, 0.9)),
    "nesterov_step": (1, (0.5, 0.9)),
    "adagrad_step": (1, (0.5,)),
    "rmsprop_step": (1, (0.5, 0.9)),
    "adam_step": (2, (0.5, 0.9, 0.99)),
}

_CHILD = """
import faulthandler, importlib.util, sys
sys.path[:] = {path!r}
faulthandler.enable()
faulthandler.dump_traceback_later({seconds}, exit=True)
spec = importlib.util.spec_from_file_location({module!r}, {file!r})
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.{name}.__wrapped__(*{arguments!r}, **{named!r})
"""


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a child process; its arguments must be strings or numbers."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        code = _CHILD.format(
            path=sys.path,
            seconds=SECONDS,
            module=test.__module__,
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
    """Require an exception of these kinds whose message contains each of the names as a word."""
    with pytest.raises(kinds) as raised:
        call()
    for name in names:
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(raised.value)), (
            f"{name!r} is not in the message: {raised.value}"
        )


def right_or_refused(call: Call, check: Callable[[Any], None], *names: str) -> bool:
    """Check the result of a call with `check`; False if it raised an exception as in `refused`."""
    try:
        result = call()
    except DOCUMENTED as error:
        message = str(error)
        assert not names or any(name in message for name in names), (
            f"no argument in the message: {message}"
        )
        return False
    check(result)
    return True


@contextmanager
def meanwhile(action: Call) -> Iterator[None]:
    """Call `action` repeatedly in another thread, with the shortest switch interval."""
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
    """Wx, Wh and b, so small that the gates do not saturate."""
    return [draw(*shape, seed=seed) / 4 for shape in ((D, 4 * H), (H, 4 * H), (4 * H,))]


def lstm_gradients(D: int, H: int) -> list[Array]:
    """Arrays for the gradients of `lstm_weights`."""
    return [np.full_like(weight, np.nan) for weight in lstm_weights(D, H)]


def decoder(**changed: Any) -> dict[str, Any]:
    """Arguments of `decode` for two LSTM layers and two rows, with these changes."""
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
    """The result of `decode` for these changes of `decoder`."""
    return _kernels.decode(**decoder(**changed))
