"""Handlers of reductions, softmax, arg-reductions and TopK."""

from __future__ import annotations

from math import prod

from bitc.frontend.node import Node, handles
from bitc.ir import Value

_PLAIN = {
    "ReduceMax": "nn.reduce_max",
    "ReduceMean": "nn.reduce_mean",
    "ReduceMin": "nn.reduce_min",
    "ReduceSum": "nn.reduce_sum",
}
_BEFORE = {"ReduceL1": "nn.abs", "ReduceLogSumExp": "nn.exp"}
_AFTER = {"ReduceL2": "nn.sqrt", "ReduceLogSum": "nn.log", "ReduceLogSumExp": "nn.log"}
_SQUARED = ("ReduceL2", "ReduceSumSquare")


@handles(*_PLAIN, *_BEFORE, *_AFTER, "ReduceSumSquare")
def reduction(n: Node) -> Value:
    """y = g(sum of f(x)) over the axes (attribute, or input in the newer opsets); without axes over all of them"""
    x = n.x()
    if n.op_type in _BEFORE:
        x = n.emit(_BEFORE[n.op_type], x)
    if n.op_type in _SQUARED:
        x = n.emit("nn.mul", x, x)
    axes = [n.axis(axis, len(x.shape)) for axis in n.axes(1, default=())]
    if not axes and not n.integer("noop_with_empty_axes", 0):
        axes = list(range(len(x.shape)))
    if axes:
        op_name = _PLAIN.get(n.op_type, "nn.reduce_sum")
        x = n.emit(op_name, x, axes=tuple(sorted(set(axes))), keepdims=bool(n.integer("keepdims", 1)))
    return n.emit(_AFTER[n.op_type], x) if n.op_type in _AFTER else x


@handles("Softmax", "LogSoftmax", since=13)
def softmax(n: Node) -> Value:
    """y = softmax along one axis"""
    x = n.x()
    return n.emit("nn.softmax", x, axis=n.axis(n.integer("axis", -1), len(x.shape)), log=n.op_type == "LogSoftmax")


@handles("Softmax", "LogSoftmax", until=12)
def softmax_flattened(n: Node) -> Value:
    """y = softmax over all axes from ``axis`` on taken as one"""
    x, log = n.x(), n.op_type == "LogSoftmax"
    axis = n.axis(n.integer("axis", 1), len(x.shape))
    if prod(x.shape[axis:]) == x.shape[-1]:
        return n.emit("nn.softmax", x, axis=len(x.shape) - 1, log=log)
    rows = n.emit("nn.reshape", x, shape=(*x.shape[:axis], prod(x.shape[axis:])))
    return n.emit("nn.reshape", n.emit("nn.softmax", rows, axis=axis, log=log), shape=x.shape)


@handles("ArgMax", "ArgMin")
def arg_reduction(n: Node) -> Value:
    """y = index of the largest or smallest element along one axis; the first of equals unless ``select_last_index``"""
    x = n.x()
    return n.emit(
        "nn.argmax",
        x,
        axis=n.axis(n.integer("axis", 0), len(x.shape)),
        keepdims=bool(n.integer("keepdims", 1)),
        last=bool(n.integer("select_last_index", 0)),
        least=n.op_type == "ArgMin",
    )


@handles("TopK")
def top_k(n: Node) -> tuple[Value, ...]:
    """values, indices = the k largest (or smallest) along one axis; always sorted, also where the file does not ask for it"""
    x = n.x()
    k = n.integer("k", 0) if n.opset < 10 else n.int_list(1, "k")[0]
    axis = n.axis(n.integer("axis", -1), len(x.shape))
    return n.emit_multi("nn.topk", x, k=k, axis=axis, largest=bool(n.integer("largest", 1)))
