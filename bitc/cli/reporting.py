"""``bitc report``: what does a network cost by the published measures, and what would trees over its channels save?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from bitc.cli.console import out, print_json, progress
from bitc.cli.inspecting import first_node
from bitc.cli.options import (
    DimOption,
    JsonOption,
    LimitOption,
    ModelArgument,
    SignZero,
    TargetOption,
    ValuesOption,
    compile_options,
)

if TYPE_CHECKING:
    from bitc.report import BitOps, Costs, Layer, Report


def report_command(
    model: ModelArgument,
    time: Annotated[bool, typer.Option("--time", help="Compile it, and time each layer on this machine.")] = False,
    target: TargetOption = "native",
    dim: DimOption = None,
    values: ValuesOption = None,
    limit: LimitOption = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs", metavar="FILE.npz", help="Inputs by name, to measure firing rates.", show_default=False
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE.html", help="Write a page with pictures too.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count what a network costs: MACs by bit width, ACE, BOPs, energy, bytes; and for each binary layer the tree of its channels."""
    options = compile_options(dim, values, SignZero.EXACT, limit)
    from bitc.arrays import load_arrays
    from bitc.report import report

    samples = load_arrays(inputs) if inputs is not None else None
    with progress() as step:
        found = report(model, options=options, inputs=samples, time=time, target=target, progress=step)
    if html is not None:
        from bitc.folders import write_output
        from bitc.report.page import page

        write_output(html, page(found).encode())
    if as_json:
        print_json(found.as_dict())
        return
    for line in report_lines(found):
        out().print(line)


def report_lines(found: Report) -> list[Text]:
    """The totals, then the binary layers with their trees, then the other products."""
    lines = [Text(found.name, "bold"), *(Text(f"  {label:<9} {text}") for label, text in _totals(found))]
    trees = [layer for layer in found.layers if layer.tree is not None]
    others = [layer for layer in found.layers if layer.tree is None]
    if trees:
        lines += [Text(), Text(_TREE_HEAD + _time_head(found), "bold"), *(_tree_line(layer) for layer in trees)]
    if others:
        lines += [Text(), Text(_OTHER_HEAD + _time_head(found), "bold"), *(_other_line(layer) for layer in others)]
    return lines


def _totals(found: Report) -> Iterator[tuple[str, str]]:
    total = sum(layer.product.macs for layer in found.layers)
    pairs = ", ".join(f"{count:,} of {bits} bits" for bits, count in found.costs.macs.items())
    yield "MACs", f"{total:,}: {pairs}" if pairs else "none"
    yield from _bit_ops("bit-ops", found.counted)
    if found.binary.layers > found.counted.layers:
        yield from _bit_ops("all bits", found.binary)
    yield from _costs(found.costs)
    widths = ", ".join(f"{size:,} of {bits} bit{'s' * (bits > 1)}" for bits, size in found.weights.by_bits.items())
    yield "weights", f"{found.weights.total:,} bytes: {widths}, {found.weights.other:,} of other constants"
    if found.seconds is not None:
        trees = f", {found.tree_seconds * 1e6:,.1f} µs with every tree that can be" if found.tree_seconds else ""
        yield "time", f"{found.seconds * 1e6:,.1f} µs a call for {found.target}{trees}"
        yield "memory", f"arena {found.arena_bytes:,} bytes, constants as compiled {found.compiled_bytes:,} bytes"
    if found.small_seconds is not None and found.small_compiled_bytes != found.compiled_bytes:
        memory = f"arena {found.small_arena_bytes:,} bytes, constants {found.small_compiled_bytes:,} bytes"
        yield "small", f"{memory}, {found.small_seconds * 1e6:,.1f} µs a call with small weights"


def _bit_ops(label: str, found: BitOps) -> Iterator[tuple[str, str]]:
    if not found.layers:
        return
    what = "binary convolution" if label == "bit-ops" else "binary layer"
    plural = "s" if found.layers > 1 else ""
    yield label, f"{_giga(found.dense)} and {_mega(found.parameters)} of parameters in {found.layers} {what}{plural}"
    share = f"{100 * found.tree / found.dense:.1f} % and {100 * found.tree_parameters / found.parameters:.1f} %"
    yield "", f"{_giga(found.tree)} and {_mega(found.tree_parameters)} by trees: {share}"


def _giga(count: int) -> str:
    """
    >>> _giga(603979776), _giga(40108032), _giga(36864)
    ('0.604 G', '0.0401 G', '36,864')
    """
    if count < 1e7:
        return f"{count:,}"
    return f"{count / 1e9:.{3 if count >= 1e8 else 4}f} G"


def _mega(bits: int) -> str:
    """
    >>> _mega(4571136), _mega(576)
    ('4.571 Mbit', '576 bits')
    """
    return f"{bits:,} bits" if bits < 1e5 else f"{bits / 1e6:.3f} Mbit"


def _costs(found: Costs) -> Iterator[tuple[str, str]]:
    yield "ACE", f"{found.ace:.4g}; linear (AQT) {found.linear_ace:.4g}"
    yield "CPU64", f"{found.bops_64_flops:.4g} = BOPs {found.bops:.4g} / 64 + FLOPs {found.flops:.4g}"
    yield "BiBench", f"weights {found.compression:.1f} times smaller, {found.speed_up:.1f} times fewer operations"
    if found.ns_ace is not None:
        yield "S-ACE", f"{found.s_ace:.4g}; by firing rates (NS-ACE) {found.ns_ace:.4g}"
    yield "energy", f"{found.energy_pj / 1e6:.4g} µJ at 4.6 pJ a multiplication, 0.9 pJ an addition"


_TREE_HEAD = (
    f"{'n':>6} {'C':>5} {'ΣD':>9} {'mean d':>7} {'depth':>5} {'equal':>5} {'compl.':>6} {'bit-ops':>8} "
    f"{'16-bit':>7} {'32-bit':>7} {'64-bit':>7} {'bytes':>26}"
)
_OTHER_HEAD = f"{'bits':>6} {'MACs':>15} {'weights':>11}"


def _time_head(found: Report) -> str:
    return (f" {'µs':>9} {'by tree':>9}" if found.seconds is not None else "") + "  node"


def _tree_line(layer: Layer) -> Text:
    tree = layer.tree
    assert tree is not None
    words = " ".join(f"{100 * share:5.1f} %" for share in tree.words.values())
    stored = "-" if tree.stored_bytes is None else f"{tree.stored_bytes:,}"
    return Text(
        f"{tree.n:>6} {tree.channels:>5} {tree.difference:>9,} {tree.mean_distance:>7.3f} {tree.depth:>5} {tree.equal:>5} "
        f"{tree.complement:>6} {100 * tree.ratio:>6.1f} % {words} {tree.compressed_bytes:>8,}/{stored:>8}/{tree.plain_bytes:<8,}"
        + _time(layer)
        + f"  {first_node(layer.product.node)}"
    )


def _other_line(layer: Layer) -> Text:
    product = layer.product
    bits = f"{product.bits[0]}x{product.bits[1]}"
    return Text(f"{bits:>6} {product.macs:>15,} {product.weights:>11,}{_time(layer)}  {first_node(product.node)}")


def _time(layer: Layer) -> str:
    if layer.seconds is None:
        return ""
    return "".join(f" {'' if t is None else f'{t * 1e6:,.1f}':>9}" for t in (layer.seconds, layer.tree_seconds))
