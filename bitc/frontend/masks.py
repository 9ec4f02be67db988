"""Handlers of ops that lay a pattern known when compiling over a tensor, or make one: triangles, diagonals, crops."""

from __future__ import annotations

from math import prod

import numpy as np

from bitc.frontend.elementwise import cast_to
from bitc.frontend.node import Node, dtype_of, handles
from bitc.frontend.tensor import reshaped
from bitc.frontend.tensors import dtype_name, ir_dtype
from bitc.ir import DType, Value


@handles("Trilu", since=14)
def triangle(n: Node) -> Value:
    """y = x on and above (``upper`` = 0: below) the diagonal k of each matrix, 0 elsewhere"""
    x, k = n.x(), n.maybe_array(1, "k")
    if len(x.shape) < 2:
        raise n.broken("Trilu takes matrices", str(x.type))
    shift = 0 if k is None else int(k.reshape(-1)[0])
    full = np.ones(x.shape[-2:], np.bool_)
    kept = np.triu(full, shift) if n.integer("upper", 1) else np.tril(full, shift)
    return n.emit("nn.where", n.constant(kept), x, n.scalar(0, x))


@handles("EyeLike", since=9)
def diagonal(n: Node) -> Value:
    """1 on the diagonal k, 0 elsewhere, in the shape of x"""
    x = n.x()
    number = n.integer("dtype", 0)
    dtype = dtype_of(x) if not number else ir_dtype(number)
    if dtype is None:
        raise n.unsupported("EyeLike makes " + ", ".join(DType), dtype_name(number), code="U004")
    if len(x.shape) != 2:
        raise n.broken("EyeLike takes a matrix", str(x.type))
    return n.constant(np.eye(*x.shape, k=n.integer("k", 0), dtype=dtype.numpy))


@handles("Hardmax")
def hardmax(n: Node) -> Value:
    """y = 1 at the first largest element along ``axis`` (before opset 13 along all axes from there on), 0 elsewhere"""
    x = n.x()
    axis = n.axis(n.integer("axis", -1 if n.opset >= 13 else 1), len(x.shape))
    seen = x if n.opset >= 13 else reshaped(n, x, (*x.shape[:axis], prod(x.shape[axis:])))
    best = n.emit("nn.argmax", seen, axis=axis, keepdims=True)
    counted = np.arange(seen.shape[axis]).reshape(-1, *(1,) * (len(seen.shape) - axis - 1))
    return reshaped(n, cast_to(n, n.emit("nn.equal", best, n.constant(counted)), dtype_of(x)), x.shape)


@handles("CenterCropPad", since=18)
def center_crop_pad(n: Node) -> Value:
    """The middle of x, or x amid zeros, so that the axes have the given sizes"""
    x, sizes = n.x(), n.int_list(1, "shape")
    rank = len(x.shape)
    axes = [n.axis(axis, rank) for axis in n.integers("axes") or range(rank)]
    if len(sizes) != len(axes) or min(sizes, default=0) < 0:
        raise n.broken("CenterCropPad gives a size for each axis", f"axes {axes}, sizes {sizes}")
    starts, stops, pads = [0] * rank, list(x.shape), [0] * (2 * rank)
    for axis, size in zip(axes, sizes, strict=True):
        spare = x.shape[axis] - size
        if spare >= 0:
            starts[axis], stops[axis] = spare // 2, spare // 2 + size
        else:
            pads[axis], pads[rank + axis] = -spare // 2, -spare - -spare // 2
    cropped = n.emit("nn.slice", x, starts=starts, stops=stops, steps=[1] * rank)
    return n.emit("nn.pad", cropped, pads=pads, value=0.0) if any(pads) else cropped
