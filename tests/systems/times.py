"""How long one network of each system takes, beside onnxruntime in fp32 on the same graph, as lines of JSON.

    python -m tests.systems.times --shared ../shared > times.jsonl

It is the system's largest file below ``LARGEST_BYTES`` that onnxruntime runs; each is measured as ``bitc bench`` does.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bitc.bench import bench
from bitc.compiler import Options
from bitc.errors import BitcError
from tests.systems.systems import DIMS, SYSTEMS, System

LARGEST_BYTES = 700_000
PEER = "onnxruntime"


def representative(system: System, shared: Path) -> Path:
    """The file that is measured: no QONNX, no open sizes, and the largest of those up to the limit."""
    files = [path for path in system.files(shared) if "qonnx" not in path.stem and path.stem not in DIMS]
    small = [path for path in files if path.stat().st_size <= LARGEST_BYTES]
    return max(small, key=lambda path: (path.stat().st_size, path.name))


def main() -> int:
    """Measure each system and print its line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--target", default="avx2")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--systems", nargs="+", default=[system.name for system in SYSTEMS])
    given = parser.parse_args()
    for system in (system for system in SYSTEMS if system.name in given.systems):
        path = representative(system, given.shared)
        line: dict[str, object] = {"system": system.name, "file": path.stem}
        try:
            result = bench(path, target=given.target, options=Options(), against=(PEER,), rounds=given.rounds)
        except BitcError as error:
            line["error"] = error.diagnostics[0].title
        else:
            mine, other = result.rows
            line |= {
                "bitc_us": mine.times.median_us if mine.times else None,
                "peer_us": other.times.median_us if other.times else None,
                "ratio": other.ratio,
            }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
