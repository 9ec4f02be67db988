"""``equal-channels``: output channels of bit products whose weights are equal or opposite are computed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, CodeType, Graph, Levels, Op, Value, rewrite
from bitc.ir.bit_moves import picked_bits
from bitc.passes.base import Pass
from bitc.passes.costs import COSTS
from bitc.passes.facts import INT32
from bitc.passes.integers import runs_as_bits
from bitc.passes.lower_codes import fused_threshold, threshold_tables
from bitc.passes.mst_reorder import product_ns
from bitc.passes.padding import code_constant

MOST_PLANES = 4
"""Thresholds that a channel is tried with: more of them for one channel of many are wasted on the others."""

STEP_NS, NUMBER_NS = 1.0, 1.5
"""Moving some bits of a word of a pixel, and an int32: measured in plain C on a Zen 3, which all targets run, and rounded up."""

SURE = 0.9
"""Channels are shared where that should cost less than this part of computing all: the figures are good to a tenth."""


@dataclass(frozen=True)
class EqualChannels(Pass):
    """Where w_c = s_c·v_u(c) for fewer distinct rows v, s = ±1, with a = conv(x, v), and e_c = t_c, -t_c as s_c says::

        conv(x, w)_c                   =   s_c · a_u(c)                                         where numbers follow
        threshold(conv(x, w), t)_c     =   q.pick(threshold(a, all e_c of u))_c                  where bits follow

    exact in integers: ``s·a >= t`` is ``a >= t`` or ``a <= -t``, that is ``not a >= 1 - t``. The thresholds of all channels with the same
    row are the planes of one thermometer code, so a row is multiplied once however many thresholds follow; a row with more than the
    planes that cost least is computed again. Rows of one group only, and a border's constants count as weights of a row.

    The next layer cannot absorb the copies: its weights for equal inputs, ±1 ± 1, would be 0 or ±2. So bits are copied, and that is
    weighed against what is saved with ``costs`` (:mod:`bitc.passes.costs`). Products along trees are left alone: there an equal
    channel is a node without terms.
    """

    name: ClassVar[str] = "equal-channels"
    costs: str = "portable"

    def run(self, graph: Graph) -> Graph:
        if self.costs not in COSTS:
            hint = f"costs: {', '.join(COSTS)}"
            raise OptionError(Diagnostic("O025", "equal-channels cannot be run like this", here=self.costs, hint=hint))
        ends, said = set(_ends(graph)), list[tuple[str, str]]()

        def rule(op: Op, b: Builder) -> Value | None:
            if ends.isdisjoint(op.results):
                return None
            layer = _Layer.ending(op)
            if len(layer.rows) == len(layer.signs):
                return None
            every_ns = product_ns(layer.product, self.costs, layer.planes)
            made = layer.bits(self.costs, b) if layer.threshold is not None else layer.numbers(self.costs, b)
            if made.ns >= SURE * every_ns:
                return None
            said.append((layer.product.loc, f"{made.computed} of {len(layer.signs)} channels computed"))
            return made.value

        after = rewrite(graph, rule)
        after.attrs["form_costs"] = (*graph.attrs.get("form_costs", ()), *said)
        return after


def _ends(graph: Graph) -> Iterator[Value]:
    """For each product that may share channels what its kernel ends with: the result of a threshold, of a border, or its own."""
    users = graph.users()
    for op in graph.ops:
        if op.name not in ("q.conv", "q.matmul") or op.attrs["form"] not in ("", "tables") or not runs_as_bits(op):
            continue
        if op.attrs.get("group", 1) > 1 or len(op.operands[0].shape) not in (2, 4):
            continue
        end, readers = fused_threshold(op, graph, users), users[op.result]
        if end is None:
            bordered = len(readers) == 1 and readers[0].name == "q.border" and op.result not in graph.outputs
            end = readers[0] if bordered else op
        yield end.result


@dataclass(frozen=True, slots=True)
class _Made:
    """A layer whose channels are shared, what it costs, and how many channels it computes."""

    value: Value
    ns: float
    computed: int


@dataclass(frozen=True, slots=True)
class _Layer:
    """A product with its border and threshold, if any. Channel c has ``signs[c]`` times the weights ``rows[row[c]]``: ``signs`` ±1 [C],
    ``rows`` levels [U, n], ``row`` [C]; ``table`` [classes, U] are the border's constants of the rows."""

    product: Op
    border: Op | None
    threshold: Op | None
    signs: np.ndarray
    rows: np.ndarray
    row: np.ndarray
    table: np.ndarray

    @staticmethod
    def ending(op: Op) -> _Layer:
        """The layer whose last op is ``op``."""
        threshold = op if op.name == "q.threshold" else None
        end = op.operands[0].producer if threshold is not None else op
        border = end if end is not None and end.name == "q.border" else None
        product = end if border is None else border.operands[0].producer
        assert product is not None
        codes = code_constant(product.operands[1])
        weights = codes.reshape(len(codes), -1) if product.name == "q.conv" else codes.T
        added = np.zeros((1, len(weights)), np.int32) if border is None else border.operands[1].constant
        assert added is not None
        signs = np.sign(weights[:, 0])
        whole = np.concatenate([weights, added.T], axis=1) * signs[:, np.newaxis]
        _, first, row = np.unique(whole, axis=0, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))  # by their first channels: most bits of a word then move together
        rows = whole[np.sort(first)]
        n = weights.shape[1]
        return _Layer(product, border, threshold, signs, rows[:, :n], rank[row.reshape(-1)], rows[:, n:].T)

    @property
    def planes(self) -> int:
        """Bits of a channel's result, 0 for numbers."""
        return self.threshold.operands[1].shape[1] if self.threshold is not None else 0

    def product_of(self, rows: np.ndarray, b: Builder) -> Value:
        """The product, and its border, with these rows as channels."""
        product, loc = self.product, self.product.loc
        x, w = product.operands
        weights = self.rows[rows].T if product.name == "q.matmul" else self.rows[rows].reshape(-1, *w.shape[1:])
        assert isinstance(w.type, CodeType)
        codes = b.add("q.encode", b.constant(weights.astype(np.float32)), levels=w.type.levels, loc=loc)
        acc = b.add(product.name, x, codes, loc=loc, **product.attrs)
        if self.border is None:
            return acc
        table = b.constant(np.ascontiguousarray(self.table[:, rows]))
        return b.add("q.border", acc, table, loc=loc, **self.border.attrs)

    def product_ns(self, made: Value, costs: str, planes: int) -> float:
        """What the product costs that ends in ``made``."""
        op = made.producer if self.border is None else made.producer and made.producer.operands[0].producer
        assert op is not None
        return product_ns(op, costs, planes)

    def numbers(self, costs: str, b: Builder) -> _Made:
        """Each row's accumulator, gathered, with its sign."""
        acc = self.product_of(np.arange(len(self.rows)), b)
        shape = (1, -1, *[1] * (len(acc.shape) - 2))
        value = b.add("nn.gather", acc, axis=1, indices=self.row, loc=self.product.loc)
        if (self.signs < 0).any():
            signs = b.constant(self.signs.astype(np.int32).reshape(shape))
            value = b.add("nn.mul", value, signs, loc=self.product.loc)
        ns = self.product_ns(acc, costs, 0) + NUMBER_NS * prod(value.shape)
        return _Made(value, ns, len(self.rows))

    def bits(self, costs: str, b: Builder) -> _Made:
        """The planes of as many thresholds of a row at once as cost least."""
        edges, turned = self.edges()
        tried = [self.bits_of(planes, edges, turned, costs, b) for planes in range(1, MOST_PLANES + 1)]
        return min(tried, key=lambda made: made.ns)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds e int64 [C, P] on the rows' accumulators a, whether the bits are those of ``not a >= e``: bool [C]."""
        assert self.threshold is not None
        t, descending = threshold_tables(self.threshold)
        ordered = np.sort(t.astype(np.int64), axis=1)
        ordered = np.where(descending[:, np.newaxis], ordered[:, ::-1], ordered) * self.signs[:, np.newaxis]
        turned = descending ^ (self.signs < 0)
        return np.clip(ordered + turned[:, np.newaxis], -INT32, INT32 - 1), turned

    def bits_of(self, planes: int, edges: np.ndarray, turned: np.ndarray, costs: str, b: Builder) -> _Made:
        """``planes`` thresholds of a row at a time, the rest in channels that compute it again."""
        assert self.threshold is not None
        row, channel, plane, tables = list[int](), np.zeros_like(edges), np.zeros_like(edges), list[np.ndarray]()
        for u in range(len(self.rows)):
            members = self.row == u
            distinct, place = np.unique(edges[members], return_inverse=True)
            place = place.reshape(edges[members].shape)
            channel[members], plane[members] = len(row) + place // planes, place % planes
            count = -(-len(distinct) // planes)
            row += [u] * count
            filled = np.full(count * planes, INT32 - 1)
            filled[: len(distinct)] = distinct
            tables.append(filled.reshape(count, planes))
        acc, loc = self.product_of(np.array(row), b), self.threshold.loc
        thresholds, upwards = b.constant(np.concatenate(tables).astype(np.int32)), b.constant(np.zeros(len(row), bool))
        codes = b.add("q.threshold", acc, thresholds, upwards, levels=Levels(0, 1, planes + 1), loc=loc)
        turns = np.broadcast_to(turned[:, np.newaxis], edges.shape)
        picked = [
            b.constant(np.ascontiguousarray(table))
            for table in (channel.astype(np.int32), plane.astype(np.int32), turns)
        ]
        value = b.add("q.pick", codes, *picked, loc=loc, **self.threshold.attrs)
        pixels = prod(value.shape) // len(self.signs)
        moves = picked_bits(channel, plane, turns, len(row))
        tests_ns = (planes - 1) * len(row) * pixels * COSTS[costs].pack_ns
        ns = self.product_ns(acc, costs, planes) + tests_ns + STEP_NS * len(moves.masks) * pixels
        return _Made(value, ns, len(row))
