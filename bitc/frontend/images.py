"""Handlers of pools and of ops that rearrange images [N, C, spatial...]."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np

from bitc.frontend.linear import lifted, windows
from bitc.frontend.node import Node, dtype_of, handles
from bitc.ir import Value
from bitc.ir.numeric import dense_strides, lowest_value, window_count


@handles("MaxPool")
def max_pool(n: Node) -> Value | tuple[Value, ...]:
    """y = maximum over windows; the second output is the position of the first maximum in the flattened input"""
    y = _pool(n, "nn.max_pool", {})
    return (y, _places(n, y)) if len(n.proto.output) > 1 and n.proto.output[1] else y


def _places(n: Node, y: Value) -> Value:
    """Where each window's maximum lies: the argmax over its taps, looked up in a table of positions [outputs, taps]."""
    x, kernel = n.x(), n.integers("kernel_shape") or []
    strides, dilations, pads = windows(n, x.shape[2:], kernel)
    rank, batch, spatial = len(kernel), prod(x.shape[:2]), x.shape[2:]
    n.check_size(8 * prod(y.shape[2:]) * prod(kernel))
    taps, inside = [], []
    for axis, (size, count) in enumerate(zip(spatial, y.shape[2:], strict=True)):
        at = np.arange(count)[:, np.newaxis] * strides[axis] - pads[axis] + np.arange(kernel[axis]) * dilations[axis]
        place = [1] * (2 * rank)
        place[axis], place[rank + axis] = at.shape
        inside.append(((at >= 0) & (at < size)).reshape(place))
        taps.append(at.clip(0, size - 1).reshape(place))
    steps = dense_strides(spatial)
    memory = steps if not n.integer("storage_order", 0) else dense_strides(spatial[::-1])[::-1]
    shape = (prod(y.shape[2:]), prod(kernel))
    sources, table = (
        np.broadcast_to(sum(tap * step for tap, step in zip(taps, order, strict=True)), (*y.shape[2:], *kernel))
        for order in (steps, memory)
    )
    flat = n.emit("nn.reshape", x, shape=(batch, prod(spatial)))
    seen = n.emit("nn.gather", flat, indices=sources.reshape(shape), axis=1)
    real = np.broadcast_to(reduce(np.logical_and, inside), (*y.shape[2:], *kernel)).reshape(1, *shape)
    lowest = n.scalar(lowest_value(dtype_of(x).numpy), x)
    tap = n.emit("nn.argmax", n.emit("nn.where", n.constant(real), seen, lowest), axis=2, keepdims=True)
    positions = np.broadcast_to(table.reshape(1, *shape), (batch, *shape)).astype(np.int64)
    within = n.emit("nn.take_along", n.constant(positions), tap, axis=2)
    before = n.constant((np.arange(batch, dtype=np.int64) * prod(spatial)).reshape(batch, 1, 1))
    return n.emit("nn.reshape", n.emit("nn.add", within, before), shape=y.shape)


@handles("MaxUnpool")
def max_unpool(n: Node) -> Value:
    """y = 0, but x at the positions in the flattened result that MaxPool gave"""
    x, indices, kernel = n.x(0), n.x(1), n.integers("kernel_shape")
    if kernel is None or indices.shape != x.shape:
        raise n.broken("MaxUnpool needs kernel_shape and one index for each element", f"{x.type}, {indices.type}")
    strides, _, pads = windows(n, x.shape[2:], kernel)
    rank = len(kernel)
    spatial = [(size - 1) * strides[i] + kernel[i] - pads[i] - pads[rank + i] for i, size in enumerate(x.shape[2:])]
    shape = tuple(n.int_list(2, "the output shape")) if n.maybe(2) is not None else (*x.shape[:2], *spatial)
    n.check_size(4 * prod(shape))
    zeros = n.constant(np.zeros(prod(shape), dtype_of(x).numpy))
    flat = [n.emit("nn.reshape", value, shape=(prod(x.shape),)) for value in (indices, x)]
    return n.emit("nn.reshape", n.emit("nn.scatter_along", zeros, *flat, axis=0), shape=shape)


@handles("AveragePool")
def average_pool(n: Node) -> Value:
    """y = mean over windows, padding counted only with ``count_include_pad``"""
    return _pool(n, "nn.avg_pool", {"count_pad": bool(n.integer("count_include_pad", 0))})


def _pool(n: Node, op_name: str, extra: dict[str, bool]) -> Value:
    x, kernel = n.x(), n.integers("kernel_shape")
    if kernel is None or len(x.shape) < 3:
        raise n.broken(f"{n.op_type} takes an image [N, C, spatial...] and needs kernel_shape")
    strides, dilations, pads = windows(n, x.shape[2:], kernel)
    rank = len(kernel)
    if any(pad >= k for pad, k in zip(pads, [*kernel, *kernel], strict=True)):
        raise n.broken("padding is smaller than the kernel", f"pads {pads}, kernel {kernel}")
    ceil = bool(n.integer("ceil_mode", 0))
    for axis, size in enumerate(x.shape[2:]):
        ends = pads[axis], pads[axis + rank]
        n.check_size(8 * (size + sum(ends)))
        if _some_window_is_empty(size, kernel[axis], strides[axis], dilations[axis], *ends, ceil):
            raise n.unsupported(
                "every window holds an element of the image", f"axis {axis + 2}: a window of padding alone"
            )

    def on_image(image: Value, lift: Sequence[int]) -> Value:
        ones, zeros = [1] * len(lift), [0] * len(lift)
        return n.emit(
            op_name,
            image,
            kernel=[*ones, *kernel],
            strides=[*ones, *strides],
            pads=[*zeros, *pads[:rank], *zeros, *pads[rank:]],
            dilations=[*ones, *dilations],
            ceil=ceil,
            **extra,
        )

    return lifted(n, x, on_image)


