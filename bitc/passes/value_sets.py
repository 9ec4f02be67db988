"""Forward analysis: which values can each tensor take?

The lattice, from most to least known::

    Finite{v0 < v1 < ...} (at most 256)  |  Integers scale * {lo, lo+step, .., hi}  |  Range [lo, hi]  |  unknown

Each op has a transfer rule; elementwise ops on finite sets are simply evaluated on all combinations. On top of that, a value that
is a function of one integer root (an accumulator) and of per-channel constants is *tabulated* over every value the root can take:
that proves, for instance, that ``Sign(BatchNorm(acc))`` is never 0, with the graph's own float32 arithmetic and no algebra.

A fact speaks of the elements that are numbers. Where a NaN is proved possible there is no fact; NaNs that come in from outside are
beyond it (``q.threshold`` gives them the lowest level).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from bitc.ir import CodeType, DType, Op, TensorType, Value
from bitc.passes.cones import evaluate_cone, integer_root

MAX_FINITE = 256
MAX_TABLE_ROWS = 1 << 17
MAX_TABLE_ELEMENTS = 1 << 25
_EXACT = 1 << 24  # float32 holds every integer up to here
_SCALES = (2.0**-126, 2.0**103)  # and times these, neither denormal nor infinite


@dataclass(frozen=True, slots=True)
class Finite:
    """Every element is one of ``values`` (ascending, distinct; bools are 0 and 1)."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Integers:
    """Every element is ``scale * k`` for an integer k of {lo, lo + step, ..., hi}; ``scale`` is a power of two, all exact in float32."""

    lo: int
    hi: int
    step: int = 1
    scale: float = 1.0

    @property
    def count(self) -> int:
        """How many values there are."""
        return (self.hi - self.lo) // self.step + 1

    def samples(self, dtype: DType) -> np.ndarray:
        """All values, ascending."""
        return np.asarray(self.scale * np.arange(self.lo, self.hi + 1, self.step, dtype=np.int64), dtype=dtype.numpy)


@dataclass(frozen=True, slots=True)
class Range:
    """Every element is in [lo, hi]; if ``whole``, an integer."""

    lo: float
    hi: float
    whole: bool = False


Fact = Finite | Integers | Range | None

_QUANTIZING = {
    "nn.sign",
    "nn.greater",
    "nn.greater_equal",
    "nn.less",
    "nn.less_equal",
    "nn.equal",
    "nn.where",
    "nn.round",
}
_QUANTIZING |= {"nn.floor", "nn.ceil", "nn.add", "nn.sub", "nn.multi_threshold"}
_PRODUCTS = {"nn.conv", "nn.matmul", "q.conv", "q.matmul", "q.weight_conv", "q.weight_matmul"}
_VIEWS = {
    "nn.reshape",
    "nn.transpose",
    "nn.expand",
    "nn.slice",
    "nn.gather",
    "nn.max_pool",
    "nn.reduce_max",
    "nn.reduce_min",
}


