"""C expressions of elementwise ops, with NumPy's meaning in each dtype: wrapping integers, NaN-propagating min and max, ties to even."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bitc.codegen.names import CTYPES, literal
from bitc.errors import Diagnostic, UnsupportedError
from bitc.ir import DType, Op, TensorType
from bitc.ir.types import BufferType

_SIGNED = {DType.I8: DType.U8, DType.I16: DType.U16, DType.I32: DType.U32, DType.I64: DType.U64}
NARROW = frozenset({DType.I8, DType.U8, DType.I16, DType.U16})
"""Integers that C computes as int."""
_UNSIGNED = frozenset({DType.U8, DType.U16, DType.U32, DType.U64})
_LIBM = {
    "nn.floor": "floor",
    "nn.ceil": "ceil",
    "nn.sqrt": "sqrt",
    "nn.log": "log",
    "nn.log1p": "log1p",
    "nn.sin": "sin",
    "nn.cos": "cos",
    "nn.tan": "tan",
    "nn.asin": "asin",
    "nn.acos": "acos",
    "nn.atan": "atan",
    "nn.sinh": "sinh",
    "nn.cosh": "cosh",
    "nn.asinh": "asinh",
    "nn.acosh": "acosh",
    "nn.atanh": "atanh",
}
_COMPARE = {
    "nn.greater": ">",
    "nn.greater_equal": ">=",
    "nn.less": "<",
    "nn.less_equal": "<=",
    "nn.equal": "==",
}
_ARITHMETIC = {"nn.add": "+", "nn.sub": "-", "nn.mul": "*"}
_BITWISE = {"nn.bit_and": "&", "nn.bit_or": "|", "nn.bit_xor": "^"}
_SHIFT = {"nn.shift_left": "<<", "nn.shift_right": ">>"}
_LOGIC = {"nn.and": "&&", "nn.or": "||", "nn.xor": "!="}


def element_type(op: Op, operand: int | None = None) -> DType:
    """The dtype of an operand, or of the result."""
    type = op.result.type if operand is None else op.operands[operand].type
    assert isinstance(type, TensorType | BufferType)
    return type.dtype


def expression(op: Op, args: Sequence[str], constant: Sequence[bool], whole: bool = False) -> str:
    """``op`` on C operands ``args`` (names or literals; ``constant`` says which are no NaN for sure, ``whole`` whether the first is
    sure to convert to int32).

    Raises :class:`UnsupportedError` for an op that has no C form in its dtype.
    """
    source, result = element_type(op, 0), element_type(op)
    name = op.name
    if name == "nn.cast":
        return cast(args[0], source, result)
    if name == "nn.saturate":
        return _saturated(op, args[0], whole)
    if name == "nn.minifloat":
        return _minifloat(op, args[0])
    if name == "nn.bfloat16":
        return f"bitc_bfloat16({args[0]})"
    if name == "nn.where":
        return f"{args[0]} ? {args[1]} : {args[2]}"
    if name in _COMPARE:
        return f"(uint8_t)({args[0]} {_COMPARE[name]} {args[1]})"
    if name in _LOGIC and source is DType.BOOL:
        return f"(uint8_t)({args[0]} {_LOGIC[name]} {args[1]})"
    if name == "nn.not":
        return f"(uint8_t)!{args[0]}"
    if name in ("nn.min", "nn.max"):
        return _extreme(name, source, args, constant)
    if name in ("nn.relu", "nn.prelu", "nn.abs") and source in _UNSIGNED:
        return args[0]
    if name == "nn.fma":  # infer lets float32 in only
        return f"(float)((double){args[0]} * (double){args[1]} + (double){args[2]})"
    if name == "nn.multi_threshold" and source is not DType.F16:
        return f"({CTYPES[result]})({' + '.join(f'({args[0]} >= {t})' for t in args[1:])})"
    table = _FLOAT if source.is_float else _INTEGER
    if name in table and source not in (DType.BOOL, DType.F16):
        return table[name](op, args)
    raise UnsupportedError(
        Diagnostic(
            "U150",
            f"{name} has no C form for {source}",
            op.loc,
            rule="elementwise ops run in the dtypes of the table of supported ops",
            here=f"{', '.join(str(o.type) for o in op.operands)} -> {op.result.type}",
        )
    )


def _saturated(op: Op, a: str, whole: bool) -> str:
    """Comparisons with NaN are false, and so give the lowest. Whole ends: truncation may come before them, where it is defined;
    compilers make half as many instructions of that."""
    source, to = element_type(op, 0), element_type(op)
    lo, hi = op.attrs["lo"], op.attrs["hi"]
    low, high = literal(lo, source), literal(hi, source)
    if not source.is_float:
        return _clamped(source, to, a, lo, hi)
    if whole and to in NARROW:
        return f"({CTYPES[to]})bitc_iclamp((int32_t){a}, {int(lo)}, {int(hi)})"
    if source is DType.F32 and to in NARROW:
        return f"({CTYPES[to]})(int32_t)bitc_fclamp({a}, {low}, {high})"
    wide = "" if to in (DType.I64, DType.U64, DType.U32) else "(int32_t)"
    return f"({CTYPES[to]}){wide}({a} >= {low} ? {a} <= {high} ? {a} : {high} : {low})"


def _clamped(source: DType, to: DType, a: str, lo: int, hi: int) -> str:
    """Compilers warn of a comparison that the type of ``a`` decides, so there is none."""
    limits = np.iinfo(source.numpy)
    clamped = a
    if hi < limits.max:
        clamped = f"{a} > {literal(hi, source)} ? {literal(hi, source)} : {clamped}"
    if lo > limits.min:
        clamped = f"{a} < {literal(lo, source)} ? {literal(lo, source)} : {clamped}"
    return f"({CTYPES[to]})({clamped})"


def _minifloat(op: Op, a: str) -> str:
    attrs = op.attrs
    numbers = 2.0 ** (1 - attrs["bias"]), 1.5 * 2.0 ** (23 - attrs["mantissa_bits"]), attrs["max"], attrs["overflow"]
    return f"bitc_minifloat({a}, {', '.join(_number(number, op) for number in numbers)})"


def _extreme(name: str, dtype: DType, args: Sequence[str], constant: Sequence[bool]) -> str:
    a, b = args
    better = "<" if name == "nn.min" else ">"
    worse = ">" if name == "nn.min" else "<"
    if not dtype.is_float or constant[1]:
        return f"{a} {worse} {b} ? {b} : {a}"
    if constant[0]:
        return f"{b} {worse} {a} ? {a} : {b}"
    return f"{a} {better}= {b} || {a} != {a} ? {a} : {b}"


def _number(value: float, op: Op) -> str:
    return literal(value, element_type(op, 0))


def _suffix(op: Op) -> str:
    return "f" if element_type(op, 0) is DType.F32 else ""


def _function(name: str, op: Op, a: str) -> str:
    """The runtime's functions of float32 are ones that a compiler vectorises."""
    return f"{'bitc_f' if _suffix(op) else ''}{name}({a})"


