"""What this machine's CPU can do, in the words of Linux's /proc/cpuinfo."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path


@cache
def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Feature flags of this CPU; none on other systems than Linux or other CPUs than x86."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not cpuinfo.is_file():
        return frozenset()
    found = re.search(r"^flags\s*:\s*(.*)$", cpuinfo.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()
