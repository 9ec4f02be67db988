"""Products of two quantized activations as integers and as floats: what ``bitc/passes/gemm_costs.py`` says they cost, and what they take.

    python benchmarks/computed_products.py [--target avx2] [--repeats 5] [--core 0]

Each line is one stack of products [rows, depth] x [depth, columns]: nanoseconds of all that differs between the two forms (quantizers,
packing, product), by the table and measured, and float / integer, above 1 where integers are faster. Each time is the least of several
medians: other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from bitc.artifact import write_artifact
from bitc.codegen import generate
from bitc.codegen.targets import TARGETS, Target
from bitc.ir import Builder, DType, Graph, Levels, TensorType
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.passes import to_kernels
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.gemm_costs import GemmWork, float_gemm_ns, integer_gemm_ns
from bitc.passes.gemm_storages import gemm_storages
from bitc.passes.integer_chains import IntegerChains
from bitc.passes.integers import StoreIntegers
from bitc.passes.pipeline import run_passes
from bitc.profile import time_layers

LEVELS = {
    "spikes by counts": (Levels(0, 1, 2), Levels(0, 1, 65)),
    "4 by 4 bits": (Levels(-8, 1, 16), Levels(-8, 1, 16)),
    "8 by 8 bits": (Levels(-127, 1, 255), Levels(-127, 1, 255)),
}
WORKS = (
    GemmWork(8, 4, 3, 3), GemmWork(32, 16, 4, 4), GemmWork(2, 64, 8, 8), GemmWork(2, 24, 32, 24), GemmWork(2, 36, 32, 36),
    GemmWork(2, 64, 64, 16), GemmWork(12, 128, 64, 128), GemmWork(12, 128, 128, 64), GemmWork(4, 196, 196, 64),
)  # fmt: skip
"""Those of published networks: heads of few spikes, a diffusion model's attention, BERT's."""


def network(work: GemmWork, levels: tuple[Levels, Levels], integers: bool) -> Graph:
    """Two quantizers, the product, a scale."""
    b = Builder()
    shapes = (work.stack, work.rows, work.depth), (work.stack, work.depth, work.columns)
    inputs = [b.input(name, TensorType(shape)) for name, shape in zip("xy", shapes, strict=True)]
    sides = []
    for value, of_side in zip(inputs, levels, strict=True):
        low, high = (b.constant(np.asarray(end, np.float32)) for end in (of_side.lo, of_side.hi))
        sides.append(b.add("nn.min", b.add("nn.max", b.add("nn.round", value), low), high))
    if integers:
        codes = (b.add("q.encode", side, levels=of_side) for side, of_side in zip(sides, levels, strict=True))
        made = b.add("nn.cast", b.add("q.gemm", *codes), to=DType.F32)
    else:
        made = b.add("nn.matmul", *sides)
    return Graph("net", inputs, b.ops, [b.add("nn.mul", made, b.constant(np.asarray(0.37, np.float32)))])


def nanoseconds(graph: Graph, target: Target, repeats: int) -> float:
    """Of one call of the compiled graph."""
    kernels = to_kernels(
        bit_block=target.bits.block,
        byte_rows=target.bits.byte_rows,
        float_block=target.float_block,
        integers=target.isa,
    )
    lowered = run_passes(graph, (StoreIntegers(target.isa), IntegerChains(), Canonicalise(), *kernels))
    made = generate(lowered, name="net", target=target, options={}, profile=True)
    rng = np.random.default_rng(1)
    feed = {value.name: rng.uniform(-20, 80, value.shape).astype(np.float32) for value in graph.inputs}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "net"
        artifact = write_artifact(out, "net", dict(made.files), emit=("c", "so"), target_cflags=target.cflags)
        return min(time_layers(artifact, feed, 0.1).total for _ in range(repeats)) * 1e9


def main() -> None:
    """Parse the command line, print a line for each product."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="avx2", choices=sorted(TARGETS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    given = parser.parse_args()
    os.sched_setaffinity(0, {given.core})
    target = TARGETS[given.target]
    for name, levels in LEVELS.items():
        storage, _ = gemm_storages(*levels, INTEGER_FORMS[target.isa])
        counts = (levels[0].count, levels[1].count)
        for work in WORKS:
            said = float_gemm_ns(work, target.isa), integer_gemm_ns(work, target.isa, storage, counts)
            took = [nanoseconds(network(work, levels, integers), target, given.repeats) for integers in (False, True)]
            size = f"{work.stack} x [{work.rows}, {work.depth}] x [{work.depth}, {work.columns}]"
            shares = f"said {said[0]:.0f} / {said[1]:.0f} = {said[0] / said[1]:.2f}"
            print(f"{name}, {size}: {shares}; took {took[0]:.0f} / {took[1]:.0f} = {took[0] / took[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
