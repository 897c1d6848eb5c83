"""Models that are served, trained once; without the extra, the tests of this folder are skipped."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastseq import Ensemble, Transducer
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

HAVE_EXTRA = all(map(importlib.util.find_spec, ("starlette", "uvicorn")))
if not HAVE_EXTRA:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def transducer() -> Transducer:
    return tiny_transducer(epochs=30).fit(*tiny_pairs())


@pytest.fixture(scope="session")
def ensemble() -> Ensemble:
    return Ensemble(tiny_transducer(seed=seed, epochs=20).fit(*tiny_pairs()) for seed in (4, 5))


@pytest.fixture(scope="session")
def with_features() -> Transducer:
    words, capitals = tiny_pairs()
    sources = [(word, "N;PL") for word in words]
    settings = {"columns": "features,source,target", "attention": "none", "epochs": 20}
    return tiny_transducer(**settings).fit(sources, capitals)


@pytest.fixture(scope="session")
def client(
    transducer: Transducer, ensemble: Ensemble, with_features: Transducer
) -> Iterator[object]:
    """A server of all three, with the usual limits."""
    from fastseq.serve.model import Model
    from support.serve.client import serving

    models = {"tiny": transducer, "both": ensemble, "features": with_features}
    with serving([Model(name, model) for name, model in models.items()]) as client:
        yield client


@pytest.fixture(scope="session")
def model_file(transducer: Transducer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    transducer.save(path)
    return path
