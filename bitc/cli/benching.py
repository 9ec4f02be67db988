"""``bitc bench``: how long does a call take, beside other runtimes, and what share of what the machine can do is each layer?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from bitc.cli.console import out, progress
from bitc.cli.inspecting import first_node
from bitc.cli.options import (
    CalibrateOption,
    DimOption,
    LimitOption,
    ModelArgument,
    Mst,
    MstOption,
    SignZero,
    SignZeroOption,
    SmallWeightsOption,
    StateOption,
    TargetOption,
    ValuesOption,
    compile_options,
)

if TYPE_CHECKING:
    from bitc.bench import LayerRow, Layers, Result, Row

_WIDTH = 14
_LONGEST_REST = 12


def bench_command(
    model: ModelArgument,
    target: TargetOption = "native",
    against: Annotated[
        str,
        typer.Option(
            "--against", metavar="LIST", help="Which of onnxruntime, openvino to run too.", show_default=False
        ),
    ] = "",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each runtime.")] = 1,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Time each layer too, beside what this machine can do at best.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what this machine can do, instead of what is cached.")
    ] = False,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Interleaved rounds of all runtimes.")] = 30,
    core: Annotated[
        int | None,
        typer.Option(
            "--core", min=0, help="The (first) core to run on. (default: the last allowed)", show_default=False
        ),
    ] = None,
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    mst: MstOption = Mst.AUTO,
    state: StateOption = None,
    calibrate: CalibrateOption = None,
    small_weights: SmallWeightsOption = 0,
    limit: LimitOption = None,
    case: Annotated[
        str, typer.Option("--case", metavar="NAME", help="What to call it in JSON. (default: the file's name)")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print lines of JSON, errors too.")] = False,
) -> None:
    """Compile a model, keep nothing, and time calls of it from Python, in rounds interleaved with other runtimes."""
    options = compile_options(
        dim, values, sign_zero, limit, mst=mst, state=state, calibrate=calibrate, small_weights=small_weights
    )
    from bitc.bench import bench

    with progress() as step:
        result = bench(
            model,
            target=target,
            options=options,
            against=[name.strip() for name in against.split(",") if name.strip()],
            threads=threads,
            per_layer=per_layer,
            fresh=fresh,
            rounds=rounds,
            core=core,
            case=case,
            progress=step,
        )
    if as_json:
        sys.stdout.writelines(f"{json.dumps(line)}\n" for line in result.lines())
        return
    for text in bench_lines(result):
        out().print(text)


def bench_lines(result: Result) -> Iterator[Text]:
    """The table of runtimes, then that of layers."""
    cores = ", ".join(map(str, result.cores))
    where = result.not_pinned or (f"core {cores}" if len(result.cores) == 1 else f"cores {cores}")
    crew = "one thread" if result.threads == 1 else f"{result.threads} threads"
    yield Text(f"{result.case} for {result.target}", "bold")
    yield Text(f"  {result.rounds} interleaved rounds, {crew}, {where}; times of whole calls from Python")
    yield Text()
    yield Text(f"{'':<{_WIDTH}}{'median µs':>12}{'min µs':>12}{'spread':>9}{'ratio':>9}", "bold")
    yield from map(_runtime_line, result.rows)
    if any(row.ratio is not None for row in result.rows):
        yield Text("ratio: time of bitc divided by time of the other")
    if result.layers is not None:
        yield Text()
        yield from _layer_lines(result.layers)


def _runtime_line(row: Row) -> Text:
    if row.times is None:
        return Text(f"{row.peer:<{_WIDTH}}  refuses the model: {row.refusal}")
    times = row.times
    ratio = "" if row.ratio is None else f"{row.ratio:>9.3f}"
    return Text(f"{row.peer:<{_WIDTH}}{times.median_us:>12,.1f}{times.min_us:>12,.1f}{times.spread:>9.1%}{ratio}")


def _layer_lines(layers: Layers) -> Iterator[Text]:
    gops = ", ".join(f"{kind} {rate:,.0f}" for kind, rate in layers.peaks.gops.items())
    yield Text(f"layers of a profiling build, {layers.total_us:,.1f} µs without Python; peaks here in GOPS: {gops}")
    width = max([len("elementwise"), *(len(row.form) for row in layers.products)])
    yield Text()
    head = f"{'form':<{width}}{'time':>8}{'µs':>11}{'GOPS':>9}{'of bound':>10}  {'bound':<8}node"
    yield Text(head, "bold")
    for row in layers.products:
        yield _layer_line(row, width)
    if layers.rest:
        yield Text()
        yield Text(f"{'besides':<{width}}{'time':>8}{'µs':>11}", "bold")
    total = layers.total_us or 1.0
    for entry in layers.rest[:_LONGEST_REST]:
        spent = (entry.seconds or 0.0) * 1e6
        what = f"{', '.join(entry.what)}  {first_node(entry.node)}"
        yield Text(f"{'':<{width}}{spent / total:>8.1%}{spent:>11,.1f}  {what}".rstrip())
    left = [(entry.seconds or 0.0) * 1e6 for entry in layers.rest[_LONGEST_REST:]]
    if left:
        yield Text(f"{'':<{width}}{sum(left) / total:>8.1%}{sum(left):>11,.1f}  {len(left)} more")


def _layer_line(row: LayerRow, width: int) -> Text:
    share = "" if row.of_bound is None else f"{row.of_bound:.0%}"
    numbers = f"{row.share:>8.1%}{row.microseconds:>11,.1f}{row.gops:>9,.0f}{share:>10}"
    return Text(f"{row.form:<{width}}{numbers}  {row.bound or '':<8}{first_node(row.node)}")
