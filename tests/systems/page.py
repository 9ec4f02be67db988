"""docs/systems.md from what was run and measured.

    python -m tests.systems --shared ../shared --targets avx2 --json avx2.jsonl
    python -m tests.systems --shared ../shared --targets portable --json portable.jsonl
    python -m tests.systems --shared ../shared --targets avx512 --json avx512.jsonl
    python -m tests.systems.times --shared ../shared > times.jsonl
    python -m tests.systems.page avx2.jsonl portable.jsonl avx512.jsonl --times times.jsonl

The first file of lines gives forms and sizes, all of them give agreement with the golden outputs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.systems.systems import EXCEPTIONS, SYSTEMS, WHY_NOT_CODES, System, is_exception

PAGE = Path(__file__).resolve().parents[2] / "docs" / "systems.md"
Line = Mapping[str, Any]

INTRODUCTION = """# The published systems

<!-- Written by tests/systems/page.py; do not edit. -->

Networks of the binary, ternary, low-bit and spiking literature, exported from their authors' own modules with random
weights, and what bitc makes of each. `claims` is the headline of the paper, for the network its authors trained; nothing
of it is measured here. Every file is compiled and run on its golden inputs; an element agrees where it is off by at most
1e-5 of the largest element of its output. Where a file comes with the answers of exact integer arithmetic, those count.

The page is written by these commands, of which the first three end with 1 if anything is not as it says here. They take
ten to twenty minutes of a core each; a target that was run on a share of the files shows fewer. Where the CPU has no
AVX-512 it is emulated, in part without fused multiply-adds:

