"""bitc: an ahead-of-time compiler from quantized and binarized ONNX networks to self-contained C99.

>>> import bitc
>>> artifact = bitc.compile("model.onnx", out="model_c")   # doctest: +SKIP
>>> session = bitc.load("model_c")                         # doctest: +SKIP
>>> (y,) = session.run(None, {"x": x})                     # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bitc.errors import BitcError, CheckFailed, Diagnostic, ModelError, OptionError, ToolchainError, UnsupportedError
from bitc.version import __version__

if TYPE_CHECKING:
    from bitc.artifact import Artifact
    from bitc.compiler import compile
    from bitc.session import Session, load

__all__ = [
    "Artifact",
    "BitcError",
    "CheckFailed",
    "Diagnostic",
    "ModelError",
    "OptionError",
    "Session",
    "ToolchainError",
    "UnsupportedError",
    "__version__",
    "compile",
    "load",
]

# Imported on first use: loading a built network must not pay for onnx, and `bitc --help` for nothing.
_HOMES = {"Artifact": "bitc.artifact", "Session": "bitc.session", "load": "bitc.session", "compile": "bitc.compiler"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitc' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
