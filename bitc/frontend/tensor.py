"""Handlers of ops that change the shape of a tensor or move its elements."""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import prod

import numpy as np

from bitc.frontend.node import Node, handles
from bitc.ir import Value

MAX_AXIS = 1 << 31


def reshaped(n: Node, x: Value, shape: tuple[int, ...]) -> Value:
    """``x`` in another shape; itself if it has that shape."""
    return x if x.shape == shape else n.emit("nn.reshape", x, shape=shape)


@handles("Reshape")
def reshape(n: Node) -> Value:
    """0 keeps the axis (unless ``allowzero``), one -1 is worked out"""
    x, target = n.x(), n.int_list(1, "shape")
    if not n.integer("allowzero", 0):
        if any(size == 0 and i >= len(x.shape) for i, size in enumerate(target)):
            raise n.broken("a 0 in the shape of Reshape stands for an axis of the input", f"{x.type} to {target}")
        target = [x.shape[i] if size == 0 else size for i, size in enumerate(target)]
    if target.count(-1) > 1 or any(size < -1 for size in target):
        raise n.broken("the shape of Reshape has at most one -1", str(target))
    if -1 in target:
        rest = prod(size for size in target if size != -1)
        total = prod(x.shape)
        if rest == 0 or total % rest:
            raise n.broken("the elements fill the shape of Reshape", f"{x.type} to {target}")
        target[target.index(-1)] = total // rest
    return reshaped(n, x, tuple(target))


