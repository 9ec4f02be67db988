"""Batch-1 latency of a compiled network beside onnxruntime's on the same file: one core, one thread each, rounds interleaved.

    python benchmarks/against_onnxruntime.py MODEL... [--target native] [--values "x={-1,1}"] [--rounds 30] [--json]

A round times enough calls of one runtime to last about 20 ms, then the same of the other; the table gives medians over rounds, in
microseconds a call, the Python call of both sessions included. onnxruntime runs with all its optimisations; the column ``bits``
compares outputs with onnxruntime without them. Compare ratios: machines differ and are shared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

import bitc
from bitc.oracle import load_model, model_inputs, oracle_for, random_cases
from bitc.promises import parse_values

ROUND_SECONDS = 0.02


def calls_per_round(call: Callable[[], object]) -> int:
    """How many calls last about :data:`ROUND_SECONDS`."""
    call()
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < ROUND_SECONDS:
        call()
        count += 1
    return max(1, count)


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median microseconds a call for each runtime."""
    counts = {name: calls_per_round(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            for _ in range(counts[name]):
                call()
            times[name].append((time.perf_counter() - started) / counts[name] * 1e6)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def measure(model: Path, target: str, values: dict[str, Sequence[float]], rounds: int) -> dict[str, object]:
    """One row of the table."""
    inputs = model_inputs(load_model(model))
    (feed,) = random_cases(inputs, 1, 0, {}, values)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    peer = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        artifact = bitc.compile(model, target=target, out=Path(folder) / "net", values=values)
        compile_seconds = time.perf_counter() - started
        session = bitc.load(artifact.directory)
        medians = interleaved(
            {"bitc": lambda: session.run(None, feed), "onnxruntime": lambda: peer.run(None, feed)},
            rounds,
        )
        oracle = oracle_for(model)
        truth = oracle.run(feed)
        same = all(
            np.array_equal(truth[n], y) for n, y in zip(oracle.output_names, session.run(None, feed), strict=True)
        )
    return {
        "model": model.stem,
        "target": artifact.manifest["target"],
        "bitc_us": round(medians["bitc"], 2),
        "onnxruntime_us": round(medians["onnxruntime"], 2),
        "ratio": round(medians["onnxruntime"] / medians["bitc"], 2),
        "bit_equal": same,
        "compile_s": round(compile_seconds, 1),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--target", default="native")
    parser.add_argument("--values", action="append", default=[], help="promise about an input, such as x={-1,1}")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    values = {name: parse_values(text) for name, _, text in (item.partition("=") for item in arguments.values)}
    rows = [measure(model, arguments.target, values, arguments.rounds) for model in arguments.models]
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
        return
    print(
        f"{platform.processor() or platform.machine()}, core {arguments.core}, one thread, batch 1, median of {arguments.rounds} rounds"
    )
    print(f"{'model':<28}{'target':<10}{'bitc us':>10}{'ort us':>10}{'ratio':>8}  bits  compile s")
    for row in rows:
        equal = "equal" if row["bit_equal"] else "differ"
        print(
            f"{row['model']:<28}{row['target']:<10}{row['bitc_us']:>10}{row['onnxruntime_us']:>10}{row['ratio']:>7}x  {equal}"
            f" {row['compile_s']:>8}"
        )


if __name__ == "__main__":
    main()