Form = Callable[[Op, Sequence[str]], str]

_FLOAT: dict[str, Form] = {
    **{name: (lambda op, a, c=c: f"{a[0]} {c} {a[1]}") for name, c in _ARITHMETIC.items()},  # type: ignore[misc]
    **{name: (lambda op, a, c=c: f"{c}{_suffix(op)}({a[0]})") for name, c in _LIBM.items()},  # type: ignore[misc]
    "nn.div": lambda op, a: f"{a[0]} / {a[1]}",
    "nn.round": lambda op, a: f"{'bitc_fround' if _suffix(op) else 'rint'}({a[0]})",
    "nn.exp": lambda op, a: _function("exp", op, a[0]),
    "nn.tanh": lambda op, a: _function("tanh", op, a[0]),
    "nn.erf": lambda op, a: _function("erf", op, a[0]),
    "nn.pow": lambda op, a: f"pow{_suffix(op)}({a[0]}, {a[1]})",
    "nn.fmod": lambda op, a: f"fmod{_suffix(op)}({a[0]}, {a[1]})",
    "nn.neg": lambda op, a: f"-{a[0]}",
    "nn.abs": lambda op, a: f"fabs{_suffix(op)}({a[0]})",
    "nn.relu": lambda op, a: f"{a[0]} < {_number(0, op)} ? {_number(0, op)} : {a[0]}",
    "nn.prelu": lambda op, a: f"{a[0]} < {_number(0, op)} ? {a[0]} * {a[1]} : {a[0]}",
    "nn.reciprocal": lambda op, a: f"{_number(1, op)} / {a[0]}",
    "nn.sigmoid": lambda op, a: f"{_number(1, op)} / ({_number(1, op)} + {_function('exp', op, f'-{a[0]}')})",
    "nn.sign": lambda op, a: (
        f"{a[0]} > {_number(0, op)} ? {_number(1, op)} : {a[0]} < {_number(0, op)} ? {_number(-1, op)} : "
        f"{a[0]} == {_number(0, op)} ? {_number(0, op)} : {a[0]}"
    ),
}


