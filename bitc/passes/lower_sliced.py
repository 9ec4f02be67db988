"""Lowering of products of bits that run along trees of their channels: tables for the kernels of ``runtime/sliced.h``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.ir import Op, Value
from bitc.ir.k import Halo, class_counts, class_map
from bitc.ir.sliced import Walk, all_lanes, class_masks, comparisons_of, geometry_of, tables_of, walk_of
from bitc.passes.lowering import Lowering


@dataclass(frozen=True, slots=True)
class BitProduct:
    """A product of ``planes`` planes of bits by ``signs`` ±1 [M, C/group, KH, KW]: its operand's buffer, windows and border classes."""

    op: Op
    x: Value
    signs: np.ndarray
    planes: int
    group: int
    windows: dict[str, Any]
    classes: dict[str, Any]

    def attrs(self, **more: Any) -> dict[str, Any]:
        """Those of all kernels whose lanes are pixels (:mod:`bitc.ir.k_pixels`), and ``more``."""
        return {
            **self.windows,
            **self.classes,
            "channels": self.signs.shape[0],
            "in_channels": self.signs.shape[1] * self.group,
            "planes": self.planes,
            "terms": self.signs[0].size,
            **more,
        }


def sliced_acc(product: BitProduct, base: np.ndarray, step: int, low: Lowering) -> Value:
    """``k.sliced_acc`` with ``base`` [classes, M]."""
    attrs, walk = _attrs(product, low)
    operands = (product.x, *map(low.constant, (walk.nodes, walk.terms, walk.by_channel(), base.astype(np.int32))))
    made, _ = low.builder.add_multi("k.sliced_acc", *operands, loc=product.op.loc, step=step, **attrs)
    return made


def sliced_bits(product: BitProduct, limit: np.ndarray, flip: np.ndarray, halo: Halo, low: Lowering) -> Value:
    """``k.sliced_bits`` with ``limit`` [planes, classes, M] and ``flip`` bool [M]."""
    attrs, walk = _attrs(product, low)
    counts, classes = class_counts(attrs), class_map(attrs["row_class"], attrs["col_class"], attrs["size"])
    tests = comparisons_of(walk, product.planes * product.signs[0].size, limit, flip, counts)
    masks = class_masks(classes, counts[0] * counts[1], geometry_of(attrs).pitch, all_lanes(attrs))
    operands = (product.x, *map(low.constant, (walk.nodes, walk.terms, tests.flags, tests.codes, masks)))
    made, _ = low.builder.add_multi("k.sliced_bits", *operands, loc=product.op.loc, halo=halo, **attrs)
    return made


def _attrs(product: BitProduct, low: Lowering) -> tuple[dict[str, Any], Walk]:
    if product.op.attrs["form"] == "tables":
        walk = tables_of(product.signs, product.planes)
    else:
        walk = walk_of(product.signs, product.group, product.planes)
    counters = {"slots": walk.slots, "counter_planes": walk.counter_planes, "triples": walk.triples}
    return product.attrs(**counters, lanes=low.forms.lanes), walk
