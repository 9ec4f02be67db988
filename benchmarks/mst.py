"""Binary layers along trees of their channels, adding or skipping, or by tables, against the kernels on words of channels: ``python -m
benchmarks.mst`` prints a table.

Networks of five equal 3x3 layers with zero padding and batch normalisation, whose channels differ from an earlier one's in a part d of
their weights; the time of a layer is a quarter of the difference between five layers and one. All libraries have turns in each round; the
median of the rounds' differences in processor time counts, as a machine may be slower in one minute than in the next.

With ``--together 32`` weights differ in words of so many input channels of a tap, each taken over whole or half of it other. With ``--own``
only that part of the channels has weights of its own, others have one of theirs: shared by ``equal-channels``, all
computed, and along trees. With ``--networks`` whole networks, or all in some folders, instead: without trees, and with those that the
cost model picks.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import bitc
from benchmarks.graphs import F32, Graph
from bitc.check import random_inputs
from bitc.codegen.targets import target as find_target
from bitc.compiler import Options, passes_for
from bitc.errors import BitcError
from bitc.passes.equal_channels import EqualChannels
from bitc.passes.pipeline import pipeline_text

SIZES = ((56, 64), (28, 128), (14, 256), (7, 512))
DISTANCES = (0.05, 0.1, 0.2)
LAYERS = 5
FORMS = {"trees": "on", "skipping": "skipping", "tables": "tables"}
"""Of products with pixels for lanes, and ``mst`` that makes all have them."""
SCALAR = ("-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-mno-popcnt")

Weights = Callable[[np.random.Generator, int], np.ndarray]
"""Makes signs [M, M, 3, 3] for M channels."""


def similar(d: float, together: int = 1) -> Weights:
    """Each channel has the signs of an earlier one but for a part ``d``, in words of ``together`` input channels of a tap."""

    def signs(rng: np.random.Generator, channels: int) -> np.ndarray:
        w = rng.choice(np.array([-1.0, 1.0]), (channels, channels, 3, 3))
        for c in range(1, channels):
            turned = rng.random(w.shape[1:]) < d
            if together > 1:
                free = rng.random((channels // together, 3, 3)) < 2 * d
                turned = np.repeat(free, together, axis=0) & (rng.random(w.shape[1:]) < 0.5)
            w[c] = w[rng.integers(c)] * np.where(turned, -1, 1)
        return w

    return signs


def equal(own: float) -> Weights:
    """A part ``own`` of the channels has random signs, the others have theirs again."""

    def signs(rng: np.random.Generator, channels: int) -> np.ndarray:
        w = rng.choice(np.array([-1.0, 1.0]), (channels, channels, 3, 3))
        return w[np.arange(channels) % round(own * channels)]

    return signs


def builds_of(target: str, own: bool, forms: Sequence[str] = tuple(FORMS)) -> dict[str, dict[str, str]]:
    """The options of the libraries that are compared, by what they do."""
    if not own:
        return {form: {"mst": FORMS[form]} for form in forms} | {"words": {"mst": "off"}}
    passes = (
        step for step in passes_for(find_target(target), Options(mst="off")) if not isinstance(step, EqualChannels)
    )
    return {"trees": {"mst": "on"}, "shared": {"mst": "off"}, "words": {"pipeline": pipeline_text(passes)}}


def network(size: int, channels: int, weights: Weights, layers: int) -> onnx.ModelProto:
    """Float image in; ``layers`` layers of bits, and a pool of the last bits to few numbers out."""
    g = Graph("trees", (1, channels, size, size))
    x = "x"
    for number in range(layers + 1):
        x = g.norm(x, channels, channels * 9) if number else x
        positive = g.node("GreaterOrEqual", x, np.asarray(0, F32))
        x = g.node("Where", positive, np.asarray(1, F32), np.asarray(-1, F32))
        if number < layers:
            x = g.conv(x, weights(g.rng, channels))
    return g.model(g.max_pool(x, size, size))


def timed(sessions: dict[str, bitc.Session], x: dict[str, np.ndarray], rounds: int) -> dict[str, list[float]]:
    """Microseconds of the calls of each; one has its turn after the other."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            started = time.thread_time()
            session.run(None, x)
            times[name].append((time.thread_time() - started) * 1e6)
    return times


