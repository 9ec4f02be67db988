"""Lowering of ops on integer tensors: products with constant weights, max pools."""

from __future__ import annotations

import numpy as np

from bitc.ir import DType, Op, TensorType
from bitc.ir.integer_packing import (
    IntegerForm,
    longest_chain,
    pack_depthwise_weights,
    pack_integer_base,
    pack_integer_weights,
    runs_of,
)
from bitc.ir.winograd import CHANNEL_STEP, pack_winograd_weights, winograd_is_exact
from bitc.passes.lower_moves import as_shape
from bitc.passes.lower_numbers import lower_pool, product_window
from bitc.passes.lowering import Lowering, physical_shape, tensor_type


def lower_product(op: Op, low: Lowering) -> None:
    """``q.int_conv`` and ``q.int_matmul``: ``k.idepthwise`` where each channel is a group of its own, ``k.iwinograd`` or ``k.iconv``."""
    weights, base = op.operands[1].constant, op.operands[2].constant
    assert weights is not None, "the weights are computed"
    assert base is not None, "the base is computed"
    if op.name == "q.int_matmul":
        weights = weights.T.reshape(weights.shape[1], weights.shape[0], 1, 1)
    group = op.attrs.get("group", 1)
    x, attrs = product_window(op, weights, float(op.attrs.get("pad_value", 0)), low)
    form, side = low.forms.integers, low.forms.integers.side(tensor_type(op.operands[0]).dtype)  # type: ignore[union-attr]
    if group > 1 and weights.shape[:2] == (group, 1):
        packed = pack_depthwise_weights(weights[:, 0].transpose(1, 2, 0), form.depthwise_block, form.depthwise_side)
        made = low.add("k.idepthwise", x, low.constant(packed), low.constant(base), like=op, **attrs)
    elif _by_winograd(op, weights, form):
        assert form.winograd is not None
        packed = pack_winograd_weights(weights, form.block, side)
        operands = (packed, pack_integer_base(base, 1, form.block))
        attrs |= {"channels": weights.shape[0], "together": form.winograd.rows(attrs["size"])}
        made, _ = low.builder.add_multi("k.iwinograd", x, *map(low.constant, operands), loc=op.loc, **attrs)
    else:
        columns, channels = x.shape[2:]
        runs = runs_of(weights.shape[2:], attrs["dilations"], columns, channels, group)
        packed = pack_integer_weights(weights, group, runs, form.block, side)
        operands = (packed, pack_integer_base(base, group, form.block))
        chain = longest_chain(packed, op.attrs["highest"]) if side == 4 else 0
        attrs |= {"channels": weights.shape[0], "group": group, "chain": chain}
        made = low.add("k.iconv", x, *map(low.constant, operands), like=op, **attrs)
    low.put(op.result, as_shape(made, physical_shape(tensor_type(op.result)), op, low))


def _by_winograd(op: Op, weights: np.ndarray, form: IntegerForm) -> bool:
    """Whether a product runs as ``k.iwinograd``: 3x3 taps on one group of i16 channels, where that is exact and faster."""
    attrs, (out_c, in_c), source = op.attrs, weights.shape[:2], op.operands[0].type
    if form.winograd is None or op.name != "q.int_conv" or not isinstance(source, TensorType):
        return False
    if source.dtype is not DType.I16:
        return False
    plain = attrs["group"] == 1 and set(attrs["strides"]) == {1} == set(attrs["dilations"])
    if not plain or weights.shape[2:] != (3, 3) or in_c % CHANNEL_STEP:
        return False
    rows, columns = op.result.shape[2:]
    return form.winograd.pays((rows, columns), in_c, out_c) and winograd_is_exact(weights, attrs["highest"])


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
