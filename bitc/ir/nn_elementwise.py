"""Level ``nn``: elementwise ops in numbers, with NumPy's (ONNX's) broadcasting and the operands' own precision.

``monotone(index, constants, **attrs)`` is what the threshold pass rests on: given all other operands as constants it gives an
array of +1 (non-decreasing), -1 (non-increasing) or 0 (constant), broadcastable to the result, or None if it cannot say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import DType, TensorType, Type

Constants = tuple[np.ndarray | None, ...]


def broadcast_shape(*types: Type) -> tuple[int, ...]:
    """NumPy broadcasting of shapes. Raises :class:`InferenceError`."""
    try:
        return tuple(np.broadcast_shapes(*(t.shape for t in types)))
    except ValueError:
        raise InferenceError(
            "shapes " + " and ".join(str(list(t.shape)) for t in types) + " do not broadcast"
        ) from None


def as_tensor(type: Type) -> TensorType:
    """``type`` if it is a tensor of numbers. Raises :class:`InferenceError`."""
    if not isinstance(type, TensorType):
        raise InferenceError(f"needs a tensor of numbers, got {type}")
    return type


def _same(*types: Type) -> TensorType:
    tensors = [as_tensor(t) for t in types]
    if len({t.dtype for t in tensors}) != 1:
        raise InferenceError("operands differ in dtype: " + ", ".join(map(str, tensors)))
    return TensorType(broadcast_shape(*tensors), tensors[0].dtype)


def _signed(*types: Type) -> TensorType:
    """Of ops that take differences, which truth values do not have."""
    result = _same(*types)
    if result.dtype is DType.BOOL:
        raise InferenceError(f"needs numbers, got {types[0]}")
    return result


def _compare(*types: Type) -> TensorType:
    return TensorType(_same(*types).shape, DType.BOOL)


def _logical(*types: Type) -> TensorType:
    result = _same(*types)
    if result.dtype is not DType.BOOL:
        raise InferenceError(f"needs bool, got {types[0]}")
    return result


def _bits(*types: Type) -> TensorType:
    result = _same(*types)
    if result.dtype.numpy.kind not in "iu":
        raise InferenceError(f"needs integers, got {types[0]}")
    return result


def _unsigned(*types: Type) -> TensorType:
    result = _same(*types)
    if result.dtype.numpy.kind != "u":
        raise InferenceError(f"needs unsigned integers, got {types[0]}")
    return result


def _unary(
    name: str,
    doc: str,
    function: Callable[[np.ndarray], np.ndarray],
    direction: int | None,
    infer: Callable[..., TensorType] = _same,
) -> None:
    def evaluate(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(function(x), dtype=x.dtype)

    def monotone(index: int, constants: Constants) -> np.ndarray | None:
        return None if direction is None else np.asarray(direction)

    members = {
        "__doc__": doc,
        "operands": ("x",),
        "infer": staticmethod(infer),
        "evaluate": staticmethod(evaluate),
        "monotone": staticmethod(monotone),
    }
    op(f"nn.{name}", elementwise=True)(type(name.title(), (OpDecl,), members))


Direction = Callable[[int, Constants], np.ndarray | None]


def _binary(
    name: str,
    doc: str,
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    direction: Direction,
    infer: Callable[..., TensorType] = _same,
) -> None:
    def evaluate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(function(a, b))

    members = {
        "__doc__": doc,
        "operands": ("a", "b"),
        "infer": staticmethod(infer),
        "evaluate": staticmethod(evaluate),
        "monotone": staticmethod(direction),
    }
    op(f"nn.{name}", elementwise=True)(type(name.title(), (OpDecl,), members))


def _always(first: int, second: int) -> Direction:
    return lambda index, constants: np.asarray((first, second)[index])


def _sign_of_other(index: int, constants: Constants) -> np.ndarray | None:
    other = constants[1 - index]
    return None if other is None else np.sign(other)


def _quotient(index: int, constants: Constants) -> np.ndarray | None:
    divisor = constants[1]
    return np.sign(divisor) if index == 0 and divisor is not None and bool(np.all(divisor != 0)) else None


def _unknown(index: int, constants: Constants) -> np.ndarray | None:
    return None


def _integer_division(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    quotient = np.abs(a) // np.abs(b)
    return np.asarray(np.where((a < 0) != (b < 0), -quotient, quotient), dtype=a.dtype)


def _shift(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def shifted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        width = 8 * a.dtype.itemsize
        return np.where(b < width, function(a, np.minimum(b, b.dtype.type(width - 1))), a.dtype.type(0))

    return shifted


def _erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return np.asarray(erf(x))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


_unary("sign", "y = -1, 0, +1 for x < 0, x == 0, x > 0; NaN stays NaN (ONNX Sign)", np.sign, 1, _signed)
_unary("abs", "y = |x|", np.abs, None)
_unary("neg", "y = -x", np.negative, -1, _signed)
_unary("relu", "y = max(x, 0); NaN stays NaN", lambda x: np.where(x < 0, 0, x), 1)
_unary("floor", "y = greatest integer not above x", np.floor, 1)
_unary("ceil", "y = least integer not below x", np.ceil, 1)
_unary("round", "y = x rounded to the nearest integer, ties to even", np.rint, 1)
_unary("sqrt", "y = square root of x", np.sqrt, None)
_unary("exp", "y = e^x", np.exp, 1)
_unary("log", "y = natural logarithm of x", np.log, None)
_unary("log1p", "y = natural logarithm of 1 + x, precise near 0", np.log1p, None)
_unary("reciprocal", "y = 1 / x", lambda x: 1 / x, None)
_unary("tanh", "y = hyperbolic tangent of x", np.tanh, 1)
_unary("sigmoid", "y = 1 / (1 + e^-x)", _sigmoid, 1, _signed)
_unary("erf", "y = error function of x", _erf, 1)
_unary("sin", "y = sine of x", np.sin, None)
_unary("cos", "y = cosine of x", np.cos, None)
_unary("tan", "y = tangent of x", np.tan, None)
_unary("asin", "y = arcsine of x", np.arcsin, None)
_unary("acos", "y = arccosine of x", np.arccos, None)
_unary("atan", "y = arctangent of x", np.arctan, 1)
_unary("sinh", "y = hyperbolic sine of x", np.sinh, 1)
_unary("cosh", "y = hyperbolic cosine of x", np.cosh, None)
_unary("asinh", "y = inverse hyperbolic sine of x", np.arcsinh, 1)
_unary("acosh", "y = inverse hyperbolic cosine of x", np.arccosh, None)
_unary("atanh", "y = inverse hyperbolic tangent of x", np.arctanh, None)
_unary("bit_not", "y = x with every bit turned", np.invert, None, _bits)
_unary("not", "y = not x", np.logical_not, -1, _logical)

_binary("add", "y = a + b", np.add, _always(1, 1))
_binary("sub", "y = a - b", np.subtract, _always(1, -1), _signed)
_binary("mul", "y = a * b", np.multiply, _sign_of_other)
_binary("div", "y = a / b; integers truncate toward zero", _integer_division, _quotient)
_binary("pow", "y = a ^ b", np.power, _unknown)
_binary("min", "y = min(a, b); NaN wins", np.minimum, _always(1, 1))
_binary("max", "y = max(a, b); NaN wins", np.maximum, _always(1, 1))
_binary("fmod", "y = a - b * trunc(a / b), which has the sign of a; exact", np.fmod, _unknown)
_binary("bit_and", "y = a & b, bit by bit", np.bitwise_and, _unknown, _bits)
_binary("bit_or", "y = a | b, bit by bit", np.bitwise_or, _unknown, _bits)
_binary("bit_xor", "y = a ^ b, bit by bit", np.bitwise_xor, _unknown, _bits)
_binary("shift_left", "y = a * 2^b modulo 2^bits, unsigned", _shift(np.left_shift), _unknown, _unsigned)
_binary("shift_right", "y = floor(a / 2^b), unsigned", _shift(np.right_shift), _unknown, _unsigned)
_binary("greater", "y = a > b", np.greater, _always(1, -1), _compare)
_binary("greater_equal", "y = a >= b", np.greater_equal, _always(1, -1), _compare)
_binary("less", "y = a < b", np.less, _always(-1, 1), _compare)
_binary("less_equal", "y = a <= b", np.less_equal, _always(-1, 1), _compare)
_binary("equal", "y = a == b", np.equal, _unknown, _compare)
_binary("and", "y = a and b", np.logical_and, _always(1, 1), _logical)
_binary("or", "y = a or b", np.logical_or, _always(1, 1), _logical)
_binary("xor", "y = a xor b", np.logical_xor, _unknown, _logical)


@op("nn.where", elementwise=True)
class Where(OpDecl):
    """y = a where the condition c holds, else b"""

    operands = ("c", "a", "b")

    @staticmethod
    def infer(c: Type, a: Type, b: Type) -> TensorType:
        if as_tensor(c).dtype is not DType.BOOL:
            raise InferenceError(f"the condition is {c}, not bool")
        return TensorType(broadcast_shape(c, a, b), _same(a, b).dtype)

    @staticmethod
    def evaluate(c: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(c, a, b)

    @staticmethod
    def monotone(index: int, constants: Constants) -> np.ndarray | None:
        _, a, b = constants
        if index == 0:
            return np.sign(np.subtract(a, b, dtype=np.float64)) if a is not None and b is not None else None
        return np.asarray(1)


@op("nn.prelu", elementwise=True)
class PRelu(OpDecl):
    """y = x where x >= 0, else slope * x (ONNX PRelu, LeakyRelu)"""

    operands = ("x", "slope")

    @staticmethod
    def infer(x: Type, slope: Type) -> TensorType:
        return _same(x, slope)

    @staticmethod
    def evaluate(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.where(x < 0, x * slope, x)

    @staticmethod
    def monotone(index: int, constants: Constants) -> np.ndarray | None:
        slope = constants[1]
        return np.asarray(1) if index == 0 and slope is not None and bool(np.all(slope >= 0)) else None


@op("nn.multi_threshold", elementwise=True)
class MultiThreshold(OpDecl):
    """y = number of thresholds t_i with x >= t_i, in the dtype of x; NaN counts none (QONNX MultiThreshold without scale and bias)"""

    operands = ("x", "t*")

    @staticmethod
    def infer(x: Type, *ts: Type) -> TensorType:
        return _same(x, *ts)

    @staticmethod
    def evaluate(x: np.ndarray, *ts: np.ndarray) -> np.ndarray:
        counts = np.zeros(np.broadcast_shapes(x.shape, *(t.shape for t in ts)), dtype=x.dtype)
        for t in ts:
            counts += x >= t
        return counts

    @staticmethod
    def monotone(index: int, constants: Constants) -> np.ndarray | None:
        return np.asarray(1 if index == 0 else -1)


@op("nn.cast", elementwise=True)
class Cast(OpDecl):
    """y = x in another dtype; floats truncate toward zero, bool is 0 or 1"""

    operands = ("x",)
    attrs = {"to": REQUIRED}

    @staticmethod
    def infer(x: Type, *, to: DType) -> TensorType:
        return TensorType(as_tensor(x).shape, to)

    @staticmethod
    def evaluate(x: np.ndarray, *, to: DType) -> np.ndarray:
        with np.errstate(all="ignore"):
            return x.astype(to.numpy)

    @staticmethod
    def monotone(index: int, constants: Constants, *, to: DType) -> np.ndarray | None:
        return np.asarray(1) if to.is_float else None  # integers wrap, and bool is true on both sides of 0


def direction(decl: type[OpDecl], index: int, constants: Constants, attrs: dict[str, Any]) -> np.ndarray | None:
    """The declared direction of an elementwise op in operand ``index``, None if unknown."""
    rule = decl.monotone
    return None if rule is None else rule(index, constants, **attrs)