def _some_window_is_empty(
    size: int, kernel: int, stride: int, dilation: int, pad_begin: int, pad_end: int, ceil: bool
) -> bool:
    """Whether all taps of a window along one axis lie outside the image: dilated, its taps may stand on both sides of it.

    >>> _some_window_is_empty(1, 2, 1, 2, 1, 1, False), _some_window_is_empty(1, 2, 1, 1, 1, 1, False)
    (True, False)
    """
    count = window_count(size, kernel, stride, dilation, pad_begin, pad_end, ceil)
    starts = np.arange(count) * stride - pad_begin
    first = np.maximum(-(starts // dilation), 0)  # the first tap that is not ahead of the image
    return not ((first < kernel) & (starts + first * dilation < size)).all()


@handles("GlobalAveragePool", "GlobalMaxPool")
def global_pool(n: Node) -> Value:
    """y = mean or maximum over all spatial axes, which stay with size 1"""
    x = n.x()
    if len(x.shape) < 3:
        raise n.broken(f"{n.op_type} takes an image [N, C, spatial...]")
    op_name = "nn.reduce_mean" if n.op_type == "GlobalAveragePool" else "nn.reduce_max"
    return n.emit(op_name, x, axes=tuple(range(2, len(x.shape))), keepdims=True)


@handles("LpPool")
def lp_pool(n: Node) -> Value:
    """y = (sum of |x|^p over windows)^(1/p): the sum is a convolution with ones"""
    x, kernel = n.x(), n.integers("kernel_shape")
    if kernel is None or len(x.shape) < 3:
        raise n.broken("LpPool takes an image [N, C, spatial...] and needs kernel_shape")
    p, channels, rank = n.integer("p", 2), x.shape[1], len(kernel)
    strides, dilations, pads = windows(n, x.shape[2:], kernel)
    if n.integer("ceil_mode", 0):
        for i, size in enumerate(x.shape[2:]):
            count = window_count(size, kernel[i], strides[i], dilations[i], pads[i], pads[rank + i], True)
            pads[rank + i] = max(
                pads[rank + i], (count - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - size - pads[i]
            )
    ones = n.constant(np.ones((channels, 1, *kernel), dtype_of(x).numpy))
    total = n.emit("nn.conv", _power(n, x, p), ones, strides=strides, pads=pads, dilations=dilations, group=channels)
    return _root(n, total, p)


@handles("GlobalLpPool")
def global_lp_pool(n: Node) -> Value:
    """y = (sum of |x|^p over all spatial axes)^(1/p)"""
    x, p = n.x(), n.integer("p", 2)
    if len(x.shape) < 3:
        raise n.broken("GlobalLpPool takes an image [N, C, spatial...]")
    axes = tuple(range(2, len(x.shape)))
    return _root(n, n.emit("nn.reduce_sum", _power(n, x, p), axes=axes, keepdims=True), p)


def _power(n: Node, x: Value, p: int) -> Value:
    """|x|^p."""
    if p == 2:
        return n.emit("nn.mul", x, x)
    size = n.emit("nn.abs", x)
    return size if p == 1 else n.emit("nn.pow", size, n.scalar(p, x))


def _root(n: Node, x: Value, p: int) -> Value:
    """The p-th root."""
    if p == 2:
        return n.emit("nn.sqrt", x)
    return x if p == 1 else n.emit("nn.pow", x, n.scalar(1 / p, x))


@handles("DepthToSpace")
def depth_to_space(n: Node) -> Value:
    """Blocks of channels become blocks of pixels; DCR: the block is the outer part of the channel, CRD: the inner one"""
    x, block = n.x(), n.integer("blocksize", 0)
    batch, channels, height, width = _image4(n, x)
    if block < 1 or channels % (block * block):
        raise n.broken("the channels divide by the square of the block", f"{channels} channels, block {block}")
    rest = channels // (block * block)
    if n.text("mode", "DCR") == "DCR":
        split, perm = (batch, block, block, rest, height, width), (0, 3, 4, 1, 5, 2)
    else:
        split, perm = (batch, rest, block, block, height, width), (0, 1, 4, 2, 5, 3)
    moved = n.emit("nn.transpose", n.emit("nn.reshape", x, shape=split), perm=perm)
    return n.emit("nn.reshape", moved, shape=(batch, rest, height * block, width * block))


@handles("SpaceToDepth")
def space_to_depth(n: Node) -> Value:
    """Blocks of pixels become blocks of channels, the block outermost"""
    x, block = n.x(), n.integer("blocksize", 0)
    batch, channels, height, width = _image4(n, x)
    if block < 1 or height % block or width % block:
        raise n.broken("height and width divide by the block", f"{height} x {width}, block {block}")
    split = (batch, channels, height // block, block, width // block, block)
    moved = n.emit("nn.transpose", n.emit("nn.reshape", x, shape=split), perm=(0, 3, 5, 1, 2, 4))
    return n.emit("nn.reshape", moved, shape=(batch, channels * block * block, height // block, width // block))


def _image4(n: Node, x: Value) -> tuple[int, int, int, int]:
    if len(x.shape) != 4:
        raise n.broken(f"{n.op_type} takes an image [N, C, H, W]")
    batch, channels, height, width = x.shape
    return batch, channels, height, width
