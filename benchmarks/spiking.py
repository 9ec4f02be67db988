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
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import bitc
from benchmarks.turns import Call, head, line, timed
from models.spiking import SAMPLES, images_of, spiking


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
    print(f"{'weights':8} {head(('bitc', 'dense', 'ort'))}  firing rates, %")
    for weights in options.weights:
        with tempfile.TemporaryDirectory() as folder:
            calls, rates = opened(options.images, weights, options.steps, options.target, Path(folder))
            times = timed(calls, options.rounds)
        shown = " ".join(f"{100 * rate:.1f}" for rate in rates)
        print(f"{weights:8} {line(times)}  {shown}", flush=True)


if __name__ == "__main__":
    main()
