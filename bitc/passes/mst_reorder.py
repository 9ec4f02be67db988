"""``mst-reorder``: products of bits run along spanning trees of their channels, adding or skipping, or by tables, where that costs less."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, CodeType, Graph, Op, Value, rewrite
from bitc.ir.channel_tree import ChannelTree, channel_tree
from bitc.ir.skipping import (
    BITS,
    MOST_BYTES,
    MOST_CLASSES,
    NibblePlanes,
    nibble_planes,
    touched_nibbles,
)
from bitc.ir.sliced import LANES, MOST_TERMS, plane_geometry, triples_of
from bitc.passes.base import Pass
from bitc.passes.costs import (
    COSTS,
    SKIPPING,
    SLICED,
    Sliced,
    Work,
    plane_ns,
    skipping_ns,
    tables_ns,
    trees_ns,
    twins_ns,
)
from bitc.passes.facts import INT32
from bitc.passes.integers import runs_as_bits
from bitc.passes.lower_codes import fused_threshold, product_signs, threshold_tables
from bitc.passes.padding import code_constant
from bitc.passes.split_planes import work_of

_FORMS = {"on": "trees", "skipping": "skipping", "tables": "tables"}
USES = ("auto", *_FORMS, "off")

SURE = 0.9
"""Planes of pixels are taken where they should cost less than this part of the other form: the figures are good to a tenth."""

LEAST_GAIN_NS = 5000.0
"""And where they save so much: each product's tables are kept beside kernels that the network may not need otherwise."""

ONE_VALUE = 2
"""Thresholds on accumulators of signs, which are all even or all odd, are so far apart around one of them."""


@dataclass(frozen=True)
class MstReorder(Pass):
    """Output channel c is its parent p in a tree, s = ±1, corrected where their weights ±1 differ (:mod:`bitc.ir.channel_tree`)::

        conv(x, w_c)  =  s·conv(x, w_p)  +  2·sum over {i : w_c[i] != s·w_p[i]} of w_c[i]·x[i]

    exact in integers. Products so marked (``form = "trees"``) run on planes of pixels, where a weight costs one addition, in the tree's
    order; each channel's results are written to its own place, so no reader is affected and nothing needs to be permuted. A grouped
    product has a tree for each group. With ``form = "skipping"`` pixels are bytes instead, fewer of which fill a vector, and four terms at
    a time are skipped where they agree or looked up (:mod:`bitc.ir.skipping`). Without a tree (``form = "tables"``) each channel is the
    sum of majorities of three terms, looked up in tables that all share (:func:`bitc.ir.sliced.tables_of`): half as many additions as
    weights, whatever they are.

    ``use``: ``auto`` marks what ``costs`` (:mod:`bitc.passes.costs`) says is faster so, ``on`` whatever can have a tree, ``skipping`` and
    ``tables`` whatever can be computed so, ``off`` nothing. The graph's attribute ``form_costs`` gets (ONNX node, text) for each product
    it weighed or declined; where all there is to gain is less than :data:`LEAST_GAIN_NS`, nothing is weighed.
    """

    name: ClassVar[str] = "mst-reorder"
    costs: str = "portable"
    use: str = "auto"

    def run(self, graph: Graph) -> Graph:
        if self.costs not in COSTS or self.use not in USES:
            here = f"costs={self.costs}, use={self.use}"
            hint = f"costs: {', '.join(COSTS)}; use: {', '.join(USES)}"
            raise OptionError(Diagnostic("O025", "mst-reorder cannot be run like this", here=here, hint=hint))
        if self.use == "off":
            return graph
        users, weighed = graph.users(), list[tuple[str, str]]()

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name not in ("q.conv", "q.matmul") or op.attrs["form"] or not runs_as_bits(op):
                return None
            if (reason := _why_not(op)) is not None:
                weighed.append((op.loc, f"no trees: {reason}"))
                return None
            threshold = fused_threshold(op, graph, users)
            bits = threshold.operands[1].shape[1] if threshold is not None else 0
            border = next((user for user in users[op.result] if user.name == "q.border"), None)
            classes = border.operands[1].shape[0] if border is not None else 1
            choice = _Weighing(op, self.costs, bits, classes).choice(self.use)
            if self.use != "auto" or choice.plain_ns >= LEAST_GAIN_NS:
                weighed.append((op.loc, choice.text))
            return (
                b.add(op.name, *op.operands, loc=op.loc, **{**op.attrs, "form": choice.form}) if choice.form else None
            )

        after = rewrite(graph, rule)
        after.attrs["form_costs"] = (*graph.attrs.get("form_costs", ()), *weighed)
        return after


