"""What was measured on a machine and is kept: one JSON file each in the user's cache folder, replaced whole, verified by hash when read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from bitc.folders import write_whole


def cache_path(name: str) -> Path:
    """``bitc/NAME`` in $XDG_CACHE_HOME, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitc" / name


def read_entries(path: Path, kind: str, version: int) -> dict[str, Any]:
    """The entries of ``path``. Raises ``OSError``, or ``ValueError`` for a file of another kind or version, cut, edited or damaged."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict) or kept.get("format") != version or not isinstance(kept.get(kind), dict):
        raise ValueError(f"it does not hold {kind} of format {version}")
    if kept.get("sha256") != hash_of(kept[kind]):
        raise ValueError("its hash is not that of its entries")
    found: dict[str, Any] = kept[kind]
    return found


def write_entries(path: Path, kind: str, version: int, entries: Mapping[str, Any]) -> None:
    """Keep ``entries`` in ``path``. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = json.loads(json.dumps(entries))  # as they are read back
    text = json.dumps({"format": version, "sha256": hash_of(plain), kind: plain}, indent=1)
    write_whole(path, text.encode())


def hash_of(entries: Any) -> str:
    """SHA-256 of what JSON says of them."""
    return sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
