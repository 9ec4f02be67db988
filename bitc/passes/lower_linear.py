"""Lowering of products that are not numbers times one constant matrix: computed weights, stacks of matrices, other dtypes."""

from __future__ import annotations

from math import prod

import numpy as np

from bitc.ir import CodeType, DType, Op, TensorType, Value
from bitc.ir.k_matrices import pack_matrices
from bitc.passes import lower_numbers
from bitc.passes.gemm_costs import FEW
from bitc.passes.lower_moves import arrange
from bitc.passes.lower_numbers import product_window
from bitc.passes.lowering import Lowering, Refused, tensor_type
from bitc.passes.stacks import Products, by_packed_right, products_of, two_axes


def lower_conv(op: Op, low: Lowering) -> None:
    """``nn.conv``: with constant float weights as the blocked convolution, with computed ones after packing them, else plain."""
    x, w = op.operands
    if w.constant is not None and _dtype(x) is DType.F32:
        lower_numbers.lower_product(op, low)
        return
    if len(x.shape) != 4:
        raise Refused("U133", f"convolves an image of rank {len(x.shape)}", "images are [N,C,H,W]", str(x.type))
    channels, terms, *taps = w.shape
    group, halo = op.attrs["group"], low.halo(op.result)
    source, attrs = product_window(op, np.empty((channels, terms, *taps), np.bool_), 0.0, low)
    weights = low.dense(w, op)  # [M, KH, KW, C/group]: an image, channels last
    depth, own = prod(taps) * terms, channels // group
    if _dtype(x) is not DType.F32:
        made = low.add("k.plain_conv", source, weights, like=op, group=group, halo=halo, **attrs)
    elif group > 1 and terms == own == 1:
        moved = low.add("k.strided", weights, shape=(*taps, group), strides=(taps[1], 1, depth), like=op)
        made = low.add("k.fdepthwise", source, moved, like=op, halo=halo, **attrs)
    else:
        block = low.forms.float_block
        packed = low.add(
            "k.pack_matrices", weights, like=op, stack=(group, 1), steps=(own * depth, 0), size=(depth, own),
            strides=(1, depth), block=block,
        )  # fmt: skip
        blocked = {"channels": channels, "block": block, "group": group}
        made = low.add("k.fconv", source, packed, like=op, halo=halo, **attrs, **blocked)
    low.put(op.result, made, halo)


def lower_matmul(op: Op, low: Lowering) -> None:
    """``nn.matmul``: one constant matrix on the right as the fully connected layer; else stacks of matrices."""
    a, b = op.operands
    floats = _dtype(a) is DType.F32
    if floats and b.constant is not None and b.constant.ndim == 2 and a.constant is None:
        lower_numbers.lower_product(op, low)
        return
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    stack, left, right = products_of(op, low)
    if floats and min(m, n) >= FEW:
        made = _gemm(op, by_packed_right(op, stack, left, right, low), (k, n), low)
    else:
        outer, inner = two_axes(stack)
        made = low.add(
            "k.matmul", left.value, right.value, like=op, stack=(outer.count, inner.count), a_steps=(outer.a, inner.a),
            b_steps=(outer.b, inner.b), size=(m, k, n), a_strides=(left.rows, left.columns),
            b_strides=(right.rows, right.columns),
        )  # fmt: skip
    low.put(op.result, arrange(made, range(len(op.result.shape)), tensor_type(op.result), op, low))


def _gemm(op: Op, found: Products, size: tuple[int, int], low: Lowering) -> Value:
    """Rows of the left side, read where they lie, times the packed matrices of the right side."""
    left, right, outer, inner = found.left, found.right, found.outer, found.inner
    block = low.forms.float_block
    if right.value.constant is not None:
        matrices = np.lib.stride_tricks.as_strided(
            right.value.constant.reshape(-1),
            (*found.matrices, *size),
            [4 * s for s in (outer.b, inner.b, right.rows, right.columns)],
        )
        packed = low.constant(pack_matrices(matrices.reshape(-1, *size), block))
    else:
        packed = low.add(
            "k.pack_matrices", right.value, like=op, stack=found.matrices, steps=(outer.b, inner.b), size=size,
            strides=(right.rows, right.columns), block=block,
        )  # fmt: skip
    return low.add(
        "k.gemm", left.value, packed, like=op, stack=(outer.count, inner.count), a_steps=(outer.a, inner.a),
        w_steps=found.steps, rows=found.rows, row=left.rows, channels=size[1], block=block,
    )  # fmt: skip


def _dtype(x: Value) -> DType:
    if isinstance(x.type, CodeType):
        raise Refused("U122", "reads packed codes", "products of numbers read numbers", str(x.type))
    assert isinstance(x.type, TensorType)
    return x.type.dtype
