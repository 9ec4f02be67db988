"""Bounds of a tensor divided by its own size: what keeps ``round(x / s)`` a small integer where s is computed from x at run time.

No interval of x says so, for x may be any number; that the scale grows with x does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitc.ir import Op, Value
from bitc.passes.facts import Fact, Range, bounds

_SLACK = 1 + 2.0**-18
"""A chain of a few float32 operations, denormal reciprocals among them, is off by less."""

_LEAST = 2.0**-100
"""Scales above this neither lose digits nor overflow when inverted, whatever constants they meet (see ``_COEFFICIENTS``)."""

_COEFFICIENTS = (2.0**-20, 2.0**20)
_MOST_AVERAGED = 4096
"""A float32 mean of so many terms of one sign is off by less than one part in 4096, in any order of summation."""


@dataclass(frozen=True, slots=True)
class _Size:
    """A value that is ``coefficient * m ** power`` up to rounding, with m >= |x| for each x it is broadcast to, and m >= least.

    ``span``: m is max z - min z, and x is z - min z, never negative.
    """

    coefficient: float
    power: int
    least: float
    slack: float = _SLACK
    span: bool = False


def ratio_range(op: Op, facts: Sequence[Fact] = (None, None)) -> Range | None:
    """The range of ``x / s`` or ``x * r`` where s is max|x| or mean|x| times a constant and never near zero, r its reciprocal.

    With s = max|x| / 127 the ratio is at most 127, for |x| <= max|x| and rounding is monotone. Side condition: something in the
    file keeps s away from zero (``max(s, 1e-5)``, ``s + 1e-8``); without it a row of zeros gives 0/0, and of the least denormals an
    infinity. Such a ratio is not bounded. Likewise of min-max quantizers, x = z - min z and s = max z - min z, if ``facts`` of the operands
    say that x is finite: the difference of finite numbers need not be.

    >>> from bitc.ir import Builder, TensorType
    >>> b = Builder()
    >>> x = b.input("x", TensorType((2, 8)))
    >>> size = b.add("nn.reduce_max", b.add("nn.abs", x), axes=(1,))
    >>> scale = b.add("nn.div", b.add("nn.max", size, b.constant(np.float32(1e-5))), b.constant(np.float32(127)))
    >>> 127 <= ratio_range(b.add("nn.div", x, scale).producer).hi < 127.01
    True
    """
    if op.name == "nn.div":
        pairs, power = [op.operands], 1
    elif op.name == "nn.mul":
        pairs, power = [op.operands, op.operands[::-1]], -1
    else:
        return None
    for (x, other), fact in zip(pairs, facts, strict=False):
        size = _size(other, x) if x.shape == op.results[0].shape else None
        if size is None or size.power != power or size.least < _LEAST:
            continue
        most = (1 / size.coefficient if power > 0 else size.coefficient) * size.slack
        if not size.span:
            return Range(-most, most)
        if np.isfinite(bounds(fact)).all():
            return Range(0.0, most)
    return None


def _same_elements(a: Value, b: Value) -> bool:
    """Whether both hold the same elements, perhaps in another order."""
    return _unmoved(a) is _unmoved(b)


def _unmoved(value: Value) -> Value:
    while value.producer is not None and value.producer.name in ("nn.reshape", "nn.transpose"):
        value = value.producer.operands[0]
    return value


def _reduction(value: Value) -> Op | None:
    """What made ``value``, before it was repeated."""
    op = value.producer
    while op is not None and op.name == "nn.expand":
        op = op.operands[0].producer
    return op


def scale_of(value: Value, x: Value) -> float | None:
    """c, where ``value`` is ``c / max|x|`` or ``c / mean|x|`` with nothing that keeps the divisor from zero; a bound of ``|x * value|``
    for every x for which ``value`` is finite. None if it is something else."""
    size = _size(value, x, least=_LEAST)
    return size.coefficient * size.slack if size is not None and size.power < 0 and not size.span else None


def _size(value: Value, x: Value, least: float = 0.0) -> _Size | None:
    """``value`` as a size of ``x``, None if it is none; reductions are taken to be ``least`` at least."""
    op = value.producer
    if op is None or value.constant is not None:
        return None
    if op.name in ("nn.expand", "nn.reshape"):
        inner = op.operands[0]
        aligned = op.name == "nn.expand" or inner.shape == value.shape or int(np.prod(inner.shape)) == 1
        return _size(inner, x, least) if aligned else None
    if op.name in ("nn.reduce_max", "nn.reduce_mean"):
        return _reduced(op, x, least)
    if op.name == "nn.reciprocal":
        return _inverse(_size(op.operands[0], x, least), 1.0)
    if op.name == "nn.sub":
        return _Size(1.0, 1, least, span=True) if _is_span(op, x) else None
    return _with_constant(op, x, least)


def never_negative(op: Op) -> bool:
    """Whether ``op`` takes the least of some numbers from one of them, or from the greatest of the same."""
    if op.name != "nn.sub":
        return False
    x, least = op.operands
    lowest = _reduction(least)
    if lowest is None or lowest.name != "nn.reduce_min":
        return False
    z = lowest.operands[0]
    over = _extreme_over(least, "min", z)
    if over is None:
        return False
    if x is z or (len(over) == len(z.shape) and _same_elements(x, z)):
        return True
    return _extreme_over(x, "max", z) == over


def _is_span(span: Op, x: Value) -> bool:
    """Whether ``span`` is max z - min z, of a tensor or of rows, and ``x`` is z - min z."""
    shifted = x.producer
    if shifted is None or shifted.name != "nn.sub":
        return False
    z, least = shifted.operands
    greatest, lowest = span.operands
    over = [_extreme_over(value, kind, z) for value, kind in ((least, "min"), (lowest, "min"), (greatest, "max"))]
    return z.shape == x.shape and over[0] is not None and over == [over[0]] * 3


def _extreme_over(value: Value, kind: str, z: Value) -> frozenset[int] | None:
    """The axes of ``z`` that the extreme ``value`` is taken over, as :func:`_reduced` has them; None if it is none of ``z``."""
    op = _reduction(value)
    if op is None or op.name != f"nn.reduce_{kind}":
        return None
    inner = op.operands[0]
    axes = frozenset(axis % len(inner.shape) for axis in op.attrs["axes"])
    if len(axes) == len(inner.shape):
        return frozenset(range(len(z.shape))) if _same_elements(inner, z) else None
    return axes if op.attrs["keepdims"] and inner is z else None


def _reduced(op: Op, x: Value, least: float) -> _Size | None:
    """The maximum or mean of |x| over axes that stay, with size one, or over all of them."""
    inner = op.operands[0]
    axes = len(set(op.attrs["axes"]))
    if not op.attrs["keepdims"] and axes < len(inner.shape):
        return None
    if op.name == "nn.reduce_max":
        below = inner.producer
        if below is not None and below.name == "nn.reduce_max":
            return _reduced(below, x, least) if below.attrs["keepdims"] else None
        return _Size(1.0, 1, least) if _is_absolute(inner, x, axes) else None
    terms = int(np.prod([inner.shape[axis] for axis in op.attrs["axes"]]))
    if terms > _MOST_AVERAGED or not _is_absolute(inner, x, axes):
        return None
    return _Size(1 / terms, 1, least, _SLACK * (1 + 2.0**-12))


def _is_absolute(value: Value, x: Value, axes: int) -> bool:
    """Whether ``value`` is |x|; where all its axes are reduced, in any order of the elements."""
    whole = axes == len(value.shape)
    op = (_unmoved(value) if whole else value).producer
    if op is None or op.name != "nn.abs":
        return False
    return _same_elements(op.operands[0], x) if whole else op.operands[0] is x


def _with_constant(op: Op, x: Value, least: float) -> _Size | None:
    """A size combined with one positive constant."""
    if op.name not in ("nn.mul", "nn.div", "nn.max", "nn.add"):
        return None
    a, b = op.operands
    constant = a.constant if a.constant is not None else b.constant
    if constant is None or constant.size != 1 or not np.isfinite(constant).all() or constant.item() <= 0:
        return None
    number = float(constant.item())
    size = _size(b if a.constant is not None else a, x, least)
    if size is None:
        return None
    if op.name == "nn.mul":
        return _times(size, number)
    if op.name == "nn.div":
        return _inverse(size, number) if a.constant is not None else _times(size, 1 / number)
    # m' = max(m, number / c), m + number / c: no smaller than m, and never near zero
    return replace(size, least=max(size.least, number / size.coefficient)) if size.power > 0 else None


def _times(size: _Size, factor: float) -> _Size | None:
    made = replace(size, coefficient=size.coefficient * factor)
    return made if _COEFFICIENTS[0] <= made.coefficient <= _COEFFICIENTS[1] else None


def _inverse(size: _Size | None, numerator: float) -> _Size | None:
    """``numerator / size``, which needs a size that is never near zero."""
    if size is None or size.power < 0 or size.least < _LEAST:
        return None
    return _times(replace(size, coefficient=1 / size.coefficient, power=-1), numerator)
