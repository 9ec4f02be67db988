"""What this machine's CPU can do and what it is called, in the words of Linux's /proc/cpuinfo."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path


@cache
def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Feature flags of this CPU; none on other systems than Linux or other CPUs than 64-bit x86 and ARM."""
    line = {"x86_64": "flags", "amd64": "flags", "aarch64": "Features"}.get(platform.machine().lower())
    if line is None or not cpuinfo.is_file():
        return frozenset()
    text = cpuinfo.read_text(encoding="ascii", errors="replace")
    found = re.search(rf"^{line}\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


@cache
def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What this CPU calls itself, with family, model and stepping where Linux tells them."""
    found: dict[str, str] = {}
    if cpuinfo.is_file():
        first = cpuinfo.read_text(encoding="ascii", errors="replace").split("\n\n", 1)[0]
        found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    name = found.get("model name") or platform.processor() or platform.machine()
    numbers = [found[key] for key in ("cpu family", "model", "stepping") if key in found]
    return f"{name} ({'/'.join(numbers)})" if numbers else name
