"""Every network with trees of channels, with skipping along them, and with tables, forced on wherever a product can have them: the bits of
the dense kernels, and what the file promises.

    python -m tests.networks.forced_trees models ../shared/models
    python -m tests.networks.forced_trees ../shared/models/qonnx_zoo --targets portable --samples 8

Inputs are the golden ones beside a network, else random. Exit code 1 if an output is not that of the dense kernels of the same target,
bit for bit, or not onnxruntime's where it is exact, or outside what the file can give (:mod:`tests.machines.agreement`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import bitc
from bitc.check import random_inputs
from bitc.codegen.targets import target as target_named
from bitc.compiler import Options, lower
from bitc.errors import BitcError
from bitc.passes.pipeline import Trace
from tests.machines.agreement import Agreement, Case, agreement, prepare
from tests.systems.goldens import cases
from tests.systems.systems import DIMS

FORMS = {"on": "trees", "skipping": "skipping", "tables": "tables"}
FAST_BUILD = ("-O1",)
"""For the C compiler: what the C means does not change with it."""


def products_of_bits(model: Path) -> int:
    """How many products of bits ``model`` has that can run along trees."""
    options = Options(dims=DIMS.get(model.stem, {}), mst="on")
    graph = lower(model, target_named("portable"), options, Trace())
    return sum(op.name in ("k.sliced_acc", "k.sliced_bits", "k.sliced_lanes") for op in graph.ops)


def feeds(model: Path, samples: int) -> Mapping[str, np.ndarray]:
    """The golden inputs of exported systems, or random ones."""
    if model.with_name(f"{model.stem}_golden.npz").is_file() and model.parent.name in ("systems", "spiking"):
        return cases(model)[0].inputs
    return random_inputs(model, samples, 0, Options(dims=DIMS.get(model.stem, {})))


def dense(model: Path, target: str, samples: int, folder: Path) -> Case:
    """``model`` by the dense kernels of ``target``, and what is expected of it."""
    return prepare(model, folder, feeds(model, samples), samples, target, **_options(model), mst="off")


def _options(model: Path) -> dict[str, Any]:
    return {"dims": DIMS.get(model.stem, {}), "c_flags": FAST_BUILD}


def agreements(case: Case, target: str, form: str) -> Iterator[Agreement]:
    """For each sample: the network with ``form`` forced on against ``case``, the dense kernels of ``target``, the oracle and the file's
    intervals."""
    options = _options(case.model)
    session = bitc.compile(case.model, target=target, out=case.folder / form, mst=form, **options).session()
    names = [node.name for node in session.get_inputs()]
    for item, inputs in enumerate(case.inputs):
        yield agreement(case, item, session.run(None, dict(zip(names, inputs, strict=True))), labels=False)


def verdict(found: Sequence[Agreement]) -> str:
    """ "equal", or what is wrong."""
    complaints = [complaint for one in found for complaint in one.complaints]
    differing = sum(one.unlike_portable for one in found)
    if differing:
        complaints.append(f"{differing} elements are not those of the dense kernels")
    return "WRONG: " + "; ".join(dict.fromkeys(complaints)) if complaints else "equal"


def examine(model: Path, targets: Sequence[str], forms: Sequence[str], samples: int) -> tuple[str, Counter[str]]:
    """A line about ``model``, "" where it has no product of bits, and what it counts for."""
    try:
        products = products_of_bits(model)
    except BitcError as error:
        return f"{model.stem}: refused: {error.diagnostics[0].title}", Counter({"networks that are refused": 1})
    if not products:
        return "", Counter({"networks without products of bits": 1})
    counts = Counter({"networks with products of bits": 1, "products of bits": products})
    cells = []
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="bitc-trees-") as folder:
            case = dense(model, target, samples, Path(folder))
            for form in forms:
                found = verdict(list(agreements(case, target, form)))
                cells.append(f"{target} {FORMS[form]} {found}")
                counts[found.split(":")[0]] += 1
    return f"{model.stem}: {products} products; {', '.join(cells)}", counts


def main() -> int:
    """The command line: a line for each network, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with .onnx files, at any depth")
    parser.add_argument("--targets", nargs="+", default=["portable", "avx2"])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--samples", type=int, default=2, help="random samples of each network")
    parser.add_argument("--jobs", type=int, default=1, help="networks at a time")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    models = sorted(path for folder in given.folders for path in folder.rglob("*.onnx"))
    one = partial(examine, targets=given.targets, forms=given.forms, samples=given.samples)
    with ProcessPoolExecutor(given.jobs) as pool:
        for line, found in pool.map(one, models):
            counts += found
            if line:
                print(line, flush=True)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    return int(counts["WRONG"] > 0 or not counts["networks with products of bits"])


if __name__ == "__main__":
    sys.exit(main())
