"""The import of the library, in a new process."""

from collections.abc import Callable

from fastseq.bench.workloads.decoding import IMPORT

WORKLOADS = IMPORT


def test_import(replay: Callable[[], None]) -> None:
    replay()