```sh
python -m tests.systems --shared ../shared --targets avx2 --json avx2.jsonl
python -m tests.systems --shared ../shared --targets portable --json portable.jsonl
python -m tests.systems --shared ../shared --targets avx512 --json avx512.jsonl
python -m tests.systems.times --shared ../shared > times.jsonl
python -m tests.systems.page avx2.jsonl portable.jsonl avx512.jsonl --times times.jsonl
```
"""

KINDS = {
    "codes": "of codes",
    "activations": "of two activations",
    "weights": "of weights alone",
    "spikes": "of spikes by floats",
}


def page(runs: Mapping[str, Sequence[Line]], times: Sequence[Line]) -> str:
    """The page. ``runs``: lines by target, the first of them for forms and sizes."""
    forms = {line["file"]: line for line in next(iter(runs.values()))}
    parts = [INTRODUCTION, *_goldens(runs), *_exceptions(), *_systems(forms, times), *_floats(forms), *_reasons(forms)]
    parts += _files(forms)
    return "\n".join(parts) + "\n"


def _goldens(runs: Mapping[str, Sequence[Line]]) -> Iterator[str]:
    yield "## Golden outputs\n\n| target | files | every element equal | agree | exceptions below |\n|---|---:|---:|---:|---:|"
    for target, lines in runs.items():
        known = sum(is_exception(line["file"], target) for line in lines)
        equal = sum(not is_exception(line["file"], target) and not line["agreement"]["differing"] for line in lines)
        yield f"| {target} | {len(lines)} | {equal} | {len(lines) - equal - known} | {known} |"


def _exceptions() -> Iterator[str]:
    yield "\n## Exceptions\n\n| file | targets | why it is not the golden answer |\n|---|---|---|"
    for file, known in EXCEPTIONS.items():
        bound = "" if known.same is None else f" (at most {known.same:g} of the largest element)"
        yield f"| {file} | {', '.join(known.targets)} | {known.reason}{bound} |"


def _coded(lines: Iterable[Line]) -> list[Line]:
    return [coded for line in lines for coded in line["coded"]]


def _share(coded: Sequence[Line]) -> str:
    return f"{sum(c['as_codes'] for c in coded)} of {len(coded)}" if coded else ""


def _systems(forms: Mapping[str, Line], times: Sequence[Line]) -> Iterator[str]:
    yield "\n## Systems\n"
    yield "Products whose factors take few values on the golden inputs, and how many of them run as codes (bits or integers):"
    yield "of codes by codes, of two activations, of weights alone (W1A32). Of the file named: what its library holds of weights, and"
    yield "the time of bitc divided by that of onnxruntime, one thread, below 1 bitc is faster: `fp32` on the file as it is, `int8` on"
    yield "what the faster of onnxruntime's own quantizers makes of its products (`dynamic`, or `static` with scales of the golden"
    yield "inputs), which rounds more than the file does. No `int8`: the quantizers refuse it, or find nothing to quantize.\n"
    yield "| system | files | claims | of codes | of two activations | of weights alone | measured | weights, KB | fp32 | int8 |"
    yield "|---|---:|---|---:|---:|---:|---|---:|---:|---|"
    measured = {line["system"]: line for line in times}
    for system in SYSTEMS:
        lines = [line for file, line in forms.items() if _is_of(system, file)]
        by_kind = [[c for c in _coded(lines) if c["kind"] == kind] for kind in ("codes", "activations", "weights")]
        cells = [system.name, str(len(lines)), f"{system.claim} ({system.source})", *map(_share, by_kind)]
        yield f"| {' | '.join([*cells, *_measured(measured.get(system.name), forms)])} |"


def _is_of(system: System, file: str) -> bool:
    return file.startswith(system.prefixes)


def _measured(line: Line | None, forms: Mapping[str, Line]) -> list[str]:
    if line is None:
        return ["", "", "", ""]
    found = forms.get(line["file"])
    kilobytes = f"{found['weight_bytes'] / 1000:.1f}" if found is not None else ""
    fp32 = f"{line['fp32_ratio']:.2f}" if "fp32_ratio" in line else line.get("error", "")
    int8 = f"{line['int8_ratio']:.2f} {line['int8']}" if "int8_ratio" in line else ""
    return [line["file"], kilobytes, fp32, int8]


def _floats(forms: Mapping[str, Line]) -> Iterator[str]:
    """By file: products of codes, activations or binary weights that are floats. Raises :class:`KeyError` where the reason is missing."""
    yield "\n## Products of few values that stay floats\n\n| file | products | why |\n|---|---|---|"
    for system in SYSTEMS:
        for file, line in sorted(forms.items()):
            if not _is_of(system, file):
                continue
            for kind in ("codes", "activations", "weights"):
                of_kind = [coded for coded in line["coded"] if coded["kind"] == kind and not coded["as_codes"]]
                if of_kind:
                    classes = Counter(coded["classes"] for coded in of_kind)
                    many = ", ".join(f"{number} {name}" for name, number in classes.most_common())
                    yield f"| {file} | {KINDS[kind]}: {many} | {WHY_NOT_CODES[system.name, kind]} |"


def _reasons(forms: Mapping[str, Line]) -> Iterator[str]:
    yield "\n## What the compiler says of them, and of spikes by floats\n"
    yield "| products | reason | systems |\n|---|---|---|"
    counts: Counter[tuple[str, str]] = Counter()
    systems: dict[tuple[str, str], Counter[str]] = {}
    for file, line in forms.items():
        owner = next(system.name for system in SYSTEMS if _is_of(system, file))
        for coded in line["coded"]:
            if coded["as_codes"]:
                continue
            key = KINDS[coded["kind"]], re.sub(r"\b\d+\b", "N", coded["why"])
            counts[key] += 1
            systems.setdefault(key, Counter())[owner] += 1
    for key, number in counts.most_common():
        whose = ", ".join(f"{name} {many}" for name, many in systems[key].most_common())
        yield f"| {number} {key[0]} | {key[1]} | {whose} |"


def _files(forms: Mapping[str, Line]) -> Iterator[str]:
    yield "\n## Files\n\n| file | forms of its products | weights, KB | arena, KB |\n|---|---|---:|---:|"
    for system in SYSTEMS:
        for file, line in sorted(forms.items()):
            if _is_of(system, file):
                made = ", ".join(f"{n}: {form}" for form, n in sorted(line["forms"].items(), key=lambda item: -item[1]))
                yield f"| {file} | {made} | {line['weight_bytes'] / 1000:.1f} | {line['arena_bytes'] / 1000:.1f} |"


def files_and_exceptions(text: str) -> tuple[list[str], list[str]]:
    """The names in the page's tables of files and of exceptions."""
    sections = {part.split("\n", 1)[0]: part for part in text.split("\n## ")}
    tables = (re.findall(r"^\| (\w+) \|", sections[name], re.MULTILINE) for name in ("Files", "Exceptions"))
    files, exceptions = ([name for name in names if name != "file"] for names in tables)
    return files, exceptions


def _lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def main() -> int:
    """Read the lines, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path, nargs="+")
    parser.add_argument("--times", type=Path, required=True)
    given = parser.parse_args()
    runs: dict[str, list[Line]] = {}
    for line in (line for path in given.lines for line in _lines(path)):
        runs.setdefault(line["target"], []).append(line)
    PAGE.write_text(page(runs, _lines(given.times)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
