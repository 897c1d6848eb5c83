"""Instruction sets, threads, the build."""

def isa() -> str:
    """Name of the instruction set in use."""

def available_isas() -> list[str]:
    """Names of the instruction sets in this build that this CPU supports, slowest first."""

def set_isa(name: str) -> None:
    """Select the instruction set of later calls; ValueError lists the valid names."""

def get_num_threads() -> int:
    """The maximum number of threads of a call. Small calls use fewer."""

def set_num_threads(num_threads: int) -> None:
    """Set the maximum number of threads of later calls, 1 to 256."""

def build_info() -> dict[str, str]:
    """How the extension was compiled: "compiler", and "thread_api" (POSIX, Windows or none)."""
