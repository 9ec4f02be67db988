"""Lowering of ops on integer tensors: products with constant weights, max pools."""

from __future__ import annotations

from math import prod

import numpy as np

from bitc.ir import DType, Op, TensorType
from bitc.ir.integer_packing import (
    LONG_CHAIN,
    longest_chain,
    pack_depthwise_weights,
    pack_integer_base,
    pack_integer_weights,
    runs_of,
)
from bitc.ir.placed_weights import SIDE, Walk, place_weights
from bitc.ir.winograd import pack_winograd_weights
from bitc.passes.gemm_storages import MOST_INT16
from bitc.passes.integers import by_winograd
from bitc.passes.lower_coded import coded_product
from bitc.passes.lower_moves import arrange, as_shape
from bitc.passes.lower_numbers import lower_pool, product_window
from bitc.passes.lowering import Lowering, physical_shape, tensor_type
from bitc.passes.stacks import by_packed_right, products_of


def lower_product(op: Op, low: Lowering) -> None:
    """``q.int_conv`` and ``q.int_matmul``: ``k.idepthwise`` where each channel is a group of its own, ``k.iwinograd``, kernels on codes
    (:mod:`bitc.passes.lower_coded`), ``k.iconv_placed`` or ``k.iconv``."""
    weights, base = op.operands[1].constant, op.operands[2].constant
    assert weights is not None, "the weights are computed"
    assert base is not None, "the base is computed"
    if op.name == "q.int_matmul":
        weights = weights.T.reshape(weights.shape[1], weights.shape[0], 1, 1)
    group = op.attrs.get("group", 1)
    x, attrs = product_window(op, weights, float(op.attrs.get("pad_value", 0)), low)
    form, side = low.forms.integers, low.forms.integers.side(tensor_type(op.operands[0]).dtype)  # type: ignore[union-attr]
    if group > 1 and weights.shape[:2] == (group, 1):
        columns = attrs["size"][1]
        by_row = group < form.depthwise_block <= columns * group and attrs["strides"][1] == 1
        times = columns if by_row else 1
        lanes = np.tile(weights[:, 0].transpose(1, 2, 0), times)
        packed = pack_depthwise_weights(lanes, form.depthwise_block, form.depthwise_side)
        constants = low.constant(packed), low.constant(np.tile(base, times))
        made = low.add("k.idepthwise", x, *constants, like=op, by_row=by_row, **attrs)
    elif not _on_bytes(op) and by_winograd(op, weights, form, op.attrs["highest"]):
        assert form.winograd is not None
        packed = pack_winograd_weights(weights, form.block, side)
        operands = (packed, pack_integer_base(base, 1, form.block))
        attrs |= {"channels": weights.shape[0], "together": form.winograd.rows(attrs["size"])}
        made, _ = low.builder.add_multi("k.iwinograd", x, *map(low.constant, operands), loc=op.loc, **attrs)
    elif _on_bytes(op) and group == 1 and (found := coded_product(op, weights, base, x, attrs, low)) is not None:
        made = found
    else:
        columns, channels = x.shape[2:]
        runs = runs_of(weights.shape[2:], attrs["dilations"], columns, channels, group)
        packed = pack_integer_weights(weights, group, runs, form.block, side)
        attrs |= {"channels": weights.shape[0], "group": group}
        chain = longest_chain(packed, op.attrs["highest"]) if side == 4 else 0
        bases = low.constant(pack_integer_base(base, group, form.block))
        if _on_bytes(op) and form.growth and chain < LONG_CHAIN and runs.length >= SIDE:
            walk = Walk(attrs["dilations"][0] * columns * channels, attrs["dilations"][1] * channels)
            placed = place_weights(weights, group, runs, walk, form.block, op.attrs["highest"])
            made = low.add("k.iconv_placed", x, *map(low.constant, placed), bases, like=op, **attrs)
        else:
            made = low.add("k.iconv", x, low.constant(packed), bases, like=op, chain=chain, **attrs)
    low.put(op.result, as_shape(made, physical_shape(tensor_type(op.result)), op, low))


def lower_gemm(op: Op, low: Lowering) -> None:
    """``q.int_gemm``: rows of the left side, where they lie, by the packed matrices of the right one."""
    found = by_packed_right(op, *products_of(op, low), low)
    left, right, outer, inner = found.left, found.right, found.outer, found.inner
    depth, columns = op.operands[1].shape[-2:]
    stored = tensor_type(op.operands[0]).dtype  # type: ignore[union-attr]
    form, most = low.forms.integers, (op.attrs["x_highest"], op.attrs["y_highest"])
    packed, base = low.builder.add_multi(
        "k.pack_integers", right.value, loc=op.loc, stack=found.matrices, steps=(outer.b, inner.b), size=(depth, columns),
        strides=(right.rows, right.columns), block=form.block, side=form.side(stored), lowest=op.attrs["lowest"],
    )  # fmt: skip
    made = low.add(
        "k.igemm", left.value, packed, base, like=op, stack=(outer.count, inner.count), x_steps=(outer.a, inner.a),
        w_steps=found.steps, rows=found.rows, row=left.rows, depth=depth, channels=columns,
        chain=MOST_INT16 // (2 * prod(most)) if stored is DType.U8 else 0,
    )  # fmt: skip
    low.put(op.result, arrange(made, range(len(op.result.shape)), tensor_type(op.result), op, low))


def _on_bytes(op: Op) -> bool:
    return isinstance(op.operands[0].type, TensorType) and op.operands[0].type.dtype is DType.U8


def lower_max_pool(op: Op, low: Lowering) -> None:
    """``nn.max_pool`` of u8, i8 or i16 images; of other numbers it is a float pool."""
    source = tensor_type(op.operands[0])
    if len(source.shape) != 4 or source.dtype not in (DType.U8, DType.I8, DType.I16):  # type: ignore[union-attr]
        lower_pool(op, low)
        return
    placed, pads, halo = low.use(op.operands[0]), op.attrs["pads"], low.halo(op.result)
    made = low.add(
        "k.ipool",
        placed.value,
        like=op,
        taps=op.attrs["kernel"],
        strides=op.attrs["strides"],
        dilations=op.attrs["dilations"],
        at=(-pads[0], -pads[1]),
        size=op.result.shape[2:],
        x_halo=placed.halo,
        halo=halo,
    )
    low.put(op.result, made, halo)