class ValueSets:
    """Facts by value, computed on demand and remembered. Values never change, so facts never go stale."""

    def __init__(self) -> None:
        self._facts: dict[Value, Fact] = {}

    def of(self, value: Value) -> Fact:
        """What is known of ``value``."""
        stack = [value]
        while stack:
            current = stack[-1]
            if current in self._facts:
                stack.pop()
                continue
            operands = current.producer.operands if current.producer is not None else ()
            missing = [operand for operand in operands if operand not in self._facts]
            if missing:
                stack.extend(missing)
                continue
            self._facts[current] = self._transfer(current)
            stack.pop()
        return self._facts[value]

    def values(self, value: Value) -> tuple[float, ...] | None:
        """The finite set of ``value``, if it has one."""
        fact = self.of(value)
        if isinstance(fact, Finite):
            return fact.values
        if isinstance(fact, Integers) and fact.count <= MAX_FINITE:
            return tuple(float(v) for v in fact.samples(DType.F64))
        return None

    def integer_root(self, value: Value) -> tuple[Value, Integers] | None:
        """The root and its domain if ``value`` is a function of one tensor of few integers and per-channel constants."""
        root = integer_root(value, lambda candidate: isinstance(self.of(candidate), Integers))
        if root is None:
            return None
        domain = self.of(root)
        assert isinstance(domain, Integers)
        channels = root.shape[1] if len(root.shape) > 1 else 1
        if domain.count > MAX_TABLE_ROWS or domain.count * channels > MAX_TABLE_ELEMENTS:
            return None
        return root, domain

    def table(self, value: Value, root: Value, domain: Integers) -> np.ndarray | None:
        """``value`` for each value of ``domain`` [count, C or 1], None where a constant varies inside a channel."""
        assert isinstance(root.type, TensorType)
        return evaluate_cone(value, root, domain.samples(root.type.dtype))

    def _transfer(self, value: Value) -> Fact:
        op = value.producer
        if op is None:
            return None
        fact = self._by_op(op, value)
        if op.name in _QUANTIZING and not (isinstance(fact, Finite) and len(fact.values) <= 2):
            fact = self._tabulated(value) or fact
        return fact

    def _tabulated(self, value: Value) -> Finite | None:
        """The exact value set through the table over an integer root."""
        found = None
        for operand in value.producer.operands if value.producer is not None else ():
            if operand.constant is None and (found := self.integer_root(operand)) is None:
                return None
        if found is None or (found := self._root_through(value)) is None:
            return None
        table = self.table(value, *found)
        if table is None or np.isnan(table.astype(np.float64)).any():
            return None
        distinct = np.unique(table)
        return Finite(tuple(float(v) + 0.0 for v in distinct)) if distinct.size <= MAX_FINITE else None

    def _root_through(self, value: Value) -> tuple[Value, Integers] | None:
        self._facts[value] = None  # a function of the root, not itself one
        try:
            return self.integer_root(value)
        finally:
            del self._facts[value]

    def _by_op(self, op: Op, value: Value) -> Fact:
        if op.name == "nn.constant":
            return _constant_fact(op.attrs["value"])
        if op.name == "nn.assume":
            assert isinstance(value.type, TensorType)
            return _constant_fact(np.asarray(op.attrs["values"], dtype=value.type.dtype.numpy))
        if op.name in ("q.encode", "q.threshold", "q.max_pool") or isinstance(value.type, CodeType):
            assert isinstance(value.type, CodeType)
            return Integers(value.type.levels.lo, value.type.levels.hi, value.type.levels.step)
        if op.name == "q.decode":
            code = op.operands[0].type
            assert isinstance(code, CodeType)
            scaled = code.levels.values().astype(np.float32) * np.float32(code.scale)
            return Finite(tuple(float(v) for v in scaled))
        if op.name in _PRODUCTS:
            return _product_fact(op, self.of(op.operands[0]), self.of(op.operands[1]))
        if op.name in _VIEWS:
            return self.of(op.operands[0])
        if op.name in ("nn.concat", "nn.pad"):
            return self._joined(op)
        if op.decl.elementwise:
            return _elementwise_fact(op, [self.of(operand) for operand in op.operands])
        return None

    def _joined(self, op: Op) -> Fact:
        sets = [self.values(operand) for operand in op.operands]
        if any(s is None for s in sets):
            return None
        merged = {v for s in sets for v in s or ()}
        if op.name == "nn.pad" and isinstance(op.operands[0].type, TensorType):
            merged.add(float(op.operands[0].type.dtype.numpy.type(op.attrs["value"])))
        return Finite(tuple(sorted(merged))) if len(merged) <= MAX_FINITE else None


def _constant_fact(array: np.ndarray) -> Fact:
    if array.size == 0 or np.isnan(array.astype(np.float64)).any():
        return None
    distinct = np.unique(array)
    if distinct.size <= MAX_FINITE:
        return Finite(tuple(float(v) for v in distinct))
    return Range(float(distinct[0]), float(distinct[-1]))


def grid(fact: Fact) -> Integers | None:
    """The fact as multiples of a power of two, if it is that exactly."""
    if isinstance(fact, Integers):
        return fact
    if not isinstance(fact, Finite) or not all(np.isfinite(fact.values)):
        return None
    nonzero = [v for v in fact.values if v]
    if not nonzero:
        return Integers(0, 0)
    exponent = min(_lowest_bit(v) for v in nonzero)
    scale = 2.0**exponent
    whole = [int(v / scale) for v in fact.values]
    if max(map(abs, whole)) >= _EXACT:
        return None
    gaps = [b - a for a, b in pairwise(whole)]
    return Integers(whole[0], whole[-1], int(np.gcd.reduce(gaps)) if gaps else 1, scale)


