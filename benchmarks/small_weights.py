"""Networks with binary weights stored as differences between channels, against the ordinary build: ``python -m benchmarks.small_weights
--networks FILES`` prints a line for each.

*binary weights* are the constants of the products of bits that have any, as the library holds them: words, and the streams (with what
stays words). *constants* and *arena* are of the whole library, *code* its machine code. Both libraries have turns in each round; the
least processor times of a call count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import bitc
from benchmarks.mst import networks_below, timed
from bitc.artifact import Artifact
from bitc.check import random_inputs
from bitc.codegen.targets import target as find_target
from bitc.compiler import Options, imported_model, passes_for
from bitc.ir import Graph, Op
from bitc.passes.fuse_rows import FuseRows
from bitc.passes.pipeline import run_passes
from bitc.passes.store_deltas import MOST_BYTES
from bitc.toolchain import section_sizes

PRODUCTS = ("k.bconv_acc", "k.bconv_bits")


@dataclass(frozen=True, slots=True)
class Build:
    """A library: bytes of binary weights, of all constants, of the arena, of machine code; microseconds of a call."""

    weights: int
    constants: int
    arena: int
    code: int
    microseconds: float


def weight_bytes(graph: Graph) -> int:
    """Bytes of the constants that products of bits multiply by, decoded or not."""
    return sum(_stored(op.operands[1].producer) for op in graph.ops if op.name in PRODUCTS)


def _stored(maker: Op | None) -> int:
    assert maker is not None
    constant = maker.result.constant if maker.name == "nn.constant" else maker.operands[0].constant
    assert constant is not None
    return int(constant.nbytes)


def measure(model: Path, target: str, rounds: int, flags: tuple[str, ...]) -> tuple[Build, Build]:
    """The ordinary build without trees, and the one with small weights."""
    x = random_inputs(model, 1, 1, Options())
    chosen = {"plain": Options(mst="off"), "small": Options(small_weights=MOST_BYTES)}
    with tempfile.TemporaryDirectory() as folder:
        made: dict[str, Artifact] = {
            name: bitc.compile(model, target=target, out=Path(folder) / name, c_flags=flags, **options.as_arguments())
            for name, options in chosen.items()
        }
        sessions = {name: artifact.session() for name, artifact in made.items()}
        answers = {tuple(y.tobytes() for y in session.run(None, x)) for session in sessions.values()}
        assert len(answers) == 1, "the bits differ"
        times = timed(sessions, x, rounds)
        sizes = {name: section_sizes(artifact.library) for name, artifact in made.items()}
    found = []
    for name, options in chosen.items():
        passes = (step for step in passes_for(find_target(target), options) if not isinstance(step, FuseRows))
        graph, size = run_passes(imported_model(model, options), tuple(passes)), sizes[name]
        manifest = made[name].manifest
        code = size.text_bytes if size is not None else 0
        found.append(
            Build(weight_bytes(graph), manifest["weight_bytes"], manifest["arena_bytes"], code, min(times[name]))
        )
    return found[0], found[1]


def main() -> None:
    """Print the table of a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, nargs="+", required=True, help="files, or folders of them")
    parser.add_argument("--target", default="portable")
    parser.add_argument("--flags", nargs="*", default=(), help="for the C compiler")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    print(
        "| network | binary weights | stored | constants | arena | code | µs | ratio |\n|---|---|---|---|---|---|---|---|"
    )
    for path in networks_below(options.networks):
        plain, small = measure(path, options.target, options.rounds, tuple(f"-{flag}" for flag in options.flags))
        pairs = [f"{getattr(plain, key):,} → {getattr(small, key):,}" for key in ("constants", "arena", "code")]
        times = f"{plain.microseconds:.1f} → {small.microseconds:.1f}"
        stored = f"{small.weights:,} ({100 * small.weights / max(plain.weights, 1):.1f} %)"
        cells = [
            path.stem,
            f"{plain.weights:,}",
            stored,
            *pairs,
            times,
            f"{small.microseconds / plain.microseconds:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
