"""Forward analysis: which values can each tensor take? The lattice of answers is in ``facts.py``.

Each op has a transfer rule; elementwise ops on finite sets are simply evaluated on all combinations. On top of that, a value that
is a function of one integer root (an accumulator) and of per-channel constants is *tabulated* over every value the root can take:
that proves, for instance, that ``Sign(BatchNorm(acc))`` is never 0, with the graph's own float32 arithmetic and no algebra.

A fact speaks of the elements that are numbers. Where a NaN is proved possible there is no fact; NaNs that come in from outside are
beyond it (``q.threshold`` gives them the lowest level).
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from bitc.ir import CodeType, DType, Op, TensorType, Value
from bitc.passes.cones import cone, evaluate_cone, integer_root
from bitc.passes.facts import (
    EXACT,
    INT32,
    MAX_FINITE,
    SCALES,
    Fact,
    Finite,
    Integers,
    Range,
    bounds,
    constant_fact,
    dtype_fact,
    joined_sets,
    narrowed,
    product_fact,
    product_range,
    shifted_fact,
    whole,
)
from bitc.passes.ratios import never_negative, ratio_range

MAX_TABLE_ROWS = 1 << 17
MAX_TABLE_ELEMENTS = 1 << 25
MOST_JOINT = 12
FEW = 8
"""Ops of a function that is evaluated for all combinations of its operands, and values of each operand on the way."""

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
_BELOW = {"nn.less": True, "nn.less_equal": True, "nn.greater": False, "nn.greater_equal": False}
"""Whether a comparison holds of numbers below the other one."""

_PRODUCTS = {"nn.conv", "nn.matmul", "q.conv", "q.matmul", "q.weight_conv", "q.weight_matmul", "q.dots"}
_PRODUCTS |= {"q.gemm", "q.int_conv", "q.int_matmul", "q.int_gemm"}
_VIEWS = {
    "nn.reshape",
    "nn.transpose",
    "nn.expand",
    "nn.slice",
    "nn.gather",
    "nn.take",
    "nn.take_along",
    "nn.take_nd",
    "nn.max_pool",
    "nn.reduce_max",
    "nn.reduce_min",
}


class ValueSets:
    """Facts by value, computed on demand and remembered. Values never change, so facts never go stale."""

    def __init__(self) -> None:
        self._facts: dict[Value, Fact] = {}
        self._rootless: set[Value] = set()

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
            if self._has_no_root(current):
                self._rootless.add(current)
            stack.pop()
        return self._facts[value]

    def adopt(self, old: Value, new: Value) -> None:
        """``new`` is computed as ``old`` is: what is known of the one holds for the other."""
        if old in self._facts:
            self._facts[new] = self._facts[old]
        if old in self._rootless:
            self._rootless.add(new)

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
        self.of(value)
        if value in self._rootless:
            return None
        root = integer_root(value, lambda candidate: isinstance(self.of(candidate), Integers))
        if root is None:
            return None
        domain = self.of(root)
        assert isinstance(domain, Integers)
        channels = root.shape[1] if len(root.shape) > 1 else 1
        if domain.count > MAX_TABLE_ROWS or domain.count * channels > MAX_TABLE_ELEMENTS:
            return None
        return root, domain

    def _has_no_root(self, value: Value) -> bool:
        """Whether :func:`integer_root` finds nothing: known from the operands, so that a long chain is not walked for each of its values.

        A root is one of an operand's, or ``value`` itself where that is an int32 sum.
        """
        op = value.producer
        if op is None or not (op.decl.elementwise or op.name == "nn.max_pool"):
            return not isinstance(self._facts.get(value), Integers)
        of_integers = isinstance(value.type, TensorType) and value.type.dtype is DType.I32
        computed = [operand for operand in op.operands if operand.constant is None]
        return bool(computed) and not of_integers and self._rootless.issuperset(computed)

    def table(self, value: Value, root: Value, domain: Integers) -> np.ndarray | None:
        """``value`` for each value of ``domain`` [count, C or 1], None where a constant varies inside a channel."""
        assert isinstance(root.type, TensorType)
        return evaluate_cone(value, root, domain.samples(root.type.dtype))

    def _transfer(self, value: Value) -> Fact:
        op = value.producer
        fact = self._by_op(op, value) if op is not None else None
        if fact is None and isinstance(value.type, TensorType):
            fact = dtype_fact(value.type.dtype)
        if op is None:
            return fact
        if op.name in _QUANTIZING and not (isinstance(fact, Finite) and len(fact.values) <= 2):
            fact = self._tabulated(value) or self._jointly(value) or fact
        return fact

    def _jointly(self, value: Value) -> Finite | None:
        """The exact value set of a function of few values each taking few: in a + b - a·b of spikes, the operands of ``-`` go together."""
        ops = cone(value, lambda inner: not self._of_few(inner), most=MOST_JOINT)
        made = {op.result for op in ops}
        operands = dict.fromkeys(operand for op in ops for operand in op.operands if operand not in made)
        leaves = [operand for operand in operands if operand.constant is None]
        sets = [_small_set(leaf, self.of(leaf)) for leaf in leaves]
        if len(ops) < 3 or not all(sets) or prod(len(found or ()) for found in sets) > MAX_FINITE:
            return None
        combos = np.meshgrid(*(np.asarray(found) for found in sets), indexing="ij")
        known = {leaf: combo.reshape(-1).astype(_numpy(leaf)) for leaf, combo in zip(leaves, combos, strict=True)}
        for op in ops:
            arrays = [known[o] if o.constant is None else o.constant.reshape(()) for o in op.operands]
            with np.errstate(all="ignore"):
                known[op.result] = np.asarray(op.decl.evaluate(*arrays, **op.attrs))
        distinct = np.unique(known[value])
        return None if np.isnan(distinct).any() else Finite(tuple(float(v) + 0.0 for v in distinct))

    def _of_few(self, value: Value) -> bool:
        """Whether all that ``value`` is computed from are numbers for all elements alike, or values taking few."""
        for operand in value.producer.operands if value.producer is not None else ():
            found = self.values(operand)
            if (operand.constant is not None and operand.constant.size > 1) or found is None or len(found) > FEW:
                return False
        return True

    def _tabulated(self, value: Value) -> Finite | None:
        """The exact value set through the table over an integer root."""
        found = None
        for operand in value.producer.operands if value.producer is not None else ():
            if operand.constant is None and (found := self.integer_root(operand)) is None:
                return None
        if found is None or (found := self._root_through(value)) is None:
            return None
        root, domain = found
        for part in dict.fromkeys((domain.part(2 * MAX_FINITE), domain)):  # a part has too many values already, mostly
            table = self.table(value, root, part)
            if table is None or np.isnan(table).any():
                return None
            distinct = np.unique(table)
            if distinct.size > MAX_FINITE:
                return None
        return Finite(tuple(float(v) + 0.0 for v in distinct))

    def _root_through(self, value: Value) -> tuple[Value, Integers] | None:
        self._facts[value] = None  # a function of the root, not itself one
        try:
            return self.integer_root(value)
        finally:
            del self._facts[value]

    def _by_op(self, op: Op, value: Value) -> Fact:
        if op.name == "nn.constant":
            return constant_fact(op.attrs["value"])
        if op.name == "nn.assume":
            assert isinstance(value.type, TensorType)
            return constant_fact(np.asarray(op.attrs["values"], dtype=value.type.dtype.numpy))
        if op.name in ("q.encode", "q.threshold", "q.max_pool") or isinstance(value.type, CodeType):
            assert isinstance(value.type, CodeType)
            return Integers(value.type.levels.lo, value.type.levels.hi, value.type.levels.step)
        if op.name == "q.decode":
            code = op.operands[0].type
            assert isinstance(code, CodeType)
            scaled = code.levels.values().astype(np.float32) * np.float32(code.scale)
            return Finite(tuple(float(v) for v in scaled))
        if op.name in _PRODUCTS:
            facts = shifted_fact(self.of(op.operands[0]), op.attrs.get("lowest", 0)), self.of(op.operands[1])
            in_float = op.name in ("nn.conv", "nn.matmul")
            return product_fact(op, *facts) or (product_range(op, facts[0]) if in_float else None)
        if op.name in _VIEWS:
            return self.of(op.operands[0])
        if op.name in ("nn.concat", "nn.pad"):
            return self._joined(op)
        if op.name in ("nn.scatter_along", "nn.scatter_nd") and op.attrs["reduction"] == "none":
            return joined_sets(self.of(op.operands[0]), self.of(op.operands[2]))
        if op.name == "nn.softmax" and not op.attrs["log"]:
            return Range(0.0, 1.0)
        if op.decl.elementwise:
            known = [self.of(operand) for operand in op.operands]
            found = _elementwise_fact(op, known)
            if isinstance(found, Range) and never_negative(op):
                return Range(max(found.lo, 0.0), found.hi, found.whole)
            return found if isinstance(found, Finite | Integers) else ratio_range(op, known) or found
        return None

    def _joined(self, op: Op) -> Fact:
        sets = [self.values(operand) for operand in op.operands]
        if any(s is None for s in sets):
            return None
        merged = {v for s in sets for v in s or ()}
        if op.name == "nn.pad" and isinstance(op.operands[0].type, TensorType):
            merged.add(float(op.operands[0].type.dtype.numpy.type(op.attrs["value"])))
        return Finite(tuple(sorted(merged))) if len(merged) <= MAX_FINITE else None


def _numpy(value: Value) -> np.dtype[np.generic]:
    assert isinstance(value.type, TensorType)
    return value.type.dtype.numpy


def _elementwise_fact(op: Op, facts: list[Fact]) -> Fact:
    if op.name == "nn.cast":
        return _cast_fact(op, facts[0])
    sets = [_small_set(operand, fact) for operand, fact in zip(op.operands, facts, strict=True)]
    if all(s is not None for s in sets) and np.prod([len(s or ()) for s in sets]) <= 1 << 16:
        return _evaluated(op, [s for s in sets if s is not None])
    return _named_fact(op, facts)


def _small_set(operand: Value, fact: Fact) -> tuple[float, ...] | None:
    """All values of an operand, both zeros for a zero: they differ under a division."""
    if isinstance(fact, Integers) and fact.count <= MAX_FINITE:
        fact = Finite(tuple(float(v) for v in fact.samples(DType.F64)))
    if isinstance(fact, Finite):
        floats = isinstance(operand.type, TensorType) and operand.type.dtype.is_float
        return (-0.0, *fact.values) if floats and 0.0 in fact.values else fact.values
    return (0.0, 1.0) if isinstance(operand.type, TensorType) and operand.type.dtype is DType.BOOL else None


def _evaluated(op: Op, sets: list[tuple[float, ...]]) -> Fact:
    combos = np.meshgrid(*map(np.array, sets), indexing="ij")
    dtypes = [operand.type.dtype.numpy for operand in op.operands if isinstance(operand.type, TensorType)]
    columns = [combo.reshape(-1).astype(dtype) for combo, dtype in zip(combos, dtypes, strict=True)]
    result = op.decl.evaluate(*columns, **op.attrs)
    if np.isnan(np.asarray(result, dtype=np.float64)).any():
        return None
    distinct = np.unique(result)
    return Finite(tuple(float(v) + 0.0 for v in distinct)) if distinct.size <= MAX_FINITE else None


def _cast_fact(op: Op, fact: Fact) -> Fact:
    source, to = op.operands[0].type, op.attrs["to"]
    assert isinstance(source, TensorType)
    if source.dtype is DType.BOOL:
        return Finite(_small_set(op.operands[0], fact) or (0.0, 1.0))
    if isinstance(fact, Finite):
        return _evaluated(op, [fact.values])
    if fact is None:
        return None
    if not to.is_float:
        return fact if whole(fact) and _holds(to, *bounds(fact)) else None
    if isinstance(fact, Integers) and to is not DType.F16 and max(abs(fact.lo), abs(fact.hi)) < EXACT:
        return fact
    lo, hi = op.decl.evaluate(np.array(bounds(fact)), to=to)
    return Range(float(lo), float(hi), whole(fact))


def _holds(dtype: DType, lo: float, hi: float) -> bool:
    """Whether an integer type has every integer of [lo, hi]."""
    if dtype is DType.BOOL:
        return False
    limits = np.iinfo(dtype.numpy)
    return bool(limits.min <= lo and hi <= limits.max)


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
            return _where_fact(op, facts)
        case "nn.relu":
            return narrowed(max(lo, 0.0), max(hi, 0.0), whole(facts[0]))
        case "nn.add" | "nn.sub" | "nn.mul" | "nn.div" | "nn.neg":
            return _scaled(op, facts) or _corner_range(op, facts)
        case "nn.multi_threshold":
            return narrowed(0.0, len(facts) - 1.0, True)
        case "nn.sigmoid":
            return Range(0.0, 1.0)
        case "nn.tanh" | "nn.sin" | "nn.cos":
            return Range(-1.0, 1.0)
        case "nn.round" | "nn.floor" | "nn.ceil":
            return _whole_range(op, lo, hi)
        case "nn.minifloat":
            return _minifloat_fact(op, lo, hi)
        case "nn.saturate":
            least, most = float(op.attrs["lo"]), float(op.attrs["hi"])
            return narrowed(min(max(lo, least), most), max(min(hi, most), least), True)
        case "nn.min" | "nn.max":
            other_lo, other_hi = bounds(facts[1])
            pick = min if op.name == "nn.min" else max
            return narrowed(pick(lo, other_lo), pick(hi, other_hi), whole(facts[0]) and whole(facts[1]))
    return None


def _where_fact(op: Op, facts: list[Fact]) -> Fact:
    """One branch or the other; ``where(x < c, x, c)`` is a clip, of which the bounds of x may leave one branch only."""
    x, branches, comparison = 0, facts[1:], op.operands[0].producer
    if comparison is not None and comparison.name in _BELOW and comparison.operands[0] in op.operands[1:]:
        x = op.operands[1:].index(comparison.operands[0])
        limit = comparison.operands[1].constant
        least, most = bounds(constant_fact(limit)) if limit is not None else (-np.inf, np.inf)
        lo, hi = bounds(branches[x])
        is_below = _BELOW[comparison.name] == (x == 0)
        if limit is not None and (hi < least if is_below else lo > most):
            return branches[x]
        if limit is not None and isinstance(branches[x], Range | None):
            ends = (lo, min(hi, most)) if is_below else (max(lo, least), hi)
            branches[x] = Range(*ends, whole(branches[x]))
    return joined_sets(*branches)


def _scaled(op: Op, facts: list[Fact]) -> Fact:
    """Integers times one number: each product is rounded once."""
    if op.name != "nn.mul":
        return None
    fact, other = facts if isinstance(facts[0], Integers) else facts[::-1]
    if not isinstance(fact, Integers) or not isinstance(other, Finite) or len(other.values) != 1:
        return None
    scale = fact.scale * other.values[0]
    largest = max(abs(fact.lo), abs(fact.hi)) * scale
    floats = isinstance(op.results[0].type, TensorType) and op.results[0].type.dtype is DType.F32
    if not floats or not fact.dyadic or scale < SCALES[0] or largest >= 2.0**127:
        return None
    return Integers(fact.lo, fact.hi, fact.step, scale)


def _corner_range(op: Op, facts: list[Fact]) -> Fact:
    """Arithmetic takes its extremes at the corners of its operands' bounds, rounding included (it is monotone)."""
    ends = [bounds(fact) for fact in facts]
    divides_by_zero = op.name == "nn.div" and ends[1][0] <= 0 <= ends[1][1]
    (kind,) = {operand.type.dtype for operand in op.operands if isinstance(operand.type, TensorType)}
    if divides_by_zero or not np.isfinite(ends).all():
        return None
    if not kind.is_float:
        return _integer_corners(op, facts, kind)
    corners = np.array(list(product(*ends)), dtype=kind.numpy)
    reached = op.decl.evaluate(*corners.T)
    if not np.isfinite(reached).all():
        return None
    return narrowed(float(reached.min()), float(reached.max()), op.name != "nn.div" and all(map(whole, facts)))