def _lowest_bit(value: float) -> int:
    """The exponent of the lowest set bit: value is an odd multiple of 2 to that."""
    mantissa, exponent = np.frexp(value)
    whole = int(mantissa * 2**53)
    return int(exponent) - 53 + ((whole & -whole).bit_length() - 1)


def _product_fact(op: Op, x: Fact, w: Fact) -> Fact:
    """Exact sums: every product and partial sum an integer multiple of one power of two, below 2^24 of them."""
    a, b = grid(x), grid(w)
    if a is None or b is None:
        return None
    is_conv = op.name.endswith("conv")
    weights = op.operands[1]
    taps = int(np.prod(weights.shape[1:])) if is_conv else op.operands[0].shape[-1]
    corners = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi]
    padded = is_conv and any(op.attrs["pads"])
    pad_level = int(op.attrs.get("pad_level", 0)) if padded else 0
    if padded:
        corners += [0, pad_level * b.lo, pad_level * b.hi]
    lo, hi = taps * min(corners), taps * max(corners)
    normal = _SCALES[0] <= a.scale * b.scale <= _SCALES[1]
    if op.name not in ("q.conv", "q.matmul") and not (normal and max(abs(lo), abs(hi)) < _EXACT):
        return None
    step = _sum_step(a, b) if not padded else _padded_step(op, a, b, pad_level)
    start = lo + (taps * a.lo * b.lo - lo) % step
    return Integers(start, hi - (hi - start) % step, step, a.scale * b.scale)


def _sum_step(a: Integers, b: Integers) -> int:
    """Products of a = a0 + s·i and b = b0 + t·j differ by multiples of gcd(s·b0, t·a0, s·t); so do their sums."""
    s, t = _gap(a), _gap(b)
    return int(np.gcd.reduce([s * b.lo, t * a.lo, s * t])) or 1


def _gap(values: Integers) -> int:
    """The step, 0 for a single value."""
    return values.step if values.lo < values.hi else 0


def _padded_step(op: Op, a: Integers, b: Integers, pad_level: int) -> int:
    """A padded pixel swaps a0·b for pad_level·b in all its channels at once: the difference must be 0 modulo the step."""
    step = _sum_step(a, b)
    per_pixel = op.operands[1].shape[1]
    return int(np.gcd(step, abs(a.lo - pad_level) * int(np.gcd(per_pixel * b.lo, _gap(b))))) or 1


def _elementwise_fact(op: Op, facts: list[Fact]) -> Fact:
    if op.name == "nn.cast":
        return _cast_fact(op, facts[0])
    sets = [_small_set(op, index, fact) for index, fact in enumerate(facts)]
    if all(s is not None for s in sets) and np.prod([len(s or ()) for s in sets]) <= 1 << 16:
        return _evaluated(op, [s for s in sets if s is not None])
    return _named_fact(op, facts)


def _small_set(op: Op, index: int, fact: Fact) -> tuple[float, ...] | None:
    """All values of an operand, both zeros for a zero: they differ under a division."""
    operand = op.operands[index].type
    if isinstance(fact, Integers) and fact.count <= MAX_FINITE:
        fact = Finite(tuple(float(v) for v in fact.samples(DType.F64)))
    if isinstance(fact, Finite):
        floats = isinstance(operand, TensorType) and operand.dtype.is_float
        return (-0.0, *fact.values) if floats and 0.0 in fact.values else fact.values
    return (0.0, 1.0) if isinstance(operand, TensorType) and operand.dtype is DType.BOOL else None


def _evaluated(op: Op, sets: list[tuple[float, ...]]) -> Fact:
    combos = np.array(list(product(*sets)))
    dtypes = [operand.type.dtype.numpy for operand in op.operands if isinstance(operand.type, TensorType)]
    columns = [combos[:, i].astype(dtype) for i, dtype in enumerate(dtypes)]
    result = op.decl.evaluate(*columns, **op.attrs)
    if np.isnan(np.asarray(result, dtype=np.float64)).any():
        return None
    distinct = np.unique(result)
    return Finite(tuple(float(v) + 0.0 for v in distinct)) if distinct.size <= MAX_FINITE else None


def _cast_fact(op: Op, fact: Fact) -> Fact:
    source, to = op.operands[0].type, op.attrs["to"]
    assert isinstance(source, TensorType)
    if source.dtype is DType.BOOL:
        return Finite(_small_set(op, 0, fact) or (0.0, 1.0))
    if isinstance(fact, Finite):
        return _evaluated(op, [fact.values])
    if fact is None or not to.is_float:
        return None
    if isinstance(fact, Integers) and to is not DType.F16 and max(abs(fact.lo), abs(fact.hi)) < _EXACT:
        return fact
    lo, hi = op.decl.evaluate(np.array(bounds(fact)), to=to)
    return Range(float(lo), float(hi), _whole(fact))


