"""One step of a built decoder whose weights come from memory, in turn with a loop that only reads as many bytes.

    python -m models.bitnet -o bitnet.onnx --size 700m --past 64
    bitc compile bitnet.onnx --target avx2 -o bitnet_c
    python -m benchmarks.decoder bitnet_c [--huge-pages] [--rounds 60] [--core 1]

A step has to read the constants and its inputs, which hold the keys and values of the tokens before. The loop reads as many bytes, of the
library's own file, or of huge pages where the session's constants lie on such.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import bitc
from bitc.codegen.targets import target
from bitc.roofline import loops
from bitc.session import NodeArg


def side_by_side(args: Sequence[NodeArg]) -> dict[str, np.ndarray]:
    """Random float32 inputs in one array, for which NumPy asks for huge pages."""
    ends = np.cumsum([math.prod(arg.shape) for arg in args])
    values = np.random.default_rng(0).standard_normal(ends[-1], np.float32)
    parts = np.split(values, ends[:-1])
    return {arg.name: part.reshape(arg.shape) for arg, part in zip(args, parts, strict=True)}


def reading(session: bitc.Session, size: int) -> Callable[[], object]:
    """A call that reads ``size`` bytes, from pages of the kind that ``session``'s constants lie on."""
    ffi, lib = loops(target(session.isa))
    if session.huge_page_bytes:
        pieces = [np.ones(size, np.uint8)]  # NumPy asks for huge pages
    else:
        file = np.memmap(session.path, np.uint8, "r")
        pieces = [file[: size - begin] for begin in range(0, size, file.size)]
    words = [ffi.from_buffer("uint64_t[]", piece) for piece in pieces]
    return lambda: [lib.bitc_read(start, len(start), 1) for start in words]


def main() -> None:
    """Print the two times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what bitc compiled")
    parser.add_argument("--huge-pages", action="store_true")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    session = bitc.load(options.folder, threads=1, huge_pages=options.huge_pages)
    feed = side_by_side(session.get_inputs())
    weights, inputs = session.metadata["weight_bytes"], sum(x.nbytes for x in feed.values())
    calls = {"step": lambda: session.run(None, feed), "read": reading(session, weights + inputs)}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - started) * 1e3)
    print(f"{weights / 1e6:.1f} MB of constants, {inputs / 1e6:.1f} MB of inputs")
    for name, took in times.items():
        print(f"{name}  least {min(took):6.2f} ms  median {statistics.median(took):6.2f} ms")
    least, median = (pick(times["read"]) / pick(times["step"]) for pick in (min, statistics.median))
    print(f"share of the bandwidth: {least:.0%} of the least times, {median:.0%} of the medians")
    print(f"tokens a second: {1e3 / min(times['step']):.1f}, {1e3 / statistics.median(times['step']):.1f}")


if __name__ == "__main__":
    main()
