"""Which k ops the fuzzer reaches: for each a network that has it, in ``reached.json``.

``PYTHONPATH=.:tests python tests/fuzz/reached.py FILES`` searches at most that many files and writes the table anew. Run it when the
grammar changes, for then a seed gives other networks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bitc.codegen.targets import target
from bitc.compiler import Options, lower
from bitc.errors import ModelError, UnsupportedError
from bitc.fuzz import Network, file_of, networks_of_file
from bitc.fuzz.network import options_of
from bitc.ir import Graph
from bitc.ir.ops import all_ops
from bitc.passes.pipeline import Trace

TABLE = Path(__file__).with_name("reached.json")
TARGETS = ("avx2", "portable", "avx512")
SEED = 7
REACHABLE = {name for name in all_ops() if name.startswith("k.")} - {"k.levels", "k.relayout"}
"""All but the two that later passes replace."""


def kernels(network: Network, target_name: str) -> set[str]:
    """The k ops of one network compiled alone, those that run in bands of rows included; none where it is refused."""
    model = file_of([network])
    try:
        graph = lower(model, target(target_name), Options(**options_of(model)), Trace())  # type: ignore[arg-type]
    except (ModelError, UnsupportedError):
        return set()
    return set(_kernels_of(graph))


def _kernels_of(graph: Graph) -> Iterator[str]:
    for op in graph.ops:
        if op.name.startswith("k."):
            yield op.name
        if op.name == "k.rows":
            yield from _kernels_of(op.attrs["body"])


def main(files: str) -> None:
    """Write the table and say what is missing."""
    found: dict[str, list[str | int]] = {}
    for index in range(int(files)):
        for number, network in enumerate(networks_of_file(SEED, index)):
            for name in TARGETS:
                for kernel in kernels(network, name):
                    found.setdefault(kernel, [name, index, number])
        print(index, sorted(REACHABLE - set(found)), flush=True)
        if set(found) >= REACHABLE:
            break
    lines = (f"  {json.dumps(kernel)}: {json.dumps(place)}" for kernel, place in sorted(found.items()))
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
