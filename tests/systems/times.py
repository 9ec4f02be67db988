"""How long one network of each system takes, beside onnxruntime on the same graph in fp32 and in int8, as lines of JSON.

    python -m tests.systems.times --shared ../shared > times.jsonl

It is the system's largest file below ``LARGEST_BYTES`` that onnxruntime runs; rounds are interleaved as ``bitc bench`` does, on golden
inputs. Of onnxruntime's two forms in int8 the faster one counts; how much its answers lose is not measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import bitc
from bitc.bench import interleaved, pinned, ratio_of
from bitc.errors import BitcError
from bitc.peers import Call, PeerRefusal, open_peer
from tests.systems.goldens import cases
from tests.systems.int8 import in_int8
from tests.systems.systems import DIMS, SYSTEMS, System

LARGEST_BYTES = 700_000
PEER = "onnxruntime"


def representative(system: System, shared: Path) -> Path:
    """The file that is measured: no QONNX, no open sizes, and the largest of those up to the limit."""
    files = [path for path in system.files(shared) if "qonnx" not in path.stem and path.stem not in DIMS]
    small = [path for path in files if path.stat().st_size <= LARGEST_BYTES]
    return max(small, key=lambda path: (path.stat().st_size, path.name))


def measured(model: Path, target: str, rounds: int) -> dict[str, object]:
    """The medians in microseconds and bitc's ratios; without what onnxruntime cannot run. Raises what compiling raises."""
    runs = cases(model)
    with tempfile.TemporaryDirectory(prefix="bitc-times-") as scratch:
        folder = Path(scratch)
        session = bitc.compile(model, target=target, out=folder / "net").session()
        feed = {node.name: runs[0].inputs[node.name] for node in session.get_inputs()}
        calls: dict[str, Call] = {"bitc": lambda: session.run(None, feed)}
        for name, path in {"fp32": model, **in_int8(model, runs, folder)}.items():
            try:
                calls[name] = open_peer(PEER, path, runs[0].inputs, 1)
            except PeerRefusal:
                continue
        with pinned():
            return as_line(interleaved(calls, rounds))


def as_line(turns: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, object]:
    """Turns of ``bitc`` and of peers as a line: of the peer's forms in int8, the one that is faster.

    >>> as_line({"bitc": [[2.0]], "fp32": [[8.0]], "static": [[4.0]], "dynamic": [[5.0]]})
    {'bitc_us': 2.0, 'fp32_us': 8.0, 'fp32_ratio': 0.25, 'int8_us': 4.0, 'int8_ratio': 0.5, 'int8': 'static'}
    """
    rounds = {name: [statistics.median(turn) for turn in of] for name, of in turns.items()}
    medians = {name: statistics.median(of) for name, of in rounds.items()}
    line: dict[str, object] = {"bitc_us": medians["bitc"]}
    if "fp32" in rounds:
        line |= {"fp32_us": medians["fp32"], "fp32_ratio": ratio_of(rounds["bitc"], rounds["fp32"])}
    forms = [name for name in ("dynamic", "static") if name in rounds]
    if forms:
        best = min(forms, key=medians.__getitem__)
        line |= {"int8_us": medians[best], "int8_ratio": ratio_of(rounds["bitc"], rounds[best]), "int8": best}
    return line


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
            line |= measured(path, given.target, given.rounds)
        except BitcError as error:
            line["error"] = error.diagnostics[0].title
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
