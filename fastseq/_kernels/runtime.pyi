"""Instruction sets, threads, the build."""

def isa() -> str:
    """Name of the instruction set in use."""

def available_isas() -> list[str]:
    """Names of those that this build has and this CPU runs, slowest first."""

def set_isa(name: str) -> None:
    """Use another from the next call on; ValueError names the valid ones."""

def get_num_threads() -> int:
    """How many threads a kernel may use. Small calls use fewer."""

def set_num_threads(num_threads: int) -> None:
    """Let a kernel use so many threads, from the next call on: 1 to 256."""

def build_info() -> dict[str, str]:
    """How the extension was compiled: "compiler", and whose "threads" it uses."""
