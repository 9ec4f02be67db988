"""A spiking convolutional network at the firing rate of its data, beside onnxruntime in float32 on the same file.

    python -m benchmarks.spiking --images cifar10_test.npz [--steps 4] [--rounds 60] [--core 1] [--target native]

The network is ``models/spiking.py``'s, with weights ±a (``signs``) or floats (``normal``); it is made for sixteen of the images, its firing
rates are measured on these (``calibrate``), and it runs on another one. One thread each. In each round every runtime has one turn: a
call that is not counted, then one that is. The times are medians and the fewest microseconds, the ratio is the median over rounds.
Firing rates are means over images and steps, by layer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import bitc
from models.spiking import SAMPLES, images_of, spiking

Call = Callable[[], object]


def opened(images: Path, weights: str, steps: int, target: str, folder: Path) -> tuple[dict[str, Call], list[float]]:
    """Calls by runtime, for one image that the network was not made for, and its firing rates. Outputs are compared."""
    seen, samples, model = images_of(images, SAMPLES + 1), folder / "samples.npz", folder / "spiking.onnx"
    made = spiking(seen[:SAMPLES], steps, weights)
    onnx.save(made.model, model)
    np.savez(samples, x=seen[:SAMPLES])
    feed = {"x": seen[SAMPLES:]}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        "bitc": bitc.compile(model, target=target, out=folder / "rates", calibrate=samples).session(),
        "dense": bitc.compile(model, target=target, out=folder / "dense").session(),
        "ort": onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]),
    }
    answers = [session.run(None, feed)[0] for session in sessions.values()]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-3, atol=1e-3)
    return {name: lambda session=session: session.run(None, feed) for name, session in sessions.items()}, made.rates


def timed(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call in each round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            started = time.perf_counter()
            call()
            found[name].append((time.perf_counter() - started) * 1e6)
    return found


def main() -> None:
    """Print a line for each kind of weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="FILE.npz", help="uint8 images x [N, 32, 32, 3]")
    parser.add_argument("--weights", nargs="*", choices=("signs", "normal"), default=("signs", "normal"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--core", type=int)
    parser.add_argument("--target", default="native")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    columns = " ".join(f"{title:>9}" for title in ("bitc us", "least", "dense us", "least", "ort us", "least"))
    print(f"{'weights':8} {columns}  ort/bitc  dense/bitc  firing rates, %")
    for weights in options.weights:
        with tempfile.TemporaryDirectory() as folder:
            calls, rates = opened(options.images, weights, options.steps, options.target, Path(folder))
            times = timed(calls, options.rounds)
        numbers = " ".join(f"{statistics.median(found):9.0f} {min(found):9.0f}" for found in times.values())
        ratios = [
            statistics.median(b / a for a, b in zip(times["bitc"], times[name], strict=True))
            for name in ("ort", "dense")
        ]
        shown = " ".join(f"{100 * rate:.1f}" for rate in rates)
        print(f"{weights:8} {numbers}  {ratios[0]:8.2f}  {ratios[1]:10.2f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