def _integer_corners(op: Op, facts: list[Fact], kind: DType) -> Fact:
    """Integer arithmetic that cannot wrap round; sums and differences keep a common step."""
    if not all(isinstance(fact, Finite | Integers) for fact in facts):
        return None
    if op.name == "nn.div":
        return _integer_quotient(facts)
    corners = np.array(list(product(*map(bounds, facts))), dtype=np.float64)
    reached = op.decl.evaluate(*corners.T)
    lo, hi = float(reached.min()), float(reached.max())
    if not _holds(kind, lo, hi) or max(abs(lo), abs(hi)) > INT32:
        return None
    steps = [_step(fact) for fact in facts]
    step = int(np.gcd.reduce(steps)) if op.name in ("nn.add", "nn.sub", "nn.neg") else 1
    return Integers(int(lo), int(hi), step or 1)


def _integer_quotient(facts: list[Fact]) -> Fact:
    """Division by one positive number, towards zero."""
    (lo, hi), (divisor, largest) = map(bounds, facts)
    if divisor != largest or divisor < 1:
        return None
    parts = int(divisor)
    step = _step(facts[0])
    even = lo % parts == 0 and step % parts == 0
    return Integers(int(lo / parts), int(hi / parts), (step // parts or 1) if even else 1)


def _step(fact: Fact) -> int:
    """The step of integers, 0 for a single value."""
    if isinstance(fact, Integers):
        return fact.step if fact.lo < fact.hi else 0
    assert isinstance(fact, Finite)
    return int(np.gcd.reduce(np.diff(np.asarray(fact.values, dtype=np.int64)))) if len(fact.values) > 1 else 0


def _minifloat_fact(op: Op, lo: float, hi: float) -> Fact:
    """Numbers of a small format that saturates: multiples of its smallest step."""
    if op.attrs["overflow"] != op.attrs["max"]:
        return None
    step = 2.0 ** (1 - op.attrs["bias"] - op.attrs["mantissa_bits"])
    ends = op.decl.evaluate(np.array([lo, hi]), **op.attrs) / step
    return Integers(int(ends[0]), int(ends[1]), 1, step) if np.abs(ends).max() < EXACT else None


def _whole_range(op: Op, lo: float, hi: float) -> Fact:
    ends = op.decl.evaluate(np.array([lo, hi]))
    return narrowed(float(ends[0]), float(ends[1]), True)
