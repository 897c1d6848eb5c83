"""The default number of threads: from the environment, or from CPU affinity and CPU quotas."""

import os
from pathlib import Path

import pytest

from fastseq._kernels.processors import default_threads

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may run on 64 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def test_without_quotas_the_affinity_is_used(tmp_path: Path) -> None:
    assert default_threads({}, tmp_path) == HERE


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FASTSEQ_NUM_THREADS": "3"}, 3),
        ({"FASTSEQ_NUM_THREADS": " 2 ", "OMP_NUM_THREADS": "7"}, 2),
        ({"FASTSEQ_NUM_THREADS": "", "OMP_NUM_THREADS": "7"}, 7),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "many"}, HERE),
        ({"OMP_NUM_THREADS": "0"}, HERE),
    ],
)
def test_the_environment_takes_precedence(
    environment: dict[str, str], expected: int, tmp_path: Path
) -> None:
    assert default_threads(environment, tmp_path) == expected


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_is_refused_by_name(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^FASTSEQ_NUM_THREADS: expected an integer .*'{wrong}'"):
        default_threads({"FASTSEQ_NUM_THREADS": wrong}, tmp_path)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("max 100000\n", 64),
        ("9900000 100000\n", 64),
        ("nonsense\n", 64),
        ("", 64),
    ],
)
def test_a_quota_of_version_2(quota: str, expected: int, tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": quota})
    assert default_threads({}, tmp_path) == expected


@pytest.mark.usefixtures("many")
def test_the_quota_of_a_parent_group_is_used(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/cpu.max": "800000 100000",
            "sys/fs/cgroup/a/cpu.max": "300000 100000",
        },
    )
    assert default_threads({}, tmp_path) == 3
    write(tmp_path, {"sys/fs/cgroup/cpu.max": "100000 100000"})  # in a container
    assert default_threads({}, tmp_path) == 1


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(("quota", "expected"), [("400000\n", 4), ("-1\n", 64)])
def test_a_quota_of_version_1(quota: str, expected: int, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": quota,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert default_threads({}, tmp_path) == expected


@pytest.mark.usefixtures("many")
def test_malformed_lines_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "nonsense\n\n0::/\n"})
    assert default_threads({}, tmp_path) == 64