@dataclass(frozen=True, slots=True)
class Choice:
    """The form a product is to have, "" for none of these; what it costs without, and how all that is said."""

    form: str
    plain_ns: float
    text: str


def _why_not(op: Op) -> str | None:
    """Why a product cannot run along trees."""
    source = op.operands[0].type
    assert isinstance(source, CodeType)
    if len(source.shape) not in (2, 4):
        return f"codes of rank {len(source.shape)}"
    work = work_of(op)
    terms = work.taps * work.in_c * work.group * source.levels.planes
    return f"{terms} terms, at most {MOST_TERMS} are counted" if terms > MOST_TERMS else None


@dataclass(frozen=True, slots=True)
class _Weighing:
    """What a product of ``classes`` border classes costs in its forms, where it ends in ``bits`` bits a channel, or in numbers."""

    op: Op
    isa: str
    bits: int
    classes: int = 1

    def choice(self, use: str) -> Choice:
        """The best form, or the one that ``use`` wants where there is it."""
        plain_ns = self.plain_ns
        forms = {"": (plain_ns, f"{self.planes}x1 planes {_us(plain_ns)}")}
        if self.triples and use in ("auto", "tables"):
            forms["tables"] = (self.tables_ns, f"tables {_us(self.tables_ns)}")
        forms |= self.along_trees(use, min(ns for ns, _ in forms.values()) if use == "auto" else float("inf"))
        if use == "auto":
            best = min(forms, key=lambda form: forms[form][0])
            if forms[best][0] >= SURE * plain_ns or plain_ns - forms[best][0] < LEAST_GAIN_NS:
                best = ""
        else:
            best = next((form for form in forms if form == _FORMS[use]), "")
        said = [best, *sorted(forms.keys() - {best}, key=lambda form: forms[form][0])]
        return Choice(best, plain_ns, ", ".join(forms[form][1] for form in said))

    def along_trees(self, use: str, enough: float) -> dict[str, tuple[float, str]]:
        """Nanoseconds of the forms along trees that ``use`` asks for, and that as text. Trees are not looked for where even equal
        channels would cost ``enough``; then it is what that would cost."""
        work, layout, bounds = self.work, self.layout, dict[str, float]()
        roots = work.group * work.taps * work.in_c
        if use in ("auto", "on"):
            bounds["trees"] = self.trees_ns(roots)
        if use in ("auto", "skipping") and layout is not None:
            bounds["skipping"] = self.skipping_ns(layout, self.planes * roots // BITS)
        forms = {form: (ns, f"{form} at least {_us(ns)}") for form, ns in bounds.items()}
        looked = {form for form, ns in bounds.items() if ns < enough}
        trees = trees_of(self.op) if looked else []
        if "trees" in looked:
            ns = self.trees_ns(roots + sum(tree.total for tree in trees))
            distance = float(np.mean([tree.mean_distance for tree in trees]))
            depth = max(int(tree.depth.max()) for tree in trees)
            forms["trees"] = ns, f"trees {_us(ns)} (d {distance:.3f}, depth {depth})"
        if "skipping" in looked and layout is not None:
            entries = touched_nibbles(product_signs(self.op), work.group, self.planes, trees)
            ns, every = self.skipping_ns(layout, entries), self.planes * work.taps * work.in_c * work.out_c / BITS
            forms["skipping"] = ns, f"skipping {_us(ns)} ({min(1.0, entries / every):.0%} of nibbles)"
        return forms

    def trees_ns(self, added: int) -> float:
        """Nanoseconds along trees that add ``added`` terms a plane."""
        return trees_ns(self.work, self.costs, self.lanes, self.blocks, self.planes, added, self.bits)

    def skipping_ns(self, layout: NibblePlanes, entries: int) -> float:
        """Nanoseconds along trees whose nodes have so many nibbles."""
        costs = SKIPPING.get(self.isa, SKIPPING["portable"])
        return skipping_ns(
            self.work, costs, layout.vectors, self.images * layout.blocks, self.planes, entries, self.bits
        )

    @property
    def layout(self) -> NibblePlanes | None:
        """How nibbles of pixels would lie, None where they cannot."""
        op, work = self.op, self.work
        window: dict[str, tuple[int, ...]] = {
            "taps": (1, 1),
            "strides": (1, 1),
            "dilations": (1, 1),
            "size": (1, work.pixels),
        }
        if op.name == "q.conv":
            kernel, size = op.operands[1].shape[2:], op.result.shape[2:]
            window = {"taps": kernel, "strides": op.attrs["strides"], "dilations": op.attrs["dilations"], "size": size}
        layout = nibble_planes({**window, "planes": self.planes, "in_channels": work.in_c * work.group})
        return layout if layout.total_bytes <= MOST_BYTES and self.classes <= MOST_CLASSES else None

    @property
    def images(self) -> int:
        """Each of which its kernel is called for."""
        return self.op.result.shape[0] if self.op.name == "q.conv" else 1

    @property
    def plain_ns(self) -> float:
        """Nanoseconds on words of channels. Kernels multiply once where two planes are equal under a tile of pixels."""
        costs = COSTS[self.isa]
        if self.work.group == 1 and seldom_between(self.op.operands[0]):
            return twins_ns(self.work, costs, padded_tiles(self.op, costs.tile[0]))
        return self.planes * plane_ns(self.work, costs)

    @property
    def tables_ns(self) -> float:
        """Nanoseconds by tables, where there can be any."""
        return tables_ns(self.work, self.costs, self.lanes, self.blocks, self.planes, self.triples, self.bits)

    @property
    def work(self) -> Work:
        return work_of(self.op)

    @property
    def planes(self) -> int:
        source = self.op.operands[0].type
        assert isinstance(source, CodeType)
        return source.levels.planes

    @property
    def triples(self) -> int:
        """Tables, 0 where there can be none: they hold for one group, and index as many columns as trees."""
        work = self.work
        triples = triples_of(work.taps * work.in_c * self.planes) if work.group == 1 else 0
        return triples if 4 * triples <= MOST_TERMS else 0

    @property
    def costs(self) -> Sliced:
        return SLICED.get(self.isa, SLICED["portable"])

    @property
    def blocks(self) -> int:
        return _blocks(self.op, self.lanes)

    @property
    def lanes(self) -> int:
        return LANES.get(self.isa, LANES["portable"])


def seldom_between(codes: Value) -> bool:
    """Whether ``codes`` of three levels take the middle one for one value of a number only, as Sign does for 0: then their planes are
    almost always equal."""
    op = codes.producer
    while op is not None and op.name in ("q.max_pool", "nn.reshape"):
        op = op.operands[0].producer
    if op is None or op.name != "q.threshold" or op.operands[1].shape[1] != 2:
        return False
    t, _ = threshold_tables(op)
    ordered = np.sort(t, axis=1)
    if ordered.dtype.kind == "f":  # neighbouring floats are neighbouring integers, but for the two zeros
        bits = ordered.astype(np.float32).view(np.int32).astype(np.int64)
        ordered = np.where(bits < 0, -(bits & INT32 - 1), bits)
    return bool((ordered[:, 1].astype(np.int64) - ordered[:, 0] <= ONE_VALUE).all())


def padded_tiles(op: Op, tile: int) -> float:
    """The part of the tiles of ``tile`` neighbouring pixels whose windows meet padding with the middle level, where planes differ."""
    if op.name != "q.conv" or op.attrs["pad_level"]:
        return 0.0
    inside = 1.0
    (x, w), (top, left, _, _) = op.operands, op.attrs["pads"]
    for axis, (pad, wide) in enumerate(((top, 1), (left, tile)), start=2):
        step, reach = op.attrs["strides"][axis - 2], (w.shape[axis] - 1) * op.attrs["dilations"][axis - 2]
        first = np.arange(op.result.shape[axis]) * step - pad
        within = (first >= 0) & (first + reach < x.shape[axis])
        whole = np.pad(within, (0, -len(within) % wide), constant_values=True).reshape(-1, wide)
        inside *= whole.all(axis=1).mean()
    return float(1 - inside)


def product_ns(op: Op, isa: str, bits: int) -> float:
    """What a product of bits costs on words of channels, or by tables where its form says so; it ends as :class:`_Weighing` has it."""
    weighing = _Weighing(op, isa, bits)
    return weighing.tables_ns if op.attrs["form"] == "tables" else weighing.plain_ns


def _us(ns: float) -> str:
    return f"{ns / 1000:.3g} us"


def trees_of(op: Op) -> list[ChannelTree]:
    """The trees of a product of codes by weights ±a, one a group."""
    codes = code_constant(op.operands[1])
    rows = codes.reshape(codes.shape[0], -1) if op.name == "q.conv" else codes.T
    return [channel_tree(part < 0) for part in np.split(rows, op.attrs.get("group", 1))]


def _blocks(op: Op, lanes: int) -> int:
    """Vectors of pixels, over all images."""
    if op.name == "q.matmul":
        return -(-prod(op.operands[0].shape[:-1]) // lanes)
    images, _, *size = op.results[0].shape
    kernel, attrs = op.operands[1].shape[2:], op.attrs
    geometry = plane_geometry((kernel[0], kernel[1]), attrs["strides"], attrs["dilations"], (size[0], size[1]))
    return int(images * geometry.blocks((size[0], size[1]), lanes))
