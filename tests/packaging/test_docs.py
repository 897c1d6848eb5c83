"""The documentation holds what it says: its examples run, its commands are valid."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastseq
from fastseq.cli import _parser
from fastseq.dropin import table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MORE_PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]

# The README trains on as much as it takes to learn something; a test needs less.
SMALLER = {
    "addition.generate(50_000": "addition.generate(500",
    "hidden_size=128)\ntrainer": "hidden_size=16)\ntrainer",
}

FASTSEQ = str(Path(fastseq.__file__).parents[1])
# The numbers of the examples are those of float32, whatever precision the tests run in.
WISHES = ("FASTSEQ_PRECISION", "FASTSEQ_ISA") if "FASTSEQ_PRECISION" in os.environ else ()
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in WISHES} | {
    "PYTHONPATH": os.pathsep.join([FASTSEQ, os.environ.get("PYTHONPATH", "")]),
    "PYTHONIOENCODING": "utf-8",
    "OMP_NUM_THREADS": "1",  # the examples are small, and other tests may run at the same time
    "MPLBACKEND": "agg",
}

# Its examples share files, and have tests of their own.
PARTITIONS = "partitions.md"
PYTHON_BLOCK = re.compile("^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {
    f"{page.name}-{number}": text
    for page in PAGES
    if page.name != PARTITIONS
    for number, text in enumerate(PYTHON_BLOCK.findall(page.read_text("utf-8")), start=1)
}
# Examples read stored networks of the tests, and some need a package that fastseq does not.
STORED = ROOT / "tests" / "interop" / "data"
NEEDED = {
    "from_onnx": "onnx",
    "to_onnx": "onnx",
    "import onnxruntime": "onnxruntime",
    "import torch": "torch",
    "import g2p_en": "g2p_en",
    "import g2pM": "g2pM",
    'find_spec("chars2vec")': "chars2vec",
    "import h5py": "h5py",
    "from mpi4py": "mpi4py",
}
COMMANDS = {
    f"{page.relative_to(ROOT)}: {line}": line
    for page in [*PAGES, *MORE_PAGES]
    for line in re.findall("^    (fastseq .*|python .*)$", page.read_text("utf-8"), re.MULTILINE)
}


def test_there_are_examples() -> None:
    pages = {name.rpartition("-")[0] for name in EXAMPLES}
    names = (
        "README",
        "clients",
        "dropin",
        "export",
        "frameworks",
        "scaling",
        "start",
        "transducer",
    )
    assert pages == {f"{name}.md" for name in names}
    assert len(COMMANDS) >= 5
    for text in SMALLER:
        assert sum(text in example for example in EXAMPLES.values()) == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    text = EXAMPLES[name]
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    for need, package in NEEDED.items():
        if need in text and importlib.util.find_spec(package) is None:
            pytest.skip(f"no package {package}")
    for file in STORED.iterdir():
        if f'"{file.name}"' in text:
            shutil.copy(file, tmp_path)
    script = tmp_path / "example.py"
    script.write_text(text, encoding="utf-8")
    # an example that does not name fastseq is a script of the textbook's readers
    how = [] if "fastseq" in text else ["-m", "fastseq", "run"]
    done = subprocess.run(
        [sys.executable, *how, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # a comment that ends in a list of answers says what is printed last
    for answers in re.findall(r"#.*?(\['.*'\])$", text, re.MULTILINE):
        assert answers in "\n".join(done.stdout.splitlines()[-5:])


@pytest.mark.slow
def test_the_textbook_s_example_of_the_readme_learns_to_add(tmp_path: Path) -> None:
    (example,) = (text for text in EXAMPLES.values() if "addition.generate(50_000" in text)
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) > 0.9


@pytest.mark.slow
def test_the_first_commands_end_in_right_answers(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "start.md").read_text("utf-8")
    section = page.partition("## Train on a TSV file")[2].partition("## The same from Python")[0]
    printed = ""
    for line in re.findall("^    (fastseq .*)$", section, re.MULTILINE):
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(line)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=ENVIRONMENT,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        printed += done.stdout
    promised = re.findall("^```text\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(promised) == 1
    assert promised[0] in printed
    accuracy = re.search(r"^accuracy +([\d.]+) %", printed, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) >= 99
    assert (tmp_path / "map.png").stat().st_size > 0


@pytest.mark.slow
def test_the_commands_of_the_export_end_in_a_right_answer(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    page = (ROOT / "docs" / "export.md").read_text("utf-8")
    lines = re.findall("^    (fastseq .*|python3 .*)$", page, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        program, *arguments = shlex.split(line)
        how = ["-m", "fastseq"] if program == "fastseq" else []
        done = subprocess.run(
            [sys.executable, *how, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=ENVIRONMENT,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert done.stdout == "1994-09-27\n"


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_valid(line: str) -> None:
    # a comment is set off by several spaces
    program, *arguments = shlex.split(re.split("  +", line)[0])
    if program == "python" and arguments[0] == "-m":
        assert arguments[1] == "pip" or importlib.util.find_spec(arguments[1]) is not None
    elif program == "python":
        assert (ROOT / arguments[0]).is_file()
    else:
        _parser().parse_args(arguments)


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: page.name)
def test_links_and_targets_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!\w+:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    # of `make test ARGS=tests/...`, as of any other command, the path must exist too
    in_arguments = re.findall(r"ARGS=(tests/[\w/.]+)", text)
    assert [path for path in in_arguments if not (ROOT / path).exists()] == []
    targets = re.findall(r"(?:^    |`)make ([a-z][a-z0-9-]+)", text, re.MULTILINE)
    known = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(targets) <= set(known)


@pytest.mark.skipif(not (ROOT / "fastseq").is_dir(), reason="only the installed package is here")
@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: page.name)
def test_named_sources_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:fastseq|csrc|python|tests|benchmarks|docs|\.ci)/[^`\s]*)`", text)
    found = {path: list(ROOT.glob(re.sub("<.*?>", "*", path).rstrip("/"))) for path in named}
    assert [path for path, files in found.items() if not files] == []


def test_the_table_of_served_names_is_the_one_in_the_code() -> None:
    page = (ROOT / "docs" / "dropin.md").read_text("utf-8")
    section = page.partition("## Every served name")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.*?)` \|(.*)\|(.*)\|$", section, re.MULTILINE)
    documented = {
        module: (re.findall("`(.*?)`", names), re.findall("`(.*?)`", others))
        for module, names, others in rows
    }
    served = {
        name: ([*" ".join(module.names.values()).split(), *module.modules], [*module.includes])
        for name, module in table.MODULES.items()
        if not name.startswith("ch0")
    }
    assert documented == served
