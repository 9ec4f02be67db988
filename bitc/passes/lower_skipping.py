"""Lowering of products of bits that skip nibbles along trees of their channels: tables for the kernels of ``runtime/skip.h``."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.ir import Value
from bitc.ir.k import Halo, class_map
from bitc.ir.packing import pack_bits
from bitc.ir.skipping import NibblePlanes, Skips, lane_classes, limit_codes, nibble_planes, skips_of
from bitc.passes.lower_sliced import BitProduct
from bitc.passes.lowering import Lowering


def skip_acc(product: BitProduct, base: np.ndarray, step: int, low: Lowering) -> Value:
    """``k.skip_acc`` with ``base`` [classes, M]."""
    attrs, _, skips = _attrs(product)
    operands = (product.x, *map(low.constant, (skips.nodes, skips.entries, base.astype(np.int32))))
    made, _ = low.builder.add_multi("k.skip_acc", *operands, loc=product.op.loc, step=step, **attrs)
    return made


def skip_bits(product: BitProduct, limit: np.ndarray, flip: np.ndarray, halo: Halo, low: Lowering) -> Value:
    """``k.skip_bits`` with ``limit`` [planes, classes, M] and ``flip`` bool [M]."""
    attrs, layout, skips = _attrs(product)
    classes = class_map(attrs["row_class"], attrs["col_class"], attrs["size"])
    of_lanes = lane_classes(classes, layout.geometry.pitch, layout.blocks * layout.lanes)
    codes = limit_codes(limit, skips.nodes, product.planes * product.signs[0].size)
    operands = (product.x, *map(low.constant, (skips.nodes, skips.entries, of_lanes, codes, pack_bits(flip))))
    made, _ = low.builder.add_multi("k.skip_bits", *operands, loc=product.op.loc, halo=halo, **attrs)
    return made


def _attrs(product: BitProduct) -> tuple[dict[str, Any], NibblePlanes, Skips]:
    layout = nibble_planes(product.attrs())
    skips = skips_of(product.signs, product.group, product.planes, layout)
    return product.attrs(slots=skips.slots, lanes=layout.lanes), layout, skips
