"""``integer-chains``: quantizers that undo one another, clamps that clamp nothing, in whichever words a file writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, DType, Graph, Op, TensorType, Value, rewrite
from bitc.ir.interpreter import evaluate_op
from bitc.ir.nn_elementwise import direction
from bitc.passes.base import Pass
from bitc.passes.facts import EXACT, Finite, Integers, bounds, whole
from bitc.passes.value_sets import ValueSets

_MOVES = ("nn.reshape", "nn.transpose", "nn.expand", "nn.slice", "nn.gather", "nn.pad", "nn.concat", "nn.max_pool")
_ROUNDING = ("nn.round", "nn.floor", "nn.ceil")
_CLAMPS = ("nn.relu", "nn.max", "nn.min")
_MOST_VALUES = 1 << 16
_FEW = 64
_LONGEST = 12
_DEEPEST = 48
"""Ops between a chain's end and its root: the search is a recursion."""

_Roots = dict[tuple[Value, tuple[Op, ...]], Value | None]
"""What was found on the way for a value and a chain. Operands that are shared are looked at once."""


@dataclass(frozen=True)
class IntegerChains(Pass):
    """Identities of values whose set is known, each bit for bit; c is a number, q has the values Q, f one op after another::

        f(q)                          -->  q, cast      if f(v) = v for every v of Q, by evaluation
        f(move(g(q)))                 -->  move(q)      if f(g(v)) = v for every v of Q; g non-decreasing where move is a max-pool
        round(q)                      -->  q            Q whole numbers; floor, ceil
        max(x, c), min(x, c)          -->  x            x above or below c whatever it is
        max(saturate(x, lo, hi), c)   -->  saturate(x, max(lo, c), hi)        min likewise
        saturate(f(clamp(x)))         -->  saturate(f(x))    clamp is relu, max or min with c; f non-decreasing; f(c) is at the end
        cast(x)                       -->  saturate(x, lo, hi)   x whole floats of [lo, hi]
        cast(cast(saturate(x, lo, hi)) + c)  -->  saturate(x + c, lo + c, hi + c)   x floats, whole as saturations want it

    The first two are what is left of ``Q(DQ(q))``, of a pool or a reshape that an exporter wrapped in quantizers, of ``(q + z) - z``
    and of casts there and back. A clamp before a saturation changes only what f saturates as well. The last two make one form of
    integers stored in another range: NaN, which no integer is, becomes the least one.
    """

    name: ClassVar[str] = "integer-chains"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()
        fired = True

        def rule(op: Op, b: Builder) -> Value | None:
            nonlocal fired
            found = _simplified(op, sets, b)
            fired = fired or found is not None
            return found

        while fired:
            fired = False
            graph = rewrite(graph, rule, copied=sets.adopt)
        return graph


def _simplified(op: Op, sets: ValueSets, b: Builder) -> Value | None:
    if not op.decl.elementwise or len(op.results) != 1 or op.results[0].constant is not None:
        return None
    found = _undone(op, sets, b)
    if found is not None:
        return found
    if op.name in _ROUNDING:
        return op.operands[0] if whole(sets.of(op.operands[0])) else None
    if op.name in ("nn.max", "nn.min"):
        return _without_effect(op, sets) or _narrower_saturation(op, b)
    if op.name == "nn.cast":
        return _shifted(op, b) or _saturated(op, sets, b)
    return _shifted(op, b) or _without_clamps(op, b) if op.name == "nn.saturate" else None


# --- f(q) = q -------------------------------------------------------------------------------------------------------------------------


def _undone(op: Op, sets: ValueSets, b: Builder) -> Value | None:
    """The value that the chain ending with ``op`` takes apart and puts together again."""
    source = _one_operand(op)
    if source is None:
        return None
    result = op.results[0].type
    assert isinstance(result, TensorType)
    found = _root(source, [op], sets, b, {})
    if found is None or (found is source and op.name == "nn.cast"):
        return None
    if _dtype(found) is result.dtype:
        return found
    if _dtype(found).is_float:
        return None  # NaN has no cast
    return b.add("nn.cast", found, to=result.dtype, loc=op.loc)


def _root(value: Value, chain: list[Op], sets: ValueSets, b: Builder, known: _Roots, depth: int = 0) -> Value | None:
    """The farthest q with ``value = move(g(q))`` and ``chain(g(q)) = q``, moved; ``chain`` is applied first op first, pools are marks."""
    key = value, tuple(chain)
    if key not in known:
        known[key] = _search(value, chain, sets, b, known, depth)
    return known[key]


def _search(value: Value, chain: list[Op], sets: ValueSets, b: Builder, known: _Roots, depth: int) -> Value | None:
    op = value.producer
    if op is None or len(chain) > _LONGEST or depth > _DEEPEST:
        return value if _is_identity(chain, value, sets) else None
    if op.name in _MOVES:
        return _moved_root(op, chain, sets, b, known, depth)
    source = _one_operand(op)
    found = _root(source, [op, *chain], sets, b, known, depth + 1) if source is not None else None
    if found is None and _is_identity(chain, value, sets):
        return value
    return found


