"""Compile many damaged models, each in a watched process of its own, and count what became of them.

    python tests/hostile/mutate.py --count 5000 --seed 0 --jobs 2

Case number n of a seed is always the same model; ``--case N`` runs one and ``--keep DIR`` saves the models of faults. Exit code 1 if
anything crashed, hung for over 10 s, wrote outside its output folder, left files behind, or held more than 2 GiB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from hostile.damage import damaged  # noqa: E402  (the path is set above)
from hostile.sandbox import Verdict, watched  # noqa: E402

from bitc.compiler import compile  # noqa: E402
from bitc.errors import BitcError  # noqa: E402
from bitc.passes.pipeline import PassFailure  # noqa: E402

TARGETS = ("portable", "avx2", "avx512")


def model_of(seed: int, number: int) -> bytes:
    """The damaged model of a case."""
    return damaged(Random(f"{seed}/{number}"))


def run_case(seed: int, number: int, scratch: Path) -> Verdict:
    """Compile one case to C, for one target after the other."""
    data = model_of(seed, number)

    def work(folder: Path) -> str:
        path = folder / "in" / "model.onnx"
        path.write_bytes(data)
        try:
            compile(path, target=TARGETS[number % len(TARGETS)], out=folder / "out", emit=["c"])
        except PassFailure as failure:
            raise failure.__cause__ or failure from None
        except BitcError as error:
            return f"{type(error).__name__}\n{error}"
        return "compiled\n"

    return watched(work, scratch)


def run_range(seed: int, numbers: Iterable[int]) -> list[tuple[int, Verdict]]:
    """Some cases, one after the other, in a scratch folder of their own."""
    with tempfile.TemporaryDirectory(prefix="bitc-hostile-") as folder:
        return [(number, run_case(seed, number, Path(folder).resolve() / "case")) for number in numbers]


def run(count: int, seed: int, jobs: int, start: int = 0) -> Iterator[tuple[int, Verdict]]:
    """All cases; verdicts come in order."""
    chunks = [range(first, min(first + 10, start + count)) for first in range(start, start + count, 10)]
    if jobs == 1:
        for chunk in chunks:
            yield from run_range(seed, chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for verdicts in pool.map(partial(run_range, seed), chunks):
            yield from verdicts


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", type=int, help="run this case only, and print its whole message")
    parser.add_argument("--keep", type=Path, help="where to save the models of faults")
    given = parser.parse_args()
    if given.case is not None:
        ((_, verdict),) = run_range(given.seed, [given.case])
        print(verdict)
        return bool(verdict.faults)
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    slowest = peak = 0.0
    for number, verdict in run(given.count, given.seed, given.jobs, given.start):
        outcomes[verdict.outcome] += 1
        faults.update(verdict.faults)
        slowest, peak = max(slowest, verdict.seconds), max(peak, verdict.peak_bytes / 2**20)
        if verdict.faults:
            print(
                f"case {number}: {', '.join(verdict.faults)}: {verdict.message} {verdict.outside} {verdict.left}",
                flush=True,
            )
            if given.keep is not None:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / f"{given.seed}-{number}.onnx").write_bytes(model_of(given.seed, number))
    print(f"{given.count} models: " + ", ".join(f"{n} {name}" for name, n in outcomes.most_common()))
    print(
        f"slowest {slowest:.1f} s, peak memory {peak:.0f} MiB; "
        + (", ".join(f"{n} {f}" for f, n in faults.items()) or "no faults")
    )
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
