"""Handlers of reads and writes at indices. Constant indices become copies; computed ones are kept inside the tensor at run time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitc.frontend.elementwise import cast_to
from bitc.frontend.node import Node, dtype_of, handles
from bitc.ir import DType, Value


def _indices(n: Node, index: int) -> Value:
    """An operand of indices, int32 or int64."""
    indices = n.x(index)
    if dtype_of(indices).is_float or dtype_of(indices) is DType.BOOL:
        raise n.broken(f"the indices of {n.op_type} are integers", str(indices.type))
    return indices if dtype_of(indices) is DType.I32 else cast_to(n, indices, DType.I64)


@handles("Gather")
def gather(n: Node) -> Value:
    """Slices along an axis; negative indices count from the end; computed ones outside the axis read its nearest slice"""
    x, indices = n.x(0), _indices(n, 1)
    axis = n.axis(n.integer("axis", 0), len(x.shape))
    if indices.constant is not None:
        return n.emit("nn.gather", x, indices=indices.constant.astype(np.int64), axis=axis)
    return n.emit("nn.take", x, indices, axis=axis)


@handles("GatherElements")
def gather_elements(n: Node) -> Value:
    """y[i, j, ..] = x[i, .., indices[i, j, ..], ..]: each element picks its own place along one axis"""
    x = n.x(0)
    return n.emit("nn.take_along", x, _indices(n, 1), axis=n.axis(n.integer("axis", 0), len(x.shape)))


@handles("GatherND")
def gather_nd(n: Node) -> Value:
    """y[b, t..] = x[b][indices[b, t..]]: the last axis of the indices holds places along the axes after ``batch_dims``"""
    return n.emit("nn.take_nd", n.x(0), _indices(n, 1), batch_dims=n.integer("batch_dims", 0))


@handles("Scatter", "ScatterElements")
def scatter_elements(n: Node) -> Value:
    """y = x with y[i, .., indices[i, j, ..], ..] set to updates[i, j, ..], or combined with it; places outside are left out"""
    x, indices, updates = n.x(0), _indices(n, 1), n.x(2)
    attrs = {"axis": n.axis(n.integer("axis", 0), len(x.shape)), "reduction": _reduction(n)}
    return _scatter(n, "nn.scatter_along", x, indices, updates, attrs)


@handles("ScatterND")
def scatter_nd(n: Node) -> Value:
    """y = x with y[indices[t..]] set to updates[t..], or combined with it; places outside are left out"""
    return _scatter(n, "nn.scatter_nd", n.x(0), _indices(n, 1), n.x(2), {"reduction": _reduction(n)})


def _reduction(n: Node) -> str:
    how = n.text("reduction", "none")
    if how not in ("none", "add", "mul", "max", "min"):
        raise n.broken("the reduction is none, add, mul, max or min", how)
    return how


def _scatter(n: Node, op_name: str, x: Value, indices: Value, updates: Value, attrs: Mapping[str, object]) -> Value:
    """Bools are combined as bytes: add is or, mul is and."""
    if dtype_of(x) is not DType.BOOL:
        return n.emit(op_name, x, indices, updates, **attrs)
    how = {"add": "max", "mul": "min"}.get(str(attrs["reduction"]), attrs["reduction"])
    wide = [cast_to(n, value, DType.U8) for value in (x, updates)]
    made = n.emit(op_name, wide[0], indices, wide[1], **{**attrs, "reduction": how})
    return cast_to(n, made, DType.BOOL)


@handles("TensorScatter", since=24)
def tensor_scatter(n: Node) -> Value:
    """y = a cache [batch, .., positions, ..] with new entries written from ``write_indices`` on, around its end if circular"""
    x, updates, starts = n.x(0), n.x(1), n.maybe(2)
    axis, mode = n.axis(n.integer("axis", -2), len(x.shape)), n.text("mode", "linear")
    if axis == 0 or mode not in ("linear", "circular") or x.shape[0] != updates.shape[0]:
        raise n.broken(
            "TensorScatter writes along an axis behind the batch, linear or circular", f"axis {axis}, {mode}"
        )
    rank, length = len(x.shape), x.shape[axis]
    steps = n.constant(np.arange(updates.shape[axis]).reshape([-1 if a == axis else 1 for a in range(rank)]))
    places = steps
    if starts is not None:
        first = n.emit("nn.reshape", cast_to(n, starts, DType.I64), shape=(x.shape[0], *[1] * (rank - 1)))
        places = n.emit("nn.add", first, steps)
    if mode == "circular":
        size = n.scalar(length, places)
        turns = n.emit("nn.mul", n.emit("nn.div", places, size), size)
        places = n.emit("nn.sub", places, turns)
    places = n.emit("nn.expand", places, shape=updates.shape)
    return n.emit("nn.scatter_along", x, places, updates, axis=axis)


@handles("ReverseSequence")
def reverse_sequence(n: Node) -> Value:
    """y = x with the first ``sequence_lens[b]`` steps of each sequence in reverse order"""
    x, lengths = n.x(0), cast_to(n, n.x(1), DType.I64)
    rank = len(x.shape)
    batch, time = (n.axis(n.integer(name, default), rank) for name, default in (("batch_axis", 1), ("time_axis", 0)))
    if batch == time or lengths.shape != (x.shape[batch],):
        raise n.broken("ReverseSequence has a length for each sequence", f"{x.type}, {lengths.type}")
    steps = n.constant(np.arange(x.shape[time]).reshape([-1 if a == time else 1 for a in range(rank)]))
    length = n.emit("nn.reshape", lengths, shape=[x.shape[batch] if a == batch else 1 for a in range(rank)])
    last = n.emit("nn.sub", n.emit("nn.sub", length, steps), n.scalar(1, lengths))
    places = n.emit("nn.where", n.emit("nn.less", steps, length), last, steps)
    return n.emit("nn.take_along", x, n.emit("nn.expand", places, shape=x.shape), axis=time)


@handles("OneHot")
def one_hot(n: Node) -> Value:
    """y = on where the new axis' position is the index, else off; an index outside the constant depth is off everywhere"""
    indices, values = n.x(0), n.x(2)
    depth = int(n.array(1, "the depth").reshape(-1)[0])
    rank = len(indices.shape) + 1
    axis = n.axis(n.integer("axis", -1), rank)
    if depth < 1 or values.shape != (2,):
        raise n.broken("OneHot has a positive depth and two values", f"depth {depth}, values {values.type}")
    n.check_size(8 * depth)
    wide = cast_to(n, indices, DType.I64)
    below = n.emit("nn.less", wide, n.scalar(0, wide))
    wide = n.emit("nn.where", below, n.emit("nn.add", wide, n.scalar(depth, wide)), wide)
    wide = n.emit("nn.reshape", wide, shape=(*indices.shape[:axis], 1, *indices.shape[axis:]))
    places = np.arange(depth, dtype=np.int64).reshape([depth if a == axis else 1 for a in range(rank)])
    hot = n.emit("nn.equal", wide, n.constant(places))
    off, on = (
        n.emit("nn.reshape", n.emit("nn.gather", values, indices=np.asarray([i]), axis=0), shape=()) for i in (0, 1)
    )
    return n.emit("nn.where", hot, on, off)


@handles("Compress")
def compress(n: Node) -> Value:
    """The slices along an axis, or the elements, for which a constant condition is true"""
    x, condition = n.x(0), n.array(1, "the condition")
    if not n.has("axis"):
        x = n.emit("nn.reshape", x, shape=(int(np.prod(x.shape)),))
    axis = n.axis(n.integer("axis", 0), len(x.shape))
    return n.emit("nn.gather", x, indices=np.flatnonzero(condition), axis=axis)


@handles("NonZero", "Unique")
def data_dependent(n: Node) -> Value:
    """Constants are folded"""
    raise n.unsupported(
        f"{n.op_type} has a constant input",
        "the shape of its result depends on data",
        "shapes are fixed at compile time",
    )
