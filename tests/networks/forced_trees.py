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
from pathlib import Path

import numpy as np

import bitc
from bitc.check import random_inputs
from bitc.codegen.targets import target as target_named
from bitc.compiler import Options, lower
from bitc.errors import BitcError
from bitc.passes.pipeline import Trace
from tests.machines.agreement import Agreement, agreement, prepare
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


def agreements(model: Path, target: str, form: str, samples: int, folder: Path) -> Iterator[Agreement]:
    """For each sample: ``model`` with ``form`` forced on against the dense kernels of ``target``, the oracle and the file's intervals."""
    options = {"dims": DIMS.get(model.stem, {}), "c_flags": FAST_BUILD}
    case = prepare(model, folder, feeds(model, samples), samples, target, **options, mst="off")
    session = bitc.compile(model, target=target, out=folder / form, mst=form, **options).session()  # type: ignore[arg-type]
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


def main() -> int:
    """The command line: a line for each network, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with .onnx files, at any depth")
    parser.add_argument("--targets", nargs="+", default=["portable", "avx2"])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--samples", type=int, default=2, help="random samples of each network")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    for model in sorted(path for folder in given.folders for path in folder.rglob("*.onnx")):
        try:
            products = products_of_bits(model)
        except BitcError as error:
            print(f"{model.stem}: refused: {error.diagnostics[0].title}", flush=True)
            counts["networks that are refused"] += 1
            continue
        if not products:
            counts["networks without products of bits"] += 1
            continue
        counts["networks with products of bits"] += 1
        counts["products of bits"] += products
        cells = []
        for target in given.targets:
            for form in given.forms:
                with tempfile.TemporaryDirectory(prefix="bitc-trees-") as folder:
                    found = verdict(list(agreements(model, target, form, given.samples, Path(folder))))
                cells.append(f"{target} {FORMS[form]} {found}")
                counts[found.split(":")[0]] += 1
        print(f"{model.stem}: {products} products; {', '.join(cells)}", flush=True)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    return int(counts["WRONG"] > 0 or not counts["networks with products of bits"])


if __name__ == "__main__":
    sys.exit(main())
