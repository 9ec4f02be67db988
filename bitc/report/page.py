"""A report as one HTML page with its pictures inside: no script, nothing loaded from elsewhere; every text of the model is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from bitc.report import Layer, Report
from bitc.report.drawing import bars, tree

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #ddd } th:first-child, td:first-child { text-align: left }
svg { max-width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #444 }
figure { margin: 1.5rem 0 } figcaption { color: #555 }
"""

_KINDS = ("node", "bits", "MACs", "weights")
_TREE = (
    "node",
    "n",
    "C",
    "ΣD",
    "mean d",
    "depth",
    "equal",
    "complement",
    "(n + ΣD) : nC",
    "16-bit words",
    "32-bit",
    "64-bit",
)


def page(found: Report) -> str:
    """The whole page."""
    trees = [layer for layer in found.layers if layer.tree is not None]
    parts = [f"<h1>{escape(found.name)}</h1>", _table(("measure", "value"), _totals(found))]
    parts += [
        "<h2>Products</h2>",
        _table(_with_time(_KINDS, found), [_product_row(layer, found) for layer in found.layers]),
    ]
    if trees:
        parts += [
            "<h2>Trees of the binary layers</h2>",
            _table((*_TREE, "bytes as code", "stored", "plain"), map(_tree_row, trees)),
        ]
        parts += [_figure(bars(_distances(trees)), "Mean share of weights in which a channel differs from its parent.")]
        parts += [_figure(tree(layer.tree), _tree_caption(layer)) for layer in trees if layer.tree is not None]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(found.name)}: bitc report</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _totals(found: Report) -> Iterator[tuple[str, ...]]:
    costs, counted, binary = found.costs, found.counted, found.binary
    for bits, count in costs.macs.items():
        yield f"MACs of {bits} bits", f"{count:,}"
    for label, ops in (("published convention", counted), ("all binary layers", binary)):
        yield f"bit-ops, {label}", f"{ops.dense:,}; by trees {ops.tree:,}"
        yield f"parameter bits, {label}", f"{ops.parameters:,}; by trees {ops.tree_parameters:,}"
    yield "ACE", f"{costs.ace:.4g}; linear {costs.linear_ace:.4g}"
    yield "BOPs/64 + FLOPs", f"{costs.bops_64_flops:.4g}"
    yield "BiBench", f"{costs.compression:.1f} times smaller, {costs.speed_up:.1f} times fewer operations"
    if costs.ns_ace is not None:
        yield "S-ACE, NS-ACE", f"{costs.s_ace:.4g}, {costs.ns_ace:.4g}"
    yield "energy", f"{costs.energy_pj / 1e6:.4g} µJ"
    for width, size in found.weights.by_bits.items():
        yield f"weights of {width} bits", f"{size:,} bytes"
    yield "other constants", f"{found.weights.other:,} bytes"
    if found.seconds is not None:
        yield f"µs of a call, {found.target}", _microseconds(found.seconds)
        yield "µs of a call, every tree that can be", _microseconds(found.tree_seconds)
        yield "memory", f"arena {found.arena_bytes:,} bytes, constants as compiled {found.compiled_bytes:,} bytes"
        small = f"arena {found.small_arena_bytes:,} bytes, constants {found.small_compiled_bytes:,} bytes"
        yield "with small weights", f"{small}, {_microseconds(found.small_seconds)} µs"


def _with_time(head: Sequence[str], found: Report) -> tuple[str, ...]:
    return (*head, "µs", "by tree") if found.seconds is not None else tuple(head)


def _microseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:,.1f}"


def _product_row(layer: Layer, found: Report) -> tuple[str, ...]:
    product = layer.product
    bits = f"{product.bits[0]} x {product.bits[1]}"
    row = (product.node, bits, f"{product.macs:,}", f"{product.weights:,}")
    if found.seconds is None:
        return row
    return (*row, _microseconds(layer.seconds), _microseconds(layer.tree_seconds))


def _tree_row(layer: Layer) -> tuple[str, ...]:
    facts = layer.tree
    assert facts is not None
    counts = (facts.n, facts.channels, facts.difference)
    words = (f"{100 * share:.1f} %" for share in facts.words.values())
    edges = (f"{facts.mean_distance:.3f}", str(facts.depth), str(facts.equal), str(facts.complement))
    stored = "" if facts.stored_bytes is None else f"{facts.stored_bytes:,}"
    sizes = (f"{facts.compressed_bytes:,}", stored, f"{facts.plain_bytes:,}")
    return (
        layer.product.node,
        *(f"{count:,}" for count in counts),
        *edges,
        f"{100 * facts.ratio:.1f} %",
        *words,
        *sizes,
    )


def _distances(trees: Sequence[Layer]) -> list[tuple[str, float]]:
    return [(layer.product.node, layer.tree.mean_distance) for layer in trees if layer.tree is not None]


def _tree_caption(layer: Layer) -> str:
    facts = layer.tree
    assert facts is not None
    which = "" if facts.groups == 1 else f", the first of {facts.groups} groups"
    return f"{layer.product.node}{which}: an edge is darker the fewer weights differ, dashed to a complement."


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(
    head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]] | map[tuple[str, ...]]
) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>\n" + "\n".join([line(head, "th"), *(line(row, "td") for row in rows)]) + "\n</table>"