def measure(
    size: int, channels: int, weights: Weights, builds: Mapping[str, dict[str, str]], rounds: int, **options: Any
) -> dict[str, float]:
    """Microseconds of a layer in each of the builds."""
    x = np.random.default_rng(1).standard_normal((1, channels, size, size)).astype(F32)
    with tempfile.TemporaryDirectory() as folder:
        sessions = {}
        for layers in (1, LAYERS):
            model = Path(folder) / f"{layers}.onnx"
            onnx.save(network(size, channels, weights, layers), model)
            for name, build in builds.items():
                out = Path(folder) / f"{name}{layers}"
                sessions[f"{name}{layers}"] = bitc.compile(model, out=out, **build, **options).session()
        for layers in (1, LAYERS):
            answers = {sessions[f"{name}{layers}"].run(None, {"x": x})[0].tobytes() for name in builds}
            assert len(answers) == 1, "the bits differ"
        times = {name: np.array(found) for name, found in timed(sessions, {"x": x}, rounds).items()}
    return {name: float(np.median(times[f"{name}{LAYERS}"] - times[f"{name}1"])) / (LAYERS - 1) for name in builds}


def whole_network(model: Path, target: str, rounds: int) -> dict[str, float]:
    """Microseconds of a call of ``model``, all layers on words of channels (``off``) and as the cost model has it (``auto``); nothing
    where these are the same library."""
    with tempfile.TemporaryDirectory() as folder:
        auto = bitc.compile(model, target=target, out=Path(folder) / "c", emit=("c",))
        if not any(form in layer["form"] for layer in auto.manifest["layers"] for form in FORMS):
            return {}
        sessions = {
            mst: bitc.compile(model, target=target, out=Path(folder) / mst, mst=mst).session()
            for mst in ("auto", "off")
        }
        x = random_inputs(model, 1, 1, Options())
        answers = ([y.tobytes() for y in session.run(None, x)] for session in sessions.values())
        assert len(set(map(tuple, answers))) == 1, "the bits differ"
        times = timed(sessions, x, rounds)
    return {
        f"{mst} {name}": float(f(found))
        for mst, found in times.items()
        for name, f in (("least", min), ("median", np.median))
    }


def networks_below(paths: Sequence[Path]) -> list[Path]:
    """The .onnx files that ``paths`` are, or that are in these folders."""
    return [file for path in paths for file in (sorted(path.rglob("*.onnx")) if path.is_dir() else [path])]


def compare_networks(paths: Sequence[Path], target: str, rounds: int) -> None:
    """A line for each network whose libraries differ, then how many do not."""
    same = refused = 0
    for path in networks_below(paths):
        try:
            found = whole_network(path, target, rounds)
        except BitcError:
            refused += 1
            continue
        same += not found
        if found:
            ratios = (found[f"off {name}"] / found[f"auto {name}"] for name in ("least", "median"))
            said = ", ".join(f"{name} {microseconds:.1f} us" for name, microseconds in found.items())
            print(
                f"{path.stem}: {said}; off/auto {' least, '.join(f'{ratio:.3f}' for ratio in ratios)} median",
                flush=True,
            )
    print(f"{same} networks are the same library either way, {refused} are not compiled")


def main() -> None:
    """Print the table of a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="native")
    parser.add_argument("--scalar", action="store_true", help="no vectors made by the C compiler, no popcount")
    parser.add_argument("--words", type=int, choices=(32, 64), default=64, help="bits of a portable plane's words")
    parser.add_argument("--distances", type=float, nargs="*", default=DISTANCES)
    parser.add_argument("--together", type=int, default=1, help="input channels of a tap that differ together or not")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument(
        "--layers", nargs="+", default=[f"{size}x{channels}" for size, channels in SIZES], help="pixels x channels"
    )
    parser.add_argument("--own", type=float, nargs="+", help="parts of the channels that have weights of their own")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--core", type=int)
    parser.add_argument(
        "--networks", type=Path, nargs="+", default=(), help="time these whole networks (files, folders) instead"
    )
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    if options.networks:
        compare_networks(options.networks, options.target, options.rounds)
        return
    flags = (SCALAR if options.scalar else ()) + (("-DBITC_LANES_32",) if options.words == 32 else ())
    builds = builds_of(options.target, bool(options.own), options.forms)
    names = list(builds)
    ratios = [f"words/{name}" for name in names[:-1]]
    print(f"{'layer':10} {'own' if options.own else 'd':>5} ", *(f"{f'{name} us':>10}" for name in names), *ratios)
    for size, channels in (map(int, layer.split("x")) for layer in options.layers):
        for part in options.own or options.distances:
            weights = equal(part) if options.own else similar(part, options.together)
            found = measure(size, channels, weights, builds, options.rounds, target=options.target, c_flags=flags)
            times = [f"{found[name]:10.1f}" for name in names]
            gains = [
                f"{found['words'] / found[name]:{len(title)}.2f}" for name, title in zip(names, ratios, strict=False)
            ]
            print(f"{size:4}x{channels:<5} {part:5} ", *times, *gains, flush=True)


if __name__ == "__main__":
    main()
