"""Networks of other libraries as layers of fastseq, and fastseq's models as graphs of ONNX.

Nothing in a file is run, and no file is trusted. The names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastseq.interop.dense import Dense
    from fastseq.interop.export.folder import to_onnx
    from fastseq.interop.keras import from_keras
    from fastseq.interop.onnx import from_onnx
    from fastseq.interop.tensor_files import load_pt, load_safetensors
    from fastseq.interop.torch import from_torch, to_torch

_MODULES = {
    "Dense": "dense",
    "from_keras": "keras",
    "from_onnx": "onnx",
    "from_torch": "torch",
    "load_pt": "tensor_files",
    "load_safetensors": "tensor_files",
    "to_onnx": "export.folder",
    "to_torch": "torch",
}

__all__ = [
    "Dense",
    "from_keras",
    "from_onnx",
    "from_torch",
    "load_pt",
    "load_safetensors",
    "to_onnx",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"fastseq.interop.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
