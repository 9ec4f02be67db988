"""Handlers of arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from functools import reduce

import numpy as np

from bitc.frontend.node import Node, dtype_of, handles
from bitc.frontend.tensors import dtype_name, ir_dtype
from bitc.ir import DType, Value

_UNARY = {
    "Abs": "nn.abs",
    "Ceil": "nn.ceil",
    "Erf": "nn.erf",
    "Exp": "nn.exp",
    "Floor": "nn.floor",
    "Log": "nn.log",
    "Neg": "nn.neg",
    "Not": "nn.not",
    "Reciprocal": "nn.reciprocal",
    "Relu": "nn.relu",
    "Round": "nn.round",
    "Sigmoid": "nn.sigmoid",
    "Sign": "nn.sign",
    "Sqrt": "nn.sqrt",
    "Tanh": "nn.tanh",
}
_BINARY = {
    "Add": "nn.add",
    "And": "nn.and",
    "Div": "nn.div",
    "Equal": "nn.equal",
    "Greater": "nn.greater",
    "GreaterOrEqual": "nn.greater_equal",
    "Less": "nn.less",
    "LessOrEqual": "nn.less_equal",
    "Mul": "nn.mul",
    "Or": "nn.or",
    "Sub": "nn.sub",
    "Xor": "nn.xor",
}
_VARIADIC = {"Max": "nn.max", "Min": "nn.min", "Sum": "nn.add", "Mean": "nn.add"}


@handles(*_UNARY)
def unary(n: Node) -> Value:
    """y = f(x)"""
    return n.emit(_UNARY[n.op_type], n.x())


@handles(*_BINARY)
def binary(n: Node) -> Value:
    """y = f(a, b) with NumPy's broadcasting"""
    return n.emit(_BINARY[n.op_type], n.x(0), n.x(1))


@handles(*_VARIADIC)
def variadic(n: Node) -> Value:
    """y = f(f(a, b), c) ...; onnxruntime's Mean multiplies the sum by the float32 nearest to 1/n"""
    operands = [n.x(i) for i in range(len(n.inputs))]
    if not operands:
        raise n.broken(f"{n.op_type} needs at least one input")
    y = reduce(lambda a, b: n.emit(_VARIADIC[n.op_type], a, b), operands)
    if n.op_type == "Mean" and len(operands) > 1:
        y = n.emit("nn.mul", y, n.scalar(np.float32(1) / np.float32(len(operands)), y))
    return y


@handles("Pow")
def power(n: Node) -> Value:
    """y = x ^ e; like onnxruntime, the exponents 2 and 3 multiply, which is another rounding than the power function"""
    x, exponent = n.x(0), n.x(1)
    if dtype_of(exponent) is not dtype_of(x):
        exponent = n.emit("nn.cast", exponent, to=dtype_of(x))
    known = exponent.constant
    if known is not None and known.size == 1 and known.ndim <= len(x.shape) and known.item() in (2, 3):
        square = n.emit("nn.mul", x, x)
        return square if known.item() == 2 else n.emit("nn.mul", square, x)
    return n.emit("nn.pow", x, exponent)


@handles("Where")
def where(n: Node) -> Value:
    """y = a where c, else b"""
    return n.emit("nn.where", n.x(0), n.x(1), n.x(2))


@handles("Cast")
def cast(n: Node) -> Value:
    """y = x in another element type"""
    number = n.integer("to", 0)
    to = ir_dtype(number)
    if to is None:
        raise n.unsupported("Cast goes to " + ", ".join(DType), f"to {dtype_name(number)}", code="U004")
    return cast_to(n, n.x(), to)


@handles("CastLike")
def cast_like(n: Node) -> Value:
    """y = x in the element type of another tensor"""
    return cast_to(n, n.x(0), dtype_of(n.x(1)))


def cast_to(n: Node, x: Value, to: DType) -> Value:
    """``x`` in dtype ``to``; itself if it has it already."""
    return x if dtype_of(x) is to else n.emit("nn.cast", x, to=to)


@handles("Mod")
def modulo(n: Node) -> Value:
    """y = a - b * floor(a / b) for integers (the sign of b), or with ``fmod`` a - b * trunc(a / b) (the sign of a)"""
    a, b = n.x(0), n.x(1)
    if dtype_of(a).is_float:
        raise n.unsupported("Mod takes integers", "the operands are floats")
    quotient = n.emit("nn.div", a, b)
    rest = n.emit("nn.sub", a, n.emit("nn.mul", quotient, b))
    if n.integer("fmod", 0) or dtype_of(a).numpy.kind == "u":
        return rest
    zero = n.scalar(0, a)
    opposed = n.emit("nn.less", n.emit("nn.mul", n.emit("nn.sign", rest), n.emit("nn.sign", b)), zero)
    return n.emit("nn.where", opposed, n.emit("nn.add", rest, b), rest)
