"""Products of two quantized activations in all their forms: what ``bitc/passes/gemm_costs.py`` says they cost, and what they take.

    python -m benchmarks.computed_products [--target avx2] [--repeats 5] [--core 0] [--only LEVELS ..] [--scaled]

Each line is one stack of products [rows, depth] x [depth, columns]: nanoseconds of all that differs between the forms (quantizers, moves,
packing, product) as floats, as integers and, of few levels, as bits, by the table and measured; then how many times as long as integers
the others take. The right sides lie as [depth, columns], so bits turn them. Each time is the least of several medians: other work on the
machine only adds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bitc.artifact import write_artifact
from bitc.codegen import generate
from bitc.codegen.targets import TARGETS, Target
from bitc.ir import BIPOLAR, Builder, Graph, Levels, Op, TensorType, Value, rewrite
from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.passes import to_codes, to_kernels
from bitc.passes.both_computed import MAX_LEVELS, Dots, Gemm, product_of_both
from bitc.passes.coding import Coding
from bitc.passes.gemm_costs import GemmWork, behind_ns, bits_gemm_ns, float_gemm_ns, integer_gemm_ns
from bitc.passes.gemm_storages import gemm_storages
from bitc.passes.pipeline import run_passes
from bitc.passes.pull_scales import PullScales
from bitc.passes.recognise import RecogniseCodes
from bitc.profile import time_layers

Sides = tuple[Levels, Levels]

LEVELS: dict[str, Sides] = {
    "signs": (BIPOLAR, BIPOLAR),
    "spikes by signs": (Levels(0, 1, 2), BIPOLAR),
    "2 by 2 bits": (Levels(0, 1, 4), Levels(-2, 1, 4)),
    "spikes by counts": (Levels(0, 1, 2), Levels(0, 1, 65)),
    "4 by 4 bits": (Levels(-8, 1, 16), Levels(-8, 1, 16)),
    "8 by 8 bits": (Levels(-127, 1, 255), Levels(-127, 1, 255)),
}
WORKS = (
    GemmWork(8, 4, 3, 3), GemmWork(32, 16, 4, 4), GemmWork(2, 64, 8, 8), GemmWork(2, 24, 32, 24), GemmWork(2, 36, 32, 36),
    GemmWork(2, 64, 64, 16), GemmWork(12, 128, 64, 128), GemmWork(12, 128, 128, 64), GemmWork(4, 196, 196, 64),
)  # fmt: skip
"""Those of published networks: heads of few spikes, a diffusion model's attention, BERT's."""


def network(work: GemmWork, levels: Sides, scaled: str = "") -> Graph:
    """Two quantizers, the product, a scale; ``scaled``: scales of both sides and a minimum of the left one come in, ``before`` the
    product or ``behind`` it."""
    b = Builder()
    shapes = (work.stack, work.rows, work.depth), (work.stack, work.depth, work.columns)
    inputs = [b.input(name, TensorType(shape)) for name, shape in zip("xy", shapes, strict=True)]
    sides = [_quantized(value, of_side, b) for value, of_side in zip(inputs, levels, strict=True)]
    numbers = [b.input(name, TensorType(())) for name in ("s", "t", "least")] if scaled else []
    if scaled == "before":
        sides = [b.add("nn.mul", side, number) for side, number in zip(sides, numbers[:2], strict=True)]
        sides[0] = b.add("nn.add", sides[0], numbers[2])
    made = b.add("nn.matmul", *sides)
    if scaled == "behind":
        of_least = b.add("nn.mul", b.add("nn.reduce_sum", sides[1], axes=(1,)), numbers[2])
        made = b.add("nn.mul", b.add("nn.add", b.add("nn.mul", made, numbers[0]), of_least), numbers[1])
    made = b.add("nn.mul", made, b.constant(np.asarray(0.37, np.float32)))
    return Graph("net", [*inputs, *numbers], b.ops, [made])


def _quantized(x: Value, levels: Levels, b: Builder) -> Value:
    low, high = (b.constant(np.asarray(end, np.float32)) for end in (levels.lo, levels.hi))
    if levels.count == 2:
        middle = b.constant(np.asarray((levels.lo + levels.hi) / 2, np.float32))
        return b.add("nn.where", b.add("nn.greater_equal", x, middle), high, low)
    return b.add("nn.min", b.add("nn.max", b.add("nn.round", x), low), high)


def _with_product(graph: Graph, found: Dots | Gemm) -> Graph:
    """``graph`` with its product as ``found``, whatever that costs."""

    def encode(x: Value, coding: Coding, b: Builder, loc: str) -> Value:
        return b.add("q.encode", x, levels=coding.levels, scale=coding.scale, loc=loc)

    def rule(op: Op, b: Builder) -> Value | None:
        return product_of_both(op, found, encode, b) if op.name == "nn.matmul" else None

    return rewrite(graph, rule)


def said(work: GemmWork, levels: Sides, isa: str, scaled: bool) -> dict[str, float]:
    """What the table says of each form, in nanoseconds."""
    besides = behind_ns(work, isa, work.stack * work.depth * work.columns, 3) if scaled else 0.0
    storage, _ = gemm_storages(*levels, INTEGER_FORMS[isa])
    costs = {
        "floats": float_gemm_ns(work, isa),
        "integers": integer_gemm_ns(work, isa, storage, (levels[0].count, levels[1].count)) + besides,
    }
    if max(side.count for side in levels) <= MAX_LEVELS:
        turned = work.stack * work.depth * work.columns
        costs["bits"] = bits_gemm_ns(work, isa, (levels[0].planes, levels[1].planes), turned) + besides
    return costs


def took(work: GemmWork, levels: Sides, form: str, target: Target, repeats: int, scaled: bool) -> float:
    """Nanoseconds of one call of the network, its product in this form."""
    where = "" if not scaled else "before" if form == "floats" else "behind"
    graph, (x, y) = network(work, levels, where), (Coding(side, 1.0) for side in levels)
    forms: dict[str, Dots | Gemm] = {"integers": Gemm(x, y, True), "bits": Dots(x, y, work.stack, True)}
    kernels = to_kernels(
        bit_block=target.bits.block,
        byte_rows=target.bits.byte_rows,
        float_block=target.float_block,
        integers=target.isa,
    )
    passes = tuple(step for step in to_codes(isa=target.isa) if not isinstance(step, RecogniseCodes | PullScales))
    lowered = run_passes(_with_product(graph, forms[form]) if form in forms else graph, (*passes, *kernels))
    made = generate(lowered, name="net", target=target, options={}, profile=True)
    rng = np.random.default_rng(1)
    feed = {value.name: rng.uniform(-20, 80, value.shape).astype(np.float32) for value in graph.inputs}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "net"
        artifact = write_artifact(out, "net", dict(made.files), emit=("c", "so"), target_cflags=target.cflags)
        return min(time_layers(artifact, feed, 0.1).total for _ in range(repeats)) * 1e9


def _text(found: Mapping[str, float]) -> str:
    ratios = ", ".join(f"{form} {ns / found['integers']:.2f}" for form, ns in found.items() if form != "integers")
    return f"{' / '.join(f'{ns:.0f}' for ns in found.values())} ({ratios})"


def main() -> None:
    """Parse the command line, print a line for each product."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="avx2", choices=sorted(TARGETS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=LEVELS, default=LEVELS, metavar="LEVELS")
    parser.add_argument("--scaled", action="store_true", help="by scales, and above a minimum, found at run time")
    given = parser.parse_args()
    os.sched_setaffinity(0, {given.core})
    target = TARGETS[given.target]
    for name in given.only:
        for work in WORKS:
            costs = said(work, LEVELS[name], target.isa, given.scaled)
            times = {form: took(work, LEVELS[name], form, target, given.repeats, given.scaled) for form in costs}
            size = f"{work.stack} x [{work.rows}, {work.depth}] x [{work.depth}, {work.columns}]"
            print(f"{name}, {size}: said {_text(costs)}; took {_text(times)}", flush=True)


if __name__ == "__main__":
    main()
