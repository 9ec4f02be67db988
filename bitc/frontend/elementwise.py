"""Handlers of arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from functools import reduce

import numpy as np

from bitc.frontend.elements import BFLOAT16, ELEMENTS, Element
from bitc.frontend.node import Node, dtype_of, handles
from bitc.frontend.tensors import dtype_name, ir_dtype
from bitc.ir import DType, Value

_UNARY = {
    "Abs": "nn.abs",
    "Acos": "nn.acos",
    "Acosh": "nn.acosh",
    "Asin": "nn.asin",
    "Asinh": "nn.asinh",
    "Atan": "nn.atan",
    "Atanh": "nn.atanh",
    "BitwiseNot": "nn.bit_not",
    "Ceil": "nn.ceil",
    "Cos": "nn.cos",
    "Cosh": "nn.cosh",
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
    "Sin": "nn.sin",
    "Sinh": "nn.sinh",
    "Sqrt": "nn.sqrt",
    "Tan": "nn.tan",
    "Tanh": "nn.tanh",
}
_BINARY = {
    "Add": "nn.add",
    "And": "nn.and",
    "BitwiseAnd": "nn.bit_and",
    "BitwiseOr": "nn.bit_or",
    "BitwiseXor": "nn.bit_xor",
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
    """y = f(f(a, b), c) ...; onnxruntime's Mean multiplies the sum by the number nearest to 1/n"""
    operands = [n.x(i) for i in range(len(n.inputs))]
    if not operands:
        raise n.broken(f"{n.op_type} needs at least one input")
    y = reduce(lambda a, b: n.emit(_VARIADIC[n.op_type], a, b), operands)
    if n.op_type == "Mean" and len(operands) > 1:
        kind = dtype_of(y).numpy.type
        y = n.emit("nn.mul", y, n.scalar(kind(1) / kind(len(operands)), y))
    return y


@handles("Pow")
def power(n: Node) -> Value:
    """y = x ^ e in the dtype of x; like onnxruntime, the exponents 2 and 3 multiply, which is another rounding than the power function,
    and integers are raised as float64"""
    x, exponent = n.x(0), n.x(1)
    known = exponent.constant
    if known is not None and known.size == 1 and known.ndim <= len(x.shape) and known.item() in (2, 3):
        square = n.emit("nn.mul", x, x)
        return square if known.item() == 2 else n.emit("nn.mul", square, x)
    wide = dtype_of(x) if dtype_of(x).is_float and dtype_of(exponent) is not DType.F64 else DType.F64
    return cast_to(n, n.emit("nn.pow", cast_to(n, x, wide), cast_to(n, exponent, wide)), dtype_of(x))


@handles("BitShift", since=11)
def bit_shift(n: Node) -> Value:
    """y = a * 2^b or floor(a / 2^b) of unsigned integers; 0 where b is the width or more"""
    direction = n.text("direction", "")
    if direction not in ("LEFT", "RIGHT"):
        raise n.broken("direction of BitShift is LEFT or RIGHT", direction)
    if direction == "LEFT":
        return n.emit("nn.shift_left", n.x(0), n.x(1))
    return n.emit("nn.shift_right", n.x(0), n.x(1))


@handles("IsNaN")
def is_nan(n: Node) -> Value:
    """y = whether x is no number, the only thing that does not equal itself"""
    return n.emit("nn.not", n.emit("nn.equal", n.x(), n.x()))


@handles("IsInf")
def is_infinite(n: Node) -> Value:
    """y = whether x is infinite, of one sign if the attributes exclude the other"""
    x = n.x()
    ends = [sign * np.inf for sign, name in ((1, "detect_positive"), (-1, "detect_negative")) if n.integer(name, 1)]
    if not ends:
        return n.constant(np.zeros(x.shape, np.bool_))
    return reduce(lambda a, b: n.emit("nn.or", a, b), [n.emit("nn.equal", x, n.scalar(end, x)) for end in ends])