def _wrapped(op: Op, operator: str, a: str, b: str) -> str:
    """Integer arithmetic modulo 2^bits: done in an unsigned type at least as wide as int."""
    dtype = element_type(op)
    wide = DType.U64 if dtype in (DType.I64, DType.U64) else DType.U32
    return f"({CTYPES[dtype]})(({CTYPES[wide]}){a} {operator} ({CTYPES[wide]}){b})"


def _quotient(op: Op, a: Sequence[str]) -> str:
    dtype = element_type(op)
    whole = f"({CTYPES[dtype]})({a[0]} / {a[1]})"
    if dtype in _SIGNED:
        whole = f"{a[1]} == -1 ? {_wrapped(op, '-', '0', a[0])} : {whole}"
    return f"{a[1]} == 0 ? 0 : {whole}"


def _shifted(op: Op, operator: str, a: Sequence[str]) -> str:
    """Shifts in an unsigned type; C leaves those by the width or more undefined."""
    dtype = element_type(op)
    return f"{a[1]} < {dtype.bytes * 8} ? {_wrapped(op, operator, a[0], a[1])} : 0"


def _integer_sign(op: Op, a: Sequence[str]) -> str:
    below = f" - ({a[0]} < 0)" if element_type(op) not in _UNSIGNED else ""
    return f"({CTYPES[element_type(op)]})(({a[0]} > 0){below})"


_INTEGER: dict[str, Form] = {
    **{name: (lambda op, a, c=c: _wrapped(op, c, a[0], a[1])) for name, c in _ARITHMETIC.items()},  # type: ignore[misc]
    **{name: (lambda op, a: a[0]) for name in ("nn.floor", "nn.ceil", "nn.round")},
    "nn.div": _quotient,
    "nn.neg": lambda op, a: _wrapped(op, "-", "0", a[0]),
    "nn.abs": lambda op, a: f"{a[0]} < 0 ? {_wrapped(op, '-', '0', a[0])} : {a[0]}",
    "nn.relu": lambda op, a: f"{a[0]} < 0 ? 0 : {a[0]}",
    "nn.prelu": lambda op, a: f"{a[0]} < 0 ? {_wrapped(op, '*', a[0], a[1])} : {a[0]}",
    "nn.sign": _integer_sign,
    **{name: (lambda op, a, c=c: f"({CTYPES[element_type(op)]})({a[0]} {c} {a[1]})") for name, c in _BITWISE.items()},  # type: ignore[misc]
    **{name: (lambda op, a, c=c: _shifted(op, c, a)) for name, c in _SHIFT.items()},  # type: ignore[misc]
    "nn.bit_not": lambda op, a: f"({CTYPES[element_type(op)]})~{a[0]}",
}


def cast(a: str, source: DType, to: DType) -> str:
    """A conversion. Floats outside the range of an integer type become its least value (int32, int64), as on x86; narrower types
    take the low bits of that, and so does uint64 of negative numbers."""
    if to is DType.BOOL:
        return f"(uint8_t)({a} != {literal(0, source)})"
    if to is DType.F16:
        return f"bitc_round_f16((double){a})"
    if not source.is_float or to.is_float:
        return f"({CTYPES[to]}){a}"
    wide = DType.I64 if to in (DType.I64, DType.U64, DType.U32) else DType.I32
    low, high = (
        literal(bound, source) for bound in ((-(2.0**63), 2.0**63) if wide is DType.I64 else (-(2.0**31), 2.0**31))
    )
    least = "INT64_MIN" if wide is DType.I64 else "INT32_MIN"
    whole = f"{a} >= {low} && {a} < {high} ? ({CTYPES[wide]}){a} : {least}"
    narrow = whole if to is wide else f"({CTYPES[to]})({whole})"
    if to is not DType.U64:
        return narrow
    return f"{a} >= {high} ? {a} < {literal(2.0**64, source)} ? (uint64_t){a} : 0 : {narrow}"
