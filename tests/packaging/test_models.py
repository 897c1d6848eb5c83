"""The distribution fastseq-models: trained, packed, and installed in an environment of its own."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / ".ci" / "models"
PACKAGE = tomllib.loads((SOURCES / "package" / "pyproject.toml").read_text(encoding="utf-8"))
REGISTERED = PACKAGE["project"]["entry-points"]["fastseq.models"]


def test_what_is_registered_is_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SOURCES)
    from recipes import EXAMPLES, RECIPES

    assert set(REGISTERED) == set(RECIPES)
    assert set(REGISTERED.values()) == set(PACKAGE["tool"]["setuptools"]["packages"])
    for script in ("cmudict_pairs.py", "lemma_pairs.py"):
        assert (EXAMPLES / script).is_file()
    train, held_out, test = RECIPES["dates"].parts(ROOT, 10)
    assert [len(side) for part in (train, test) for side in part] == [10] * 4
    assert held_out == 0.1
    assert train != test


@pytest.mark.slow
def test_the_wheel_installs_and_answers(tmp_path: Path) -> None:
    environment = Path(sys.prefix)
    if not (environment / "built").exists():
        pytest.skip("make has not built into this environment")
    small = f"--pairs 300 --epochs 1 --folder {tmp_path} --ensemble 2"
    make = ["make", "models", f"VENV={environment}", f"ARGS={small}"]
    subprocess.run(make, cwd=ROOT, check=True)
    [wheel] = tmp_path.glob("*.whl")

    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    # fastseq, and what it needs, are those of this environment
    lines = [
        f"import site; site.addsitedir({path!r})\n" for path in sys.path if "site-pack" in path
    ]
    [site] = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "fastseq_of_the_tests.pth").write_text("".join(lines))
    subprocess.run([python, "-m", "pip", "install", "-qq", "--no-deps", wheel], check=True)
    assert not list(site.glob("**/*pairs*.py"))
    assert len(list(site.glob("fastseq_models-*.dist-info/licenses/licences/*.txt"))) == 3

    # a wheel of the tests' own environment must not be found first, nor the checkout's
    settings = {"cwd": tmp_path / "env", "env": os.environ | {"PYTHONPATH": ""}}
    listed = json.loads(_printed([python, "-m", "fastseq", "models", "--json"], settings))
    assert [each["name"] for each in listed["models"]] == sorted(REGISTERED)
    assert all(Path(each["file"]).parent == site / "fastseq_models" for each in listed["models"])
    for name in REGISTERED:
        info = _printed([python, "-m", "fastseq", "info", name], settings)
        assert info.startswith("an ensemble of 2 models in ")
        assert (
            _printed([python, "-m", "fastseq", "predict", name, "abc"], settings).count("\n") == 1
        )


def _printed(command: list[object], settings: dict[str, object]) -> str:
    done = subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True, **settings
    )
    return done.stdout