@handles("Where")
def where(n: Node) -> Value:
    """y = a where c, else b"""
    return n.emit("nn.where", n.x(0), n.x(1), n.x(2))


@handles("Cast")
def cast(n: Node) -> Value:
    """y = x in another element type"""
    number = n.integer("to", 0)
    to, element = ir_dtype(number), ELEMENTS.get(number)
    if element is not None:
        return cast_to_element(n, n.x(), element)
    if to is None:
        raise n.unsupported("Cast goes to " + ", ".join(DType), f"to {dtype_name(number)}", code="U004")
    return cast_from(n, n.x(), to)


@handles("CastLike")
def cast_like(n: Node) -> Value:
    """y = x in the element type of another tensor"""
    element = n.elements.get(n.x(1))
    return cast_from(n, n.x(0), dtype_of(n.x(1))) if element is None else cast_to_element(n, n.x(0), element)


def cast_to(n: Node, x: Value, to: DType) -> Value:
    """``x`` in dtype ``to``; itself if it has it already."""
    return x if dtype_of(x) is to else n.emit("nn.cast", x, to=to)


def cast_from(n: Node, x: Value, to: DType) -> Value:
    """``x`` in dtype ``to``; a copy where the dtype stood for an ONNX type of fewer bits, which the result does not have."""
    copied = x in n.elements and dtype_of(x) is to
    return n.emit("nn.reshape", x, shape=x.shape) if copied else cast_to(n, x, to)


def cast_to_element(n: Node, x: Value, element: Element) -> Value:
    """``x`` rounded to bfloat16 or a smaller float, or to an integer of few bits, ties away from 0, which wraps around (exact below
    2^24)."""
    if element is BFLOAT16:
        return n.emit("nn.bfloat16", cast_to(n, x, DType.F32))
    if element.format is None and element.range is None:
        raise n.unsupported("Cast goes to integers and floats, not to float8e8m0", f"to {element.name}")
    x = cast_to(n, x, DType.F32)
    if element.format is not None:
        f = element.format
        overflow = f.max if n.integer("saturate", 1) else f.overflow
        return n.emit("nn.minifloat", x, mantissa_bits=f.mantissa_bits, bias=f.bias, max=f.max, overflow=overflow)
    assert element.range is not None
    lo, hi = element.range
    count = n.scalar(hi - lo + 1, x)
    size = n.emit("nn.abs", x)
    below = n.emit("nn.floor", size)
    up = n.emit("nn.greater_equal", n.emit("nn.sub", size, below), n.scalar(0.5, x))
    whole = n.emit("nn.mul", n.emit("nn.sign", x), n.emit("nn.add", below, n.emit("nn.cast", up, to=DType.F32)))
    rounds = n.emit("nn.floor", n.emit("nn.div", n.emit("nn.sub", whole, n.scalar(lo, x)), count))
    return n.emit(
        "nn.saturate", n.emit("nn.sub", whole, n.emit("nn.mul", rounds, count)), to=element.dtype, lo=lo, hi=hi
    )


@handles("Mod")
def modulo(n: Node) -> Value:
    """y = a - b * floor(a / b) for integers (the sign of b), or with ``fmod`` a - b * trunc(a / b) (the sign of a)"""
    a, b = n.x(0), n.x(1)
    if dtype_of(a).is_float:
        if not n.integer("fmod", 0):
            raise n.broken("Mod of floats has the attribute fmod = 1")
        return n.emit("nn.fmod", a, b)
    quotient = n.emit("nn.div", a, b)
    rest = n.emit("nn.sub", a, n.emit("nn.mul", quotient, b))
    if n.integer("fmod", 0) or dtype_of(a).numpy.kind == "u":
        return rest
    zero = n.scalar(0, a)
    opposed = n.emit("nn.less", n.emit("nn.mul", n.emit("nn.sign", rest), n.emit("nn.sign", b)), zero)
    return n.emit("nn.where", opposed, n.emit("nn.add", rest, b), rest)
