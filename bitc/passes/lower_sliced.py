"""Lowering of products of bits that run along trees of their channels: tables for the kernels of ``runtime/sliced.h``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.ir import Op, Value
from bitc.ir.k import Halo, class_map
from bitc.ir.sliced import Walk, class_masks, comparisons_of, plane_geometry, tables_of, walk_of
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


def sliced_acc(product: BitProduct, base: np.ndarray, step: int, low: Lowering) -> Value:
    """``k.sliced_acc`` with ``base`` [classes, M]."""
    attrs, walk = _attrs(product, low)
    operands = (product.x, *map(low.constant, (walk.nodes, walk.terms, walk.by_channel(), base.astype(np.int32))))
    made, _ = low.builder.add_multi("k.sliced_acc", *operands, loc=product.op.loc, step=step, **attrs)
    return made


def sliced_bits(product: BitProduct, limit: np.ndarray, flip: np.ndarray, halo: Halo, low: Lowering) -> Value:
    """``k.sliced_bits`` with ``limit`` [planes, classes, M] and ``flip`` bool [M]."""
    attrs, walk = _attrs(product, low)
    size, lanes = attrs["size"], attrs["lanes"]
    rows, columns = (
        product.classes.get(key, ()) or (0,) * n for key, n in zip(("row_class", "col_class"), size, strict=True)
    )
    counts = (1 + max(rows), 1 + max(columns))
    tests = comparisons_of(walk, product.planes * product.signs[0].size, limit, flip, counts)
    geometry = plane_geometry(*(attrs[key] for key in ("taps", "strides", "dilations", "size")))
    classes = class_map(rows, columns, size)
    masks = class_masks(classes, counts[0] * counts[1], geometry.pitch, geometry.blocks(size, lanes) * lanes)
    operands = (product.x, *map(low.constant, (walk.nodes, walk.terms, tests.flags, tests.codes, masks)))
    made, _ = low.builder.add_multi("k.sliced_bits", *operands, loc=product.op.loc, halo=halo, **attrs)
    return made


def _attrs(product: BitProduct, low: Lowering) -> tuple[dict[str, Any], Walk]:
    if product.op.attrs["form"] == "tables":
        walk = tables_of(product.signs, product.planes)
    else:
        walk = walk_of(product.signs, product.group, product.planes)
    attrs = {
        **product.windows,
        **product.classes,
        "channels": product.signs.shape[0],
        "in_channels": product.signs.shape[1] * product.group,
        "planes": product.planes,
        "terms": product.signs[0].size,
        "slots": walk.slots,
        "counter_planes": walk.counter_planes,
        "triples": walk.triples,
        "lanes": low.forms.lanes,
    }
    return attrs, walk
