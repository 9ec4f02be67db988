"""Every exported system on every target against its golden outputs.

    python -m tests.systems --shared ../shared
    python -m tests.systems --shared ../shared --targets avx2 --only tbt_ --json lines.jsonl

Exit code 1 if an output is not the golden's and the file is no exception of ``tests/systems/systems.py``, or an exception is none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TextIO

from bitc.errors import BitcError
from tests.networks.building import TARGETS
from tests.systems.run import Outcome, outcome
from tests.systems.systems import SYSTEMS, is_exception


def main() -> int:
    """Parse the command line, run, print a line for each file and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="the folder with models/systems and models/spiking")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--only", default="", help="files whose name begins so")
    parser.add_argument("--json", type=Path, help="where to write a line of JSON for each file and target")
    given = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    files = [path for system in SYSTEMS for path in system.files(given.shared) if path.stem.startswith(given.only)]
    with (given.json or Path("/dev/null")).open("w") as lines:
        for path in files:
            for target in given.targets:
                counts[target, _one(path, target, lines).split(" (")[0]] += 1
    for (target, verdict), number in sorted(counts.items()):
        print(f"{target}: {number} {verdict}")
    return int(any(verdict not in ("equal", "agree", "known exceptions") for _, verdict in counts))


def _one(path: Path, target: str, lines: TextIO) -> str:
    with tempfile.TemporaryDirectory(prefix="bitc-systems-") as folder:
        try:
            found = outcome(path, target, Path(folder) / "net")
        except BitcError as error:
            print(f"{path.stem} {target}: refused: {error.diagnostics[0].title}", flush=True)
            return "refused"
    print(json.dumps(found.as_dict()), file=lines, flush=True)
    verdict = _verdict(found)
    a = found.agreement
    print(f"{path.stem} {target}: {verdict}, {a.differing} of {a.elements} differ, worst {a.worst:.1e}", flush=True)
    return verdict


def _verdict(found: Outcome) -> str:
    if found.complaint:
        return f"WRONG ({found.complaint})"
    if is_exception(found.file, found.target):
        return "known exceptions"
    return "agree" if found.agreement.differing else "equal"


if __name__ == "__main__":
    sys.exit(main())
