"""Where files that ship with bitc lie: in a checkout beside the package, in an installed wheel inside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def runtime_dir() -> Path:
    """The folder of the C kernels (``runtime/`` of a checkout, ``bitc/_runtime`` of a wheel). Raises ``FileNotFoundError``."""
    for candidate in (_PACKAGE / "_runtime", _PACKAGE.parent / "runtime"):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError("bitc is installed without its runtime/ folder; install it again")