def bounds(fact: Fact) -> tuple[float, float]:
    """The least and greatest value ``fact`` allows; infinite where unknown."""
    if isinstance(fact, Finite):
        return fact.values[0], fact.values[-1]
    if isinstance(fact, Integers):
        return fact.lo * fact.scale, fact.hi * fact.scale
    return (fact.lo, fact.hi) if isinstance(fact, Range) else (-np.inf, np.inf)


def _named_fact(op: Op, facts: list[Fact]) -> Fact:
    """Rules for operands that are not small sets."""
    lo, hi = bounds(facts[0])
    match op.name:
        case "nn.sign":
            return Finite((-1.0, 0.0, 1.0))
        case "nn.greater" | "nn.greater_equal" | "nn.less" | "nn.less_equal" | "nn.equal" | "nn.not":
            return Finite((0.0, 1.0))
        case "nn.and" | "nn.or" | "nn.xor":
            return Finite((0.0, 1.0))
        case "nn.where":
            return _joined_sets(facts[1], facts[2])
        case "nn.relu":
            return _narrowed(max(lo, 0.0), max(hi, 0.0), _whole(facts[0]))
        case "nn.add" | "nn.sub" | "nn.mul" | "nn.div" | "nn.neg":
            return _corner_range(op, facts)
        case "nn.multi_threshold":
            return _narrowed(0.0, len(facts) - 1.0, True)
        case "nn.sigmoid":
            return Range(0.0, 1.0)
        case "nn.tanh":
            return Range(-1.0, 1.0)
        case "nn.round" | "nn.floor" | "nn.ceil":
            return _whole_range(op, lo, hi)
        case "nn.min" | "nn.max":
            other_lo, other_hi = bounds(facts[1])
            pick = min if op.name == "nn.min" else max
            whole = _whole(facts[0]) and _whole(facts[1])
            return _narrowed(pick(lo, other_lo), pick(hi, other_hi), whole)
    return None


def _whole(fact: Fact) -> bool:
    match fact:
        case Range(whole=whole):
            return whole
        case Finite(values=values):
            return all(v == int(v) for v in values if np.isfinite(v)) and all(np.isfinite(values))
        case Integers(scale=scale):
            return scale >= 1
    return False


def _corner_range(op: Op, facts: list[Fact]) -> Fact:
    """Arithmetic takes its extremes at the corners of its operands' bounds, rounding included (it is monotone)."""
    ends = [bounds(fact) for fact in facts]
    divides_by_zero = op.name == "nn.div" and ends[1][0] <= 0 <= ends[1][1]
    (kind,) = {operand.type.dtype for operand in op.operands if isinstance(operand.type, TensorType)}
    if divides_by_zero or not kind.is_float or not np.isfinite(ends).all():
        return None
    corners = np.array(list(product(*ends)), dtype=kind.numpy)
    reached = op.decl.evaluate(*corners.T)
    if not np.isfinite(reached).all():
        return None
    return _narrowed(float(reached.min()), float(reached.max()), op.name != "nn.div" and all(map(_whole, facts)))


def _whole_range(op: Op, lo: float, hi: float) -> Fact:
    ends = op.decl.evaluate(np.array([lo, hi]))
    return _narrowed(float(ends[0]), float(ends[1]), True)


def _narrowed(lo: float, hi: float, whole: bool) -> Fact:
    """A range, or the integers in it when they are few enough."""
    if whole and np.isfinite(lo) and np.isfinite(hi) and hi - lo < MAX_FINITE:
        return Finite(tuple(float(v) for v in range(int(lo), int(hi) + 1)))
    return Range(lo, hi, whole)


def _joined_sets(a: Fact, b: Fact) -> Fact:
    if isinstance(a, Finite) and isinstance(b, Finite):
        merged = tuple(sorted(set(a.values) | set(b.values)))
        return Finite(merged) if len(merged) <= MAX_FINITE else None
    (lo_a, hi_a), (lo_b, hi_b) = bounds(a), bounds(b)
    return Range(min(lo_a, lo_b), max(hi_a, hi_b), _whole(a) and _whole(b))