def _moved_root(move: Op, chain: list[Op], sets: ValueSets, b: Builder, known: _Roots, depth: int) -> Value | None:
    if any(operand.constant is not None for operand in move.operands):
        return None
    marked = [move, *chain] if move.name == "nn.max_pool" else chain
    found = [_root(operand, marked, sets, b, known, depth + 1) for operand in move.operands]
    roots = [root for root in found if root is not None]
    if len(roots) < len(found) or len({_dtype(root) for root in roots}) > 1:
        return None
    attrs = dict(move.attrs)
    if move.name == "nn.pad":
        filled = _apply(chain, np.asarray([attrs["value"]], _dtype(move.operands[0]).numpy))
        if filled is None or not _holds(_dtype(roots[0]), float(filled[0])):
            return None
        attrs["value"] = float(filled[0])
    if all(root is operand for root, operand in zip(roots, move.operands, strict=True)):
        return move.results[0] if attrs.get("value") == move.attrs.get("value") else None
    return b.add(move.name, *roots, loc=move.loc, **attrs)


def _holds(dtype: DType, number: float) -> bool:
    return dtype.is_float or (float(number).is_integer() and number == np.clip(number, *_limits(dtype)))


def _limits(dtype: DType) -> tuple[float, float]:
    """The least and greatest value of a dtype, infinities among them."""
    if dtype.is_float:
        return -np.inf, np.inf
    return float(np.iinfo(dtype.numpy).min), float(np.iinfo(dtype.numpy).max)


def _is_identity(chain: Sequence[Op], value: Value, sets: ValueSets) -> bool:
    """Whether ``chain`` gives back every value that ``value`` can take: the number, the sign of a zero, and NaN from NaN."""
    if _dtype(value) is DType.BOOL:
        return False
    fact = sets.of(value)
    if not isinstance(fact, Finite | Integers) or (isinstance(fact, Integers) and fact.count > _MOST_VALUES):
        return False
    trials = dict.fromkeys((fact.part(2), fact.part(_FEW), fact))  # most chains fail early
    return all(_gives_back(chain, _samples(trial, _dtype(value))) for trial in trials) and (
        not _dtype(value).is_float or _gives_back(chain, np.full(1, np.nan, _dtype(value).numpy))
    )


def _gives_back(chain: Sequence[Op], samples: np.ndarray) -> bool:
    made = _apply(chain, samples)
    if made is None or made.dtype == np.bool_:
        return False
    wanted, found = samples.astype(np.float64), made.astype(np.float64)
    same_zeros = np.array_equal(np.signbit(found[found == 0]), np.signbit(wanted[wanted == 0]))
    return bool(np.array_equal(found, wanted, equal_nan=True) and same_zeros)


def _samples(fact: Finite | Integers, dtype: DType) -> np.ndarray:
    """All values of ``fact``, ascending, both zeros for a zero of floats."""
    samples = fact.samples(dtype) if isinstance(fact, Integers) else np.asarray(fact.values, dtype.numpy)
    return np.insert(samples, np.flatnonzero(samples == 0), -0.0) if dtype.is_float else samples


def _apply(chain: Sequence[Op], samples: np.ndarray) -> np.ndarray | None:
    """``samples`` through all ops of ``chain``; None where a max-pool finds them out of order."""
    for op in chain:
        if op.name == "nn.max_pool":
            if (np.diff(samples.astype(np.float64)) < 0).any():
                return None
            continue
        arrays = [samples if o.constant is None else o.constant.reshape(()) for o in op.operands]
        samples = np.asarray(evaluate_op(op, arrays))
    return samples


def _one_operand(op: Op) -> Value | None:
    """The operand of an elementwise op of one tensor of the result's shape and of numbers."""
    if not op.decl.elementwise or len(op.results) != 1:
        return None
    moving = [operand for operand in op.operands if operand.constant is None]
    if len(moving) != 1 or moving[0].shape != op.results[0].shape:
        return None
    return moving[0] if all(o.constant is None or o.constant.size == 1 for o in op.operands) else None


# --- clamps ---------------------------------------------------------------------------------------------------------------------------


def _without_effect(op: Op, sets: ValueSets) -> Value | None:
    """x of ``max(x, c)`` or ``min(x, c)`` that lies on its side of c anyway; at zero only integers, for zeros have signs."""
    x, c = _clamped(op)
    if x is None or c is None or x.shape != op.results[0].shape or np.isnan(c).any():
        return None
    lo, hi = bounds(sets.of(x))
    if not c.any() and _dtype(x).is_float:
        return x if (lo > 0 if op.name == "nn.max" else hi < 0) else None
    return x if (lo >= c.max() if op.name == "nn.max" else hi <= c.min()) else None


