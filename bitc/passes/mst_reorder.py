"""``mst-reorder``: products of bits are computed along minimum spanning trees of their channels, where that costs less."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, CodeType, Graph, Op, Value, rewrite
from bitc.ir.channel_tree import ChannelTree, channel_tree
from bitc.ir.sliced import LANES, MOST_TERMS, plane_geometry
from bitc.passes.base import Pass
from bitc.passes.costs import COSTS, SLICED, plane_ns, sliced_ns
from bitc.passes.integers import runs_as_bits
from bitc.passes.lower_codes import fused_threshold
from bitc.passes.padding import code_constant
from bitc.passes.split_planes import work_of

USES = ("auto", "on", "off")

SURE = 0.9
"""Trees are taken where they should cost less than this part of the other form: the figures are good to a tenth."""

LEAST_GAIN_NS = 5000.0
"""And where they save so much: each product's tables are kept beside kernels that the network may not need otherwise."""


@dataclass(frozen=True)
class MstReorder(Pass):
    """Output channel c is its parent p in a tree, s = ±1, corrected where their weights ±1 differ (:mod:`bitc.ir.channel_tree`)::

        conv(x, w_c)  =  s·conv(x, w_p)  +  2·sum over {i : w_c[i] != s·w_p[i]} of w_c[i]·x[i]

    exact in integers. Products so marked (``form = "trees"``) run on planes of pixels, where a weight costs one addition, in the tree's
    order; each channel's results are written to its own place, so no reader is affected and nothing needs to be permuted. A grouped
    product has a tree for each group.

    ``use``: ``auto`` marks what ``costs`` (:mod:`bitc.passes.costs`) says is faster so, ``on`` whatever can be marked, ``off`` nothing.
    The graph's attribute ``form_costs`` gets (ONNX node, text) for each product it weighed or declined; where all there is to gain is less
    than :data:`LEAST_GAIN_NS`, nothing is weighed.
    """

    name: ClassVar[str] = "mst-reorder"
    costs: str = "portable"
    use: str = "auto"

    def run(self, graph: Graph) -> Graph:
        if self.costs not in COSTS or self.use not in USES:
            here = f"costs={self.costs}, use={self.use}"
            hint = f"costs: {', '.join(COSTS)}; use: {', '.join(USES)}"
            raise OptionError(Diagnostic("O026", "mst-reorder cannot be run like this", here=here, hint=hint))
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
            choice = _weigh(op, self.costs, bits, hurry=self.use == "auto")
            if self.use == "on" or choice.dense_ns >= LEAST_GAIN_NS:
                weighed.append((op.loc, choice.text))
            if self.use == "auto" and not choice.pays:
                return None
            return b.add(op.name, *op.operands, loc=op.loc, **{**op.attrs, "form": "trees"})

        after = rewrite(graph, rule)
        after.attrs["form_costs"] = (*graph.attrs.get("form_costs", ()), *weighed)
        return after


@dataclass(frozen=True, slots=True)
class Choice:
    """What a product costs with trees and without, and how that is said."""

    trees_ns: float
    dense_ns: float
    text: str

    @property
    def pays(self) -> bool:
        """Whether trees surely cost less, and it matters."""
        return self.trees_ns < SURE * self.dense_ns and self.dense_ns - self.trees_ns >= LEAST_GAIN_NS


def _why_not(op: Op) -> str | None:
    """Why a product cannot run along trees."""
    source = op.operands[0].type
    assert isinstance(source, CodeType)
    if len(source.shape) not in (2, 4):
        return f"codes of rank {len(source.shape)}"
    work = work_of(op)
    terms = work.taps * work.in_c * work.group * source.levels.planes
    return f"{terms} terms, at most {MOST_TERMS} are counted" if terms > MOST_TERMS else None


def _weigh(op: Op, isa: str, bits: int, hurry: bool) -> Choice:
    """The choice for a product that ends in ``bits`` bits a channel, or in numbers. In a ``hurry`` trees are not looked for where even
    equal channels would cost more than the kernels without."""
    source = op.operands[0].type
    assert isinstance(source, CodeType)
    work, planes, costs = work_of(op), source.levels.planes, COSTS[isa]
    sliced = SLICED.get(isa, SLICED["portable"])
    dense_ns = planes * plane_ns(work, costs)
    terms = work.taps * work.in_c
    least = work.group * terms
    blocks = _blocks(op, LANES.get(isa, LANES["portable"]))
    bound = sliced_ns(work, sliced, blocks, planes, least, bits)
    if hurry and bound >= dense_ns:
        text = f"{planes}x1 planes {dense_ns / 1000:.3g} us, trees at least {bound / 1000:.3g} us"
        return Choice(bound, dense_ns, text)
    trees = trees_of(op)
    trees_ns = sliced_ns(work, sliced, blocks, planes, least + sum(tree.total for tree in trees), bits)
    distance = float(np.mean([tree.mean_distance for tree in trees]))
    depth = max(int(tree.depth.max()) for tree in trees)
    found = f"trees {trees_ns / 1000:.3g} us (d {distance:.3f}, depth {depth})"
    dense = f"{planes}x1 planes {dense_ns / 1000:.3g} us"
    return Choice(trees_ns, dense_ns, ", ".join((found, dense) if trees_ns < dense_ns else (dense, found)))


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
