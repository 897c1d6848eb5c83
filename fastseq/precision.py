"""The precision of a part of a thread's work."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastseq import _kernels


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Let the calls of this thread round the operands of products, while the block runs.

    Parameters
    ----------
    precision : {"default", "float32", "bfloat16"}
        By default what it is already.
    """
    if precision == "default":
        yield
        return
    before = _kernels.exchange_thread_precision(precision)
    try:
        yield
    finally:
        _kernels.exchange_thread_precision(before)
