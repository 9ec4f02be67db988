"""The demo: compile a binarized network for this CPU, run it on real test images, compare it with onnxruntime.

Run it with ``make demo``, or ``python examples/demo.py`` where bitc is installed. It leaves the generated C in ``demo_out/``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import bitc
from bitc.oracle import oracle_for
from bitc.toolchain import section_sizes

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "digits_cnn_w1a1_residual.onnx"
IMAGES = ROOT / "models" / "digits_test.npz"
LATENCY_RUNS = 500


def median_us(call: Callable[[], object]) -> float:
    """Median wall time of ``call`` in microseconds, after a warm-up."""
    for _ in range(LATENCY_RUNS // 10):
        call()
    times = []
    for _ in range(LATENCY_RUNS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1e6 * statistics.median(times)


def one_thread_onnxruntime(model: Path) -> onnxruntime.InferenceSession:
    """onnxruntime as fast as it goes on one thread: all graph optimisation on."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Compile, run, compare, print."""
    started = time.perf_counter()
    artifact = bitc.compile(MODEL, out=ROOT / "demo_out" / MODEL.stem)
    compile_s = time.perf_counter() - started
    with np.load(IMAGES) as data:
        images, classes = data["x"], data["y"]

    session = artifact.session()
    (name,) = (given.name for given in session.get_inputs())
    (got,) = session.run(None, {name: images})
    (expected,) = oracle_for(MODEL).run({name: images}).values()

    reference = one_thread_onnxruntime(MODEL)
    one = {name: images[:1]}
    ours_us, theirs_us = median_us(lambda: session.run(None, one)), median_us(lambda: reference.run(None, one))

    manifest, sizes, count = artifact.manifest, section_sizes(artifact.library), len(images)
    correct, reference_correct = (int((logits.argmax(1) == classes).sum()) for logits in (got, expected))
    same = int((got.argmax(1) == expected.argmax(1)).sum())
    ours, theirs = f"{correct}/{count}", f"{reference_correct}/{count}"
    code = f"{sizes.text_bytes:,}" if sizes else "unknown number of"
    print(f"""
{MODEL.relative_to(ROOT)}, compiled for {manifest["target"]} in {compile_s:.1f} s

                         bitc       onnxruntime
  correct                {ours:<10} {theirs}
  latency, batch 1       {f"{ours_us:.1f} us":<10} {theirs_us:.1f} us     (median of {LATENCY_RUNS}, one thread, from Python)

  same class as onnxruntime on {same} of {count} test images; largest difference of a logit {np.abs(got - expected).max():.1e}
  arena {manifest["arena_bytes"]:,} bytes, weights {manifest["weight_bytes"]:,} bytes, machine code {code} bytes

  The C lies in {os.path.relpath(artifact.source)}; its README.md shows how to call it.
  Each layer, and why it has its form:  bitc inspect {os.path.relpath(artifact.directory)}""")


if __name__ == "__main__":
    try:
        main()
    except bitc.BitcError as error:
        sys.exit(str(error))
