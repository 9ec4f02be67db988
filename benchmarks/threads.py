"""What several threads gain: each network compiled once, called in one thread and in several, call by call in turns.

    python -m benchmarks.threads [--target avx2] [--threads 2] [--rounds 200] [--models build/models] [NAME | FILE.onnx]...

Times are of calls from Python, in microseconds: the median and, as two cores of a shared machine are seldom both idle, the least. The
outputs are compared bit by bit before. There is no pinning: the threads need the cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import bitc
from benchmarks.networks import CASES, write
from bitc.profile import random_feed

NETWORKS = ("birealnet18", "quicknet", "vgg_small", "resnet18_int8", "mobilenetv2_int8", "bert_w1a1", "bert_ternary")


def times_us(model: Path, target: str, threads: int, rounds: int) -> np.ndarray:
    """[2, rounds]: of calls in one thread, and in ``threads``."""
    feed = random_feed(model, {}, {})
    with tempfile.TemporaryDirectory(prefix="bitc-threads-") as scratch:
        folder = Path(scratch) / "net"
        bitc.compile(model, target=target, out=folder, threads=threads)
        sessions = [bitc.load(folder, threads=count) for count in (1, threads)]
        one, several = (session.run(None, feed) for session in sessions)
        for a, b in zip(one, several, strict=True):
            if a.tobytes() != b.tobytes():
                raise SystemExit(f"{model.name}: {threads} threads give other bits")
        taken = np.empty((2, rounds))
        for index in range(rounds):
            for row in (0, 1) if index % 2 else (1, 0):
                begin = time.perf_counter()
                sessions[row].run(None, feed)
                taken[row, index] = time.perf_counter() - begin
    return taken * 1e6


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="native")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--models", type=Path, default=Path("build/models"))
    parser.add_argument("names", nargs="*", default=NETWORKS, metavar="NAME")
    arguments = parser.parse_args()
    print(f"{'':24}{'one':>10}{f'{arguments.threads} threads':>12}{'ratio':>8}{'of the least':>14}")
    for name in arguments.names:
        model = write(name, arguments.models) if name in CASES else Path(name)
        taken = times_us(model, arguments.target, arguments.threads, arguments.rounds)
        one, several = np.median(taken, axis=1)
        least = taken.min(axis=1)
        print(f"{model.stem:24}{one:10.0f}{several:12.0f}{one / several:8.2f}{least[0] / least[1]:14.2f}", flush=True)


if __name__ == "__main__":
    main()
