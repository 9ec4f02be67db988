"""A spiking convolutional network at the firing rate of its data, beside onnxruntime in float32 on the same file.

    python -m benchmarks.spiking --images cifar10_test.npz [--weights signs normal] [--steps 4] [--rounds 30] [--core 1]

The network is ``models/spiking.py``'s; the input is one of the images it was made for. One thread each; rounds are interleaved, the
ratio is the median over rounds (``bitc bench``). Firing rates are means over images and steps, by layer.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import onnx

from bitc.bench import Result, bench
from models.spiking import images_of, spiking


def measure(images: Path, weights: str, steps: int, rounds: int, core: int | None, target: str) -> tuple[Result, str]:
    """bitc and onnxruntime on one network, and its firing rates as text."""
    made = spiking(images_of(images), steps, weights)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"spiking_{weights}.onnx"
        onnx.save(made.model, model)
        result = bench(model, target=target, against=("onnxruntime",), rounds=rounds, core=core)
    return result, " ".join(f"{100 * rate:.1f}" for rate in made.rates)


def main() -> None:
    """Print a line for each kind of weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="FILE.npz", help="uint8 images x [N, 32, 32, 3]")
    parser.add_argument("--weights", nargs="*", choices=("signs", "normal"), default=("signs", "normal"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--core", type=int)
    parser.add_argument("--target", default="native")
    options = parser.parse_args()
    print(f"{'weights':8} {'bitc us':>9} {'ort us':>9} {'ratio':>6}  firing rates, %")
    for weights in options.weights:
        result, rates = measure(options.images, weights, options.steps, options.rounds, options.core, options.target)
        ours, theirs = result.rows
        assert ours.times is not None
        assert theirs.times is not None
        assert theirs.ratio is not None
        print(
            f"{weights:8} {ours.times.median_us:9.0f} {theirs.times.median_us:9.0f} {1 / theirs.ratio:6.2f}  {rates}",
            flush=True,
        )


if __name__ == "__main__":
    main()