def _clamped(op: Op) -> tuple[Value | None, np.ndarray | None]:
    """(x, c) of ``max(x, c)``, ``min(x, c)`` in either order, or ``relu(x)``."""
    if op.name == "nn.relu":
        return op.operands[0], np.zeros(())
    a, b = op.operands
    if a.constant is not None:
        a, b = b, a
    return (a, b.constant) if a.constant is None else (None, None)


def _narrower_saturation(op: Op, b: Builder) -> Value | None:
    x, c = _clamped(op)
    inner = x.producer if x is not None else None
    if (
        inner is None
        or inner.name != "nn.saturate"
        or c is None
        or c.size != 1
        or inner.result.shape != op.result.shape
    ):
        return None
    lo, hi, limit = inner.attrs["lo"], inner.attrs["hi"], int(c.item())
    ends = (max(lo, limit), max(hi, limit)) if op.name == "nn.max" else (min(lo, limit), min(hi, limit))
    return b.add("nn.saturate", *inner.operands, to=inner.attrs["to"], lo=ends[0], hi=ends[1], loc=op.loc)


def _saturated(cast: Op, sets: ValueSets, b: Builder) -> Value | None:
    x, to = cast.operands[0], cast.attrs["to"]
    lo, hi = bounds(sets.of(x))
    if (
        not _dtype(x).is_float
        or to is DType.BOOL
        or to.is_float
        or not whole(sets.of(x))
        or not np.isfinite([lo, hi]).all()
    ):
        return None
    if not (_holds(to, lo) and _holds(to, hi)):
        return None
    return b.add("nn.saturate", x, to=to, lo=int(lo), hi=int(hi), loc=cast.loc)


def _shifted(end: Op, b: Builder) -> Value | None:
    """``saturate(x + c)`` of ``end(cast(saturate(x)) + c)``, end a cast or a saturation; sums in reach of the ends are exact."""
    add, to = end.operands[0].producer, end.attrs["to"]
    if add is None or add.name != "nn.add" or (inner := _one_operand(add)) is None or inner.producer is None:
        return None
    widened = inner.producer.operands[0] if inner.producer.name == "nn.cast" else inner
    source, c = widened.producer, next(o.constant for o in add.operands if o.constant is not None)
    if source is None or source.name != "nn.saturate" or to.is_float or c.item() != int(c.item()):
        return None
    x, shift = source.operands[0], int(c.item())
    ends = [source.attrs["lo"] + shift, source.attrs["hi"] + shift]
    if _dtype(x) is not DType.F32 or max(map(abs, (*ends, shift))) >= EXACT:
        return None
    if not all(_holds(_dtype(inner), limit) for limit in ends):
        return None
    if end.name == "nn.saturate":
        ends = [int(np.clip(limit, end.attrs["lo"], end.attrs["hi"])) for limit in ends]
    if not all(_holds(to, limit) for limit in ends):
        return None
    moved = b.add("nn.add", x, b.constant(np.asarray(shift, np.float32)), loc=end.loc)
    return b.add("nn.saturate", moved, to=to, lo=ends[0], hi=ends[1], loc=end.loc)


def _without_clamps(op: Op, b: Builder) -> Value | None:
    """``saturate(f(x))`` of ``saturate(f(clamp(x)))``."""
    chain: list[Op] = [op]
    while (source := _one_operand(chain[0])) is not None and (inner := source.producer) is not None:
        if inner.name in _CLAMPS and _is_redundant(inner, chain, op):
            x = _clamped(inner)[0]
            assert x is not None
            for step in chain:
                x = b.add(
                    step.name, *(x if o.constant is None else o for o in step.operands), loc=step.loc, **step.attrs
                )
            return x
        if not inner.decl.elementwise:
            return None
        chain.insert(0, inner)
    return None


def _is_redundant(clamp: Op, chain: Sequence[Op], end: Op) -> bool:
    """Whether ``chain``, non-decreasing, saturates all that ``clamp`` changes."""
    x, c = _clamped(clamp)
    if x is None or c is None or c.size != 1 or x.shape != clamp.results[0].shape:
        return False
    if not all(map(_rises, chain)):
        return False
    dtype = _dtype(clamp.results[0])
    farthest = _limits(dtype)[1 if clamp.name == "nn.min" else 0]
    reached = _apply(chain, np.asarray([c.item(), farthest], dtype.numpy))
    return reached is not None and bool((reached == end.attrs["hi" if clamp.name == "nn.min" else "lo"]).all())


def _rises(op: Op) -> bool:
    """Whether ``op`` is non-decreasing in its one operand."""
    constants = tuple(operand.constant for operand in op.operands)
    slope = direction(op.decl, constants.index(None), constants, op.attrs)
    return slope is not None and bool(np.all(slope > 0))


def _dtype(value: Value) -> DType:
    assert isinstance(value.type, TensorType)
    return value.type.dtype
