"""Handlers of reductions, running sums, softmax, arg-reductions and TopK."""

from __future__ import annotations

from math import prod

from bitc.frontend.elementwise import cast_to
from bitc.frontend.node import Node, dtype_of, handles
from bitc.ir import DType, Value

_PLAIN = {
    "ReduceMax": "nn.reduce_max",
    "ReduceMean": "nn.reduce_mean",
    "ReduceMin": "nn.reduce_min",
    "ReduceProd": "nn.reduce_prod",
    "ReduceSum": "nn.reduce_sum",
}
_SUMS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")


@handles(*_PLAIN, *_SUMS)
def reduction(n: Node) -> Value:
    """y = g(sum of f(x)) over the axes (attribute, or input in the newer opsets); without axes over all, or none of them"""
    x = n.x()
    axes = tuple(sorted({n.axis(axis, len(x.shape)) for axis in n.axes(1, default=())}))
    if not n.integer("noop_with_empty_axes", 0):
        axes = axes or tuple(range(len(x.shape)))
    keepdims = bool(n.integer("keepdims", 1))
    match n.op_type:
        case "ReduceLogSumExp":
            return _log_sum_exp(n, x, axes, keepdims)
        case "ReduceL2" | "ReduceLogSum":
            return _root_or_log(n, x, axes, keepdims)
        case "ReduceMean" if not dtype_of(x).is_float:
            total = _reduced(n, "nn.reduce_sum", x, axes, keepdims)
            return n.emit("nn.div", total, n.scalar(prod(x.shape[axis] for axis in axes), x))
        case "ReduceL1":
            x = n.emit("nn.abs", x)
        case "ReduceSumSquare":
            x = n.emit("nn.mul", x, x)
    return _reduced(n, _PLAIN.get(n.op_type, "nn.reduce_sum"), x, axes, keepdims)


def _reduced(n: Node, op_name: str, x: Value, axes: tuple[int, ...], keepdims: bool) -> Value:
    return n.emit(op_name, x, axes=axes, keepdims=keepdims) if axes else x


def _root_or_log(n: Node, x: Value, axes: tuple[int, ...], keepdims: bool) -> Value:
    """The root of the sum of squares, or the logarithm of the sum; of integers in float64, rounded toward zero."""
    if n.op_type == "ReduceL2":
        x = n.emit("nn.mul", x, x)
    total = _reduced(n, "nn.reduce_sum", x, axes, keepdims)
    wide = total if dtype_of(x).is_float else cast_to(n, total, DType.F64)
    return cast_to(n, n.emit("nn.sqrt" if n.op_type == "ReduceL2" else "nn.log", wide), dtype_of(x))


def _log_sum_exp(n: Node, x: Value, axes: tuple[int, ...], keepdims: bool) -> Value:
    """log(sum of e^(x - m)) + m with m the largest element, or 0 where that is infinite: nothing overflows."""
    kind = dtype_of(x)
    x = x if kind.is_float else cast_to(n, x, DType.F64)
    largest = _reduced(n, "nn.reduce_max", x, axes, True)
    zero = n.scalar(0, x)
    finite = n.emit("nn.equal", n.emit("nn.sub", largest, largest), zero)
    shift = n.emit("nn.where", finite, largest, zero)
    total = _reduced(n, "nn.reduce_sum", n.emit("nn.exp", n.emit("nn.sub", x, shift)), axes, True)
    y = n.emit("nn.add", n.emit("nn.log", total), shift)
    if not keepdims:
        y = n.emit("nn.reshape", y, shape=[size for axis, size in enumerate(x.shape) if axis not in axes])
    return cast_to(n, y, kind)


@handles("CumSum")
def cumulative_sum(n: Node) -> Value:
    """y = sum of x up to each element along a constant axis, without itself if ``exclusive``, from the end if ``reverse``"""
    x = n.x()
    axis = n.axis(n.int_list(1, "the axis")[0], len(x.shape))
    exclusive, reverse = (bool(n.integer(name, 0)) for name in ("exclusive", "reverse"))
    return n.emit("nn.cumsum", x, axis=axis, exclusive=exclusive, reverse=reverse)


@handles("Softmax", "LogSoftmax", since=13)
def softmax(n: Node) -> Value:
    """y = softmax along one axis"""
    x = n.x()
    return _softmax(n, x, n.axis(n.integer("axis", -1), len(x.shape)))


def _softmax(n: Node, x: Value, axis: int) -> Value:
    """Along one axis; the kernel is one of float32, so of other floats it is written out."""
    log = n.op_type == "LogSoftmax"
    if dtype_of(x) is DType.F32:
        return n.emit("nn.softmax", x, axis=axis, log=log)
    shifted = n.emit("nn.sub", x, n.emit("nn.reduce_max", x, axes=(axis,), keepdims=True))
    powers = n.emit("nn.exp", shifted)
    total = n.emit("nn.reduce_sum", powers, axes=(axis,), keepdims=True)
    return n.emit("nn.sub", shifted, n.emit("nn.log", total)) if log else n.emit("nn.div", powers, total)


@handles("Softmax", "LogSoftmax", until=12)
def softmax_flattened(n: Node) -> Value:
    """y = softmax over all axes from ``axis`` on taken as one"""
    x = n.x()
    axis = n.axis(n.integer("axis", 1), len(x.shape))
    if prod(x.shape[axis:]) == x.shape[-1]:
        return _softmax(n, x, len(x.shape) - 1)
    rows = n.emit("nn.reshape", x, shape=(*x.shape[:axis], prod(x.shape[axis:])))
    return n.emit("nn.reshape", _softmax(n, rows, axis), shape=x.shape)


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
