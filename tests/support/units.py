"""C files compiled as setup.py does: each command runs once for all of pytest's processes."""

import hashlib
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"


@dataclass(frozen=True)
class Units:
    """Object files, in a folder that all of pytest's processes know."""

    folder: Path

    def compiled(self, *command: str | Path) -> Path:
        """The object file of a command, which ends with its source.

        The first process that calls this compiles it, others wait. No warning is allowed.
        """
        import fcntl  # not on Windows, where no unit is compiled

        key = hashlib.sha256(repr(command).encode()).hexdigest()[:16]
        unit = self.folder / f"{Path(command[-1]).stem}-{key}.o"
        with unit.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not unit.exists():
                partial = unit.with_suffix(".partial")
                done = subprocess.run(
                    [*command, "-c", "-o", partial], capture_output=True, text=True
                )
                assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stderr}"
                assert done.stderr == ""
                partial.rename(unit)
        return unit

    def all_compiled(self, commands: Sequence[Sequence[str | Path]]) -> list[Path]:
        """Of some commands, as many at a time as there are processors."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda command: self.compiled(*command), commands))


def common_flags(build: Mapping[str, Any]) -> list[str]:
    """Those of setup.py for each C file, in one order: another would compile the file again."""
    return [*build["COMMON_FLAGS"], *build["WARNING_FLAGS"], "-pthread", "-fPIC"]
