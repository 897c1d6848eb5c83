"""A short run of the fuzzer of files, and tests that it detects each kind of finding."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fuzz.files.run
from fuzz.files.judge import Watch, judge

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no module resource")


def test_no_file_of_a_short_run_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    status = fuzz.files.run.main(["--cases", "250", "--jobs", "1", "--quiet"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert printed.endswith("250 files, 0 findings\n")


def finding(read: Any, tmp_path: Path) -> str:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return str(judge(read, path, tmp_path, Watch(tmp_path))[1])


class Canary:
    """Pickles as a call."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


def refusing(message: str) -> Any:
    def read(path: Path, samples: Path) -> None:
        raise ValueError(message.format(path))

    return read


def test_each_kind_of_finding_is_detected(tmp_path: Path) -> None:
    assert finding(lambda path, samples: 0, tmp_path) == "None"
    assert finding(refusing("{}: wrong"), tmp_path) == "None"
    assert "does not name the file" in finding(refusing("wrong"), tmp_path)
    assert "a message of 1 lines" in finding(refusing("{}:\nwrong"), tmp_path)
    assert "not a line to read" in finding(refusing("{}: \x1b[2J"), tmp_path)
    assert "not a line to read" in finding(refusing("{}: " + "a" * 5000), tmp_path)

    def crash(path: Path, samples: Path) -> None:
        raise KeyError(path)

    def keep(path: Path, samples: Path) -> None:
        bytearray(200_000_000)[::4096] = bytes(200_000_000 // 4096 + 1)

    def wait(path: Path, samples: Path) -> None:
        start = time.process_time()
        while time.process_time() - start < 1.1:
            pass

    def run(path: Path, samples: Path) -> None:
        pickle.loads(pickle.dumps(Canary()))

    def start(path: Path, samples: Path) -> None:
        subprocess.run([sys.executable, "-c", ""], check=True)

    def write(path: Path, samples: Path) -> None:
        Path(os.devnull).write_text("")

    assert "undocumented KeyError" in finding(crash, tmp_path)
    assert "took 1." in finding(wait, tmp_path)
    if sys.platform == "linux":
        assert "MB for 7 bytes" in finding(keep, tmp_path)
    assert "os.system" in finding(run, tmp_path)
    assert "subprocess.Popen" in finding(start, tmp_path)
    assert "ran or wrote: open" in finding(write, tmp_path)
    assert "status 2" not in finding(lambda path, samples: 2, tmp_path)
    assert finding(lambda path, samples: 1, tmp_path).startswith("a message of 0 lines")
