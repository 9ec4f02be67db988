"""All benchmark networks and single layers, each as ``bitc bench`` times it, as lines of JSON; a second command makes tables of them.

    python -m benchmarks.suite [NAME | FILE.onnx]... [--against onnxruntime] [--per-layer] > results.jsonl
    python -m benchmarks.suite --tables results.jsonl

Lines are ``{peer, case, median_us, min_us, gops, macs, runs, note}``, or ``{peer, case, error}``; bitc is called after target and kind of
network. ``@chain`` cases are (time of 9 equal layers - time of 1) / 8: a layer within a network. Networks are written to ``--models``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.layers import CHAIN, CONVOLUTIONS
from benchmarks.networks import CASES, write
from bitc.bench import Result, bench
from bitc.compiler import Options
from bitc.errors import BitcError
from bitc.promises import parse_values

Line = dict[str, Any]
_CHAIN = f"@chain{CHAIN}"


def lines_of(names: Sequence[str], arguments: argparse.Namespace) -> Iterator[Line]:
    """Line by line, as they are measured."""
    singles: dict[str, Result] = {}
    for name in names:
        model = Path(name) if name.endswith(".onnx") else write(name, arguments.models)
        case, kind = _titles(name)
        label = f"bitc-{arguments.target}{kind}"
        promises = {key: parse_values(text) for key, _, text in (item.partition("=") for item in arguments.values)}
        try:
            result = bench(
                model,
                target=arguments.target,
                options=Options(values=promises, sign_zero=arguments.sign_zero),
                against=arguments.against,
                per_layer=arguments.per_layer,
                rounds=arguments.rounds,
                core=arguments.core,
                case=case,
            )
        except BitcError as error:
            yield {"peer": label, "case": case, "error": error.diagnostics[0].title}
            continue
        singles[name] = result
        single = singles.get(name.removesuffix(_CHAIN))
        if name.endswith(_CHAIN) and single is not None:
            yield from slopes(single, result, label)
        else:
            yield from result.lines(label)


def _titles(name: str) -> tuple[str, str]:
    """The case's name in tables, and what follows bitc's own."""
    if name not in CASES:
        return Path(name).stem, ""
    return CASES[name].case, f"-{CASES[name].kind}"


def slopes(one: Result, many: Result, label: str) -> Iterator[Line]:
    """What each further layer takes, for bitc and for each peer."""
    case, macs = many.case.removesuffix(_CHAIN) + "@chain", one.macs
    found: dict[str, float] = {}
    for first, last in zip(one.rows, many.rows, strict=True):
        if first.times is None or last.times is None:
            continue
        median, least = (
            (b - a) / (CHAIN - 1)
            for a, b in ((first.times.median_us, last.times.median_us), (first.times.min_us, last.times.min_us))
        )
        found[first.peer] = median
        mine = first is one.rows[0]
        line = {"peer": label if mine else first.peer, "case": case, "median_us": round(median, 2)}
        line |= {
            "min_us": round(least, 2),
            "gops": round(2e-3 * macs / median, 2),
            "macs": macs,
            "runs": last.times.calls,
        }
        if not mine:
            line["bitc_ratio"] = round(found[one.rows[0].peer] / median, 4)
        yield {**line, "note": f"slope over {CHAIN} layers"}


def tables(lines: Sequence[Line]) -> Iterator[str]:
    """Markdown: ratios first, then microseconds; a case measured several times counts with its last."""
    timed = [line for line in lines if "median_us" in line]
    mine = {(line["case"], line["peer"]): line for line in timed if "bitc_ratio" not in line}
    peers = list(dict.fromkeys(line["peer"] for line in timed if "bitc_ratio" in line))
    theirs = _after_their_bitc(timed)
    yield (
        "| case | bitc | "
        + " | ".join(f"÷ {peer}" for peer in peers)
        + " | bitc µs | GOPS | spread | "
        + " | ".join(f"{peer} µs" for peer in peers)
        + " |"
    )
    yield "|---|---|" + "---|" * (2 * len(peers) + 3)
    for (case, label), line in mine.items():
        others = theirs[case, label]
        ratios = [f"{others[p]['bitc_ratio']:.3f}" if p in others else "" for p in peers]
        times = [f"{others[p]['median_us']:,.1f}" if p in others else "" for p in peers]
        spread = line["note"].partition("spread ")[2].partition(";")[0]
        rate = f"{line['gops']:,.0f}" if "gops" in line else ""
        cells = [case, label.removeprefix("bitc-"), *ratios, f"{line['median_us']:,.1f}", rate, spread, *times]
        yield "| " + " | ".join(cells) + " |"


def _after_their_bitc(lines: Sequence[Line]) -> dict[tuple[str, str], dict[str, Line]]:
    """Lines of peers by the line of bitc that they follow."""
    found: dict[tuple[str, str], dict[str, Line]] = {}
    current: dict[str, Line] = {}
    for line in lines:
        if "bitc_ratio" in line:
            current[line["peer"]] = line
        else:
            current = found[line["case"], line["peer"]] = {}
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="all networks and single layers, unless told")
    parser.add_argument("--models", type=Path, default=Path("build/models"))
    parser.add_argument("--target", default="native")
    parser.add_argument("--against", type=lambda text: text.split(","), default=[])
    parser.add_argument("--values", action="append", default=[], help="promise about an input, such as x={-1,1}")
    parser.add_argument("--sign-zero", default="exact")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--core", type=int)
    parser.add_argument("--per-layer", action="store_true")
    parser.add_argument("--tables", type=Path, metavar="RESULTS", help="measure nothing, print tables of these lines")
    arguments = parser.parse_args()
    if arguments.tables:
        kept = [json.loads(line) for line in arguments.tables.read_text(encoding="utf-8").splitlines() if line]
        print("\n".join(tables(kept)))
        return
    names = arguments.names or [name for name in CASES if name not in CONVOLUTIONS] + sorted(CONVOLUTIONS)
    for line in lines_of(names, arguments):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
