"""Instruction sets, precisions, threads, the build."""

def isa() -> str:
    """Name of the instruction set in use."""

def available_isas() -> list[str]:
    """Names of the instruction sets in this build that this CPU supports, for the precision in use.

    The slowest is first.
    """

def bfloat16_isas() -> list[str]:
    """Those for products of bfloat16; the fastest is last."""

def set_isa(name: str) -> None:
    """Select the instruction set of later calls; ValueError lists the valid names."""

def get_precision() -> str:
    """What the operands of matrix products are rounded to: "float32" or "bfloat16"."""

def set_precision(precision: str) -> None:
    """Set what later calls round the operands of matrix products to."""

def exchange_thread_precision(precision: str | None) -> str | None:
    """Set the precision of this thread alone, None for that of all; returns the one before."""

def get_num_threads() -> int:
    """The maximum number of threads of a call. Small calls use fewer."""

def set_num_threads(num_threads: int) -> None:
    """Set the maximum number of threads of later calls, 1 to 256."""

def build_info() -> dict[str, str]:
    """How the extension was compiled: "compiler", and "thread_api" (POSIX, Windows or none)."""
