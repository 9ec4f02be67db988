"""``python -m bitc.fuzz``: fuzz for a time or a number of networks, and keep what fails as small ONNX files."""

from __future__ import annotations

import argparse
import time
from hashlib import sha256
from pathlib import Path

from bitc.arrays import arrays_as_bytes
from bitc.codegen.targets import TARGETS, supported_here
from bitc.folders import write_output
from bitc.fuzz.examine import Failure, examine
from bitc.fuzz.hunt import PER_FILE, Tally, hunt, networks_of_file
from bitc.fuzz.network import Network, file_of
from bitc.fuzz.shrink import Case, shrink


def main() -> int:
    """0 where nothing failed, 1 where something did."""
    options = _options()
    targets = options.targets.split(",")
    tally, started, index, failed = Tally(), time.monotonic(), options.first, False
    while tally.networks < options.networks and time.monotonic() - started < options.seconds:
        for network, failure in hunt(networks_of_file(options.seed, index, options.per_file), targets, tally):
            failed = True
            print(f"file {index} network {network.prefix}: {failure}", flush=True)
            if options.keep is not None:
                print(f"  kept {_keep(network, failure, targets, options.keep)}", flush=True)
        index += 1
        seconds = time.monotonic() - started
        print(f"{index} files, {tally.networks} networks, {tally.failed} failed, {seconds:.0f} s", flush=True)
    _print(tally, targets)
    return int(failed)


def _options() -> argparse.Namespace:
    here = [target.name for target in TARGETS.values() if supported_here(target)]
    parser = argparse.ArgumentParser(prog="python -m bitc.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time (default: never)")
    parser.add_argument(
        "--count",
        dest="networks",
        metavar="NETWORKS",
        type=int,
        default=10_000,
        help="stop after so many networks (default: 10000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="which networks; the same seed gives the same ones")
    parser.add_argument("--first", type=int, default=0, help="the file to begin with")
    parser.add_argument("--per-file", type=int, default=PER_FILE, help=f"networks of one library (default: {PER_FILE})")
    parser.add_argument("--targets", default=",".join(here), help="default: all that run here")
    parser.add_argument("--keep", type=Path, help="folder for failing networks, shrunk")
    return parser.parse_args()


def _keep(network: Network, failure: Failure, targets: list[str], folder: Path) -> Path:
    """The network shrunk, as an ONNX file with its inputs beside it."""
    failing = [failure.target] if failure.target else targets
    case = shrink(Case(file_of([network]), network.feeds), failure, lambda model, feeds: examine(model, feeds, failing))
    data = case.model.SerializeToString(deterministic=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256(data).hexdigest()[:12]}.onnx"
    write_output(path.with_suffix(".npz"), arrays_as_bytes(case.feeds))
    write_output(path, data)
    return path


def _print(tally: Tally, targets: list[str]) -> None:
    print(f"{tally.networks} networks of {tally.nodes} nodes compared on {', '.join(targets)}; {tally.failed} failed")
    print(f"  {len(tally.operators)} operators, {tally.outputs} outputs")
    for target, kernels in tally.kernels.items():
        print(
            f"  {target}: {len(kernels)} k ops, {', '.join(f'{name} {count}' for name, count in kernels.most_common())}"
        )
    print(f"  {tally.exact} elements with one possible value, {tally.rounded} with an interval")
    print(f"  {tally.differing} elements inside their interval are not the oracle's bits")
    for what, reasons in (("refused by bitc", tally.refused), ("declined by the oracle", tally.invalid)):
        print(f"  {what}: {reasons.total()}")
        for reason, count in reasons.most_common(10):
            print(f"    {count} {reason}")


if __name__ == "__main__":
    raise SystemExit(main())