@handles("Flatten")
def flatten(n: Node) -> Value:
    """[axes before ``axis`` as one, the others as one]"""
    x, axis = n.x(), n.integer("axis", 1)
    axis = axis if axis == len(x.shape) else n.axis(axis, len(x.shape))
    return reshaped(n, x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


@handles("Squeeze")
def squeeze(n: Node) -> Value:
    """Takes away axes of size 1: the given ones, or all"""
    x = n.x()
    rank = len(x.shape)
    axes = [n.axis(axis, rank) for axis in n.axes(1, default=[i for i in range(rank) if x.shape[i] == 1])]
    if any(x.shape[axis] != 1 for axis in axes):
        raise n.broken("Squeeze takes away axes of size 1", f"{x.type}, axes {axes}")
    return reshaped(n, x, tuple(size for i, size in enumerate(x.shape) if i not in axes))


@handles("Unsqueeze")
def unsqueeze(n: Node) -> Value:
    """Inserts axes of size 1; ``axes`` count in the result"""
    x, axes = n.x(), n.axes(1)
    rank = len(x.shape) + len(axes)
    places = {n.axis(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise n.broken("the axes of Unsqueeze are distinct", str(axes))
    sizes = iter(x.shape)
    return reshaped(n, x, tuple(1 if i in places else next(sizes) for i in range(rank)))


@handles("Transpose")
def transpose(n: Node) -> Value:
    """Axes in another order; reversed if none is given"""
    x = n.x()
    perm = n.integers("perm")
    return n.emit("nn.transpose", x, perm=tuple(reversed(range(len(x.shape)))) if perm is None else tuple(perm))


@handles("Concat")
def concat(n: Node) -> Value:
    """The inputs one after another along an axis"""
    operands = [n.x(i) for i in range(len(n.inputs))]
    if not operands:
        raise n.broken("Concat needs at least one input")
    axis = n.axis(n.integer("axis", 1), len(operands[0].shape))
    parts = [operand for operand in operands if all(operand.shape)] or operands[:1]
    return n.emit("nn.concat", *parts, axis=axis) if len(parts) > 1 else parts[0]


@handles("Split")
def split(n: Node) -> tuple[Value, ...]:
    """Slices along an axis: of the sizes in attribute or input ``split``, else equal (the last one smaller with ``num_outputs``)"""
    x = n.x()
    axis = n.axis(n.integer("axis", 0), len(x.shape))
    total, count = x.shape[axis], n.integer("num_outputs", len(n.proto.output))
    parts = n.integers("split") if n.opset < 13 else (n.int_list(1, "split") if n.maybe(1) else None)
    if count != len(n.proto.output):
        raise n.broken("num_outputs of Split is the number of its outputs", str(count))
    if parts is None:
        part = -(-total // max(count, 1))
        parts = [min(part, total - i * part) for i in range(count)]
    if sum(parts) != total or any(part < 0 for part in parts) or len(parts) < len(n.proto.output):
        raise n.broken("the parts of Split fill the axis", f"{x.type}, axis {axis}, parts {parts}")
    edges = [0, *accumulate(parts)]
    return tuple(_slice_axis(n, x, axis, start, stop) for start, stop in pairwise(edges))


def _slice_axis(n: Node, x: Value, axis: int, start: int, stop: int) -> Value:
    if (start, stop) == (0, x.shape[axis]):
        return x
    starts = [start if i == axis else 0 for i in range(len(x.shape))]
    stops = [stop if i == axis else size for i, size in enumerate(x.shape)]
    return n.emit("nn.slice", x, starts=starts, stops=stops, steps=[1] * len(x.shape))


@handles("Slice", until=9)
def slice_by_attributes(n: Node) -> Value:
    """x[start:end] along axes given as attributes"""
    starts, ends = n.integers("starts"), n.integers("ends")
    if starts is None or ends is None:
        raise n.broken("Slice needs starts and ends")
    return _slice(n, starts, ends, n.integers("axes"), None)


@handles("Slice", since=10)
def slice_by_inputs(n: Node) -> Value:
    """x[start:end:step] along axes given as constant inputs"""
    axes = n.int_list(3, "axes") if n.maybe(3) else None
    steps = n.int_list(4, "steps") if n.maybe(4) else None
    return _slice(n, n.int_list(1, "starts"), n.int_list(2, "ends"), axes, steps)


def _slice(n: Node, starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None) -> Value:
    """Python's slices: ends are clamped to the axis, negative ones count from its end."""
    x = n.x()
    rank = len(x.shape)
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise n.broken("starts, ends, axes and steps of Slice have one length, steps are not 0")
    bounds = [(0, size, 1) for size in x.shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = n.axis(axis, rank)
        step = max(-MAX_AXIS, min(MAX_AXIS, step))
        bounds[at] = slice(start, end, step).indices(x.shape[at])
    if all(bound == (0, size, 1) for bound, size in zip(bounds, x.shape, strict=True)):
        return x
    first, last, stride = (list(column) for column in zip(*bounds, strict=True))
    return n.emit("nn.slice", x, starts=first, stops=last, steps=stride)


@handles("Expand")
def expand(n: Node) -> Value:
    """x broadcast against a constant shape"""
    x, shape = n.x(), tuple(n.int_list(1, "shape"))
    y = n.emit("nn.expand", x, shape=shape)
    return x if y.shape == x.shape else y


@handles("Tile")
def tile(n: Node) -> Value:
    """x repeated along each axis"""
    y, repeats = n.x(), n.int_list(1, "repeats")
    if len(repeats) != len(y.shape) or min(repeats, default=1) < 1:
        raise n.broken("repeats of Tile has one positive number for each axis", f"{y.type}, repeats {repeats}")
    for axis, count in enumerate(repeats):
        if count > 1:
            n.check_size(8 * count * y.shape[axis])
            y = n.emit("nn.gather", y, indices=np.tile(np.arange(y.shape[axis]), count), axis=axis)
    return y


@handles("Pad", until=10)
def pad_by_attributes(n: Node) -> Value:
    """Padding given as attributes"""
    pads = n.integers("pads")
    if pads is None:
        raise n.broken("Pad needs pads")
    return _pad(n, pads, n.number("value", 0.0))


@handles("Pad", since=11)
def pad_by_inputs(n: Node) -> Value:
    """Padding given as constant inputs, for all axes or those listed"""
    x, pads = n.x(), n.int_list(1, "pads")
    fill = n.maybe_array(2, "the padding value")
    if n.maybe(3) is not None:
        axes = [n.axis(axis, len(x.shape)) for axis in n.int_list(3, "axes")]
        if len(pads) != 2 * len(axes):
            raise n.broken("pads has two numbers for each axis", f"axes {axes}, pads {pads}")
        full = [0] * (2 * len(x.shape))
        for i, axis in enumerate(axes):
            full[axis], full[len(x.shape) + axis] = pads[i], pads[len(axes) + i]
        pads = full
    return _pad(n, pads, 0.0 if fill is None or not fill.size else float(fill.reshape(-1)[0]))


def _pad(n: Node, pads: list[int], value: float) -> Value:
    """Negative pads cut; the modes other than ``constant`` read inner elements again, which is a gather."""
    y, rank, mode = n.x(), len(n.x().shape), n.text("mode", "constant")
    if len(pads) != 2 * rank:
        raise n.broken("pads has two numbers for each axis", f"{y.type}, pads {pads}")
    if min(pads, default=0) < 0:
        starts = [max(0, -begin) for begin in pads[:rank]]
        stops = [max(start, size + min(0, end)) for start, size, end in zip(starts, y.shape, pads[rank:], strict=True)]
        y = n.emit("nn.slice", y, starts=starts, stops=stops, steps=[1] * rank)
        pads = [max(0, pad) for pad in pads]
    if mode == "constant":
        return n.emit("nn.pad", y, pads=pads, value=value) if any(pads) else y
    if mode not in ("reflect", "edge", "wrap"):
        raise n.broken("mode of Pad is constant, reflect, edge or wrap", mode)
    for axis in range(rank):
        begin, end = pads[axis], pads[rank + axis]
        if begin or end:
            n.check_size(8 * (begin + end + y.shape[axis]))
            indices = np.pad(np.arange(y.shape[axis]), (begin, end), mode=mode)  # type: ignore[call-overload]
            y = n.emit("nn.gather", y, indices=indices, axis=axis)
    return y
