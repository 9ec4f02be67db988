"""``thresholds``: each ``q.encode`` of computed values becomes integer or float thresholds on the value it hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, CodeType, DType, Graph, Levels, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.cones import clone_cone, cone, cone_of_rows, evaluate_cone, monotone_root, pools_between
from bitc.passes.facts import INT32, Fact, Integers, bounds
from bitc.passes.value_sets import ValueSets

_POOL_ATTRS = ("kernel", "strides", "pads", "dilations", "ceil")
_NEVER_WRAP = ("nn.cast", "nn.saturate", "nn.min", "nn.max", "nn.relu", "nn.where")
_MOVES = ("nn.reshape", "nn.transpose", "nn.pad", "nn.slice", "nn.gather", "nn.expand", "nn.concat")


@dataclass(frozen=True)
class Thresholds(Pass):
    """For f monotone in each channel, ``encode(f(x))`` has index i exactly where x passes the i-th threshold:

        index(f(x)) = #{i : x >= t[c,i]}   (f non-decreasing in channel c)
        index(f(x)) = #{i : x <= t[c,i]}   (f non-increasing)

    Where x is an accumulator, f is evaluated on all values x can take (no assumption); where x is a float, every op of f declares
    its direction and t is found by bisection over the ordered float32 values. f is the graph's own float32 chain, op by op.

    Max-pool commutes with a monotone f, so pools are moved below the binarization, where they are words:
    ``encode(f(max_pool x)) = max_pool(encode(f(x)))``, minimum in channels where f falls.

    Channels are axis 1; where they are the last of several, as behind dense layers over tokens, the codes are those of rows [M, C].
    """

    name: ClassVar[str] = "thresholds"

    def run(self, graph: Graph) -> Graph:
        sets = ValueSets()

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name != "q.encode" or op.operands[0].constant is not None:
                return None
            return codes_of(op.operands[0], op.attrs["levels"], op.attrs["scale"], b, sets, op.loc)

        return rewrite(graph, rule)


def codes_of(x: Value, levels: Levels, scale: float, b: Builder, sets: ValueSets, loc: str) -> Value:
    """Codes of ``x``, whose elements are all ``scale * level``."""
    producer = x.producer
    if producer is not None:
        if producer.name == "q.decode" and _same_codes(producer.operands[0], levels, scale):
            return producer.operands[0]
        if producer.name == "nn.max_pool":
            inner = codes_of(producer.operands[0], levels, scale, b, sets, loc)
            return _pooled(inner, producer, np.zeros(x.shape[1], bool), b)
        if producer.name in _MOVES and _can_move(producer, levels, scale):
            inners = [codes_of(operand, levels, scale, b, sets, loc) for operand in producer.operands]
            attrs = dict(producer.attrs)
            if producer.name == "nn.pad":
                attrs["value"] = float(round(attrs["value"] / scale))
            return b.add(producer.name, *inners, loc=producer.loc, origin=x.origin, **attrs)
        if producer.decl.elementwise:
            for attempt in (_below_pool, _by_table, _by_rows, _by_bisection):
                found = attempt(x, levels, scale, b, sets, loc)
                if found is not None:
                    return found
    return _by_midpoints(x, levels, scale, b, loc)


def _same_codes(code: Value, levels: Levels, scale: float) -> bool:
    return isinstance(code.type, CodeType) and code.type.levels == levels and code.type.scale == scale


def _can_move(producer: Op, levels: Levels, scale: float) -> bool:
    if any(operand.constant is not None or len(operand.shape) < 2 for operand in producer.operands):
        return False  # thresholds are by channel, axis 1
    if producer.name != "nn.pad":
        return True
    level = producer.attrs["value"] / scale
    return level == round(level) and levels.contains(round(level))


def _pooled(codes: Value, pool: Op, minimum: np.ndarray, b: Builder) -> Value:
    attrs = {key: pool.attrs[key] for key in _POOL_ATTRS}
    return b.add("q.max_pool", codes, b.constant(minimum), loc=pool.loc, **attrs)


def _threshold(
    root: Value, t: np.ndarray, down: np.ndarray, levels: Levels, scale: float, b: Builder, loc: str, origin: str = ""
) -> Value:
    assert isinstance(root.type, TensorType)
    edges = b.constant(np.asarray(t, dtype=root.type.dtype.numpy))
    return b.add("q.threshold", root, edges, b.constant(down), levels=levels, scale=scale, loc=loc, origin=origin)


def _below_pool(x: Value, levels: Levels, scale: float, b: Builder, sets: ValueSets, loc: str) -> Value | None:
    """encode(f(max_pool u)) as max_pool(encode(f(u))), f the elementwise ops between and monotone in each channel."""
    found = monotone_root(x)
    if found is None:
        return None
    root, directions = found
    pool = root.producer
    if pool is None or pool.name != "nn.max_pool" or len(root.shape) != 4 or root.shape != x.shape:
        return None
    if evaluate_cone(x, root, np.zeros(1, np.float32)) is None:
        return None  # a constant varies inside a channel: each position has an f of its own
    u = pool.operands[0]
    inner = codes_of(clone_cone(x, root, u, b), levels, scale, b, sets, loc)
    return _pooled(inner, pool, np.broadcast_to(directions < 0, (root.shape[1],)).copy(), b)


def _can_be_cut(root: Value) -> bool:
    """Whether kernels threshold ``root``."""
    assert isinstance(root.type, TensorType)
    return root.type.dtype in (DType.F32, DType.I32)


def _indices(table: np.ndarray, levels: Levels, scale: float) -> np.ndarray:
    """Level indices of values; values are ``scale * level`` up to float32 rounding. NaN (0 times an infinite root) has the lowest."""
    level = np.rint(table.astype(np.float64) / scale)
    level = np.where(np.isnan(level), levels.lo, level)
    return np.asarray((level - levels.lo) // levels.step, dtype=np.int64)


def _by_table(x: Value, levels: Levels, scale: float, b: Builder, sets: ValueSets, loc: str) -> Value | None:
    found = sets.integer_root(x)
    if found is None:
        return None
    root, domain = found
    if root.shape != x.shape or pools_between(x, root):
        return None
    table = sets.table(x, root, domain)
    if table is None or not isinstance(root.type, TensorType) or not _can_be_cut(root):
        return None
    edges = table_thresholds(_indices(table, levels, scale), domain, levels.planes, root.type.dtype)
    if edges is None:
        return None
    t, down = edges
    return _threshold(root, t, down, levels, scale, b, loc, x.origin)


def table_thresholds(
    index: np.ndarray, domain: Integers, planes: int, dtype: DType
) -> tuple[np.ndarray, np.ndarray] | None:
    """Thresholds [C, planes] and descending [C] of ``index`` [count, C] over the ascending values of ``domain``.

    None unless the index is monotone in every channel. A plane that is never passed gets a threshold just outside the domain.

    >>> table_thresholds(np.array([[0, 1], [1, 1], [1, 0]]), Integers(-1, 1), 1, DType.I32)
    (array([[0],
           [0]], dtype=int32), array([False,  True]))
    """
    samples = domain.samples(dtype)
    slopes = np.diff(index, axis=0)
    rises, falls = (slopes > 0).any(axis=0), (slopes < 0).any(axis=0)
    if (rises & falls).any():
        return None
    outside = domain.step * domain.scale
    t = np.empty((index.shape[1], planes), dtype=dtype.numpy)
    for plane in range(planes):
        passed = (index > plane).sum(
            axis=0
        )  # monotone, so the passing samples are the last (rising) or first (falling) ones
        below, above = samples[0] - outside, samples[-1] + outside
        rising = np.append(samples, above)[samples.size - passed]
        falling = np.insert(samples, 0, below)[passed]
        t[:, plane] = np.where(falls, falling, rising)
    return t, np.asarray(falls)


def _by_bisection(x: Value, levels: Levels, scale: float, b: Builder, sets: ValueSets, loc: str) -> Value | None:
    found = monotone_root(x)
    if found is None:
        return None
    root, directions = found
    if root.shape != x.shape or not _can_be_cut(root) or _may_wrap(x, root, sets):
        return None
    assert isinstance(root.type, TensorType)
    edges = bisect_thresholds(x, root, directions, levels, scale, root.type.dtype, sets.of(root))
    if edges is None:
        return None
    t, down = edges
    return _threshold(root, t, down, levels, scale, b, loc, x.origin)


def _may_wrap(x: Value, root: Value, sets: ValueSets) -> bool:
    """Whether integers between ``root`` and ``x`` may wrap round, so that nothing there is monotone."""
    results = [op.result for op in cone(x, lambda v: v is root) if op.name not in _NEVER_WRAP]
    dtypes = [result.type.dtype for result in results if isinstance(result.type, TensorType)]
    if any(not dtype.is_float and dtype not in (DType.BOOL, DType.I32) for dtype in dtypes):
        return True
    return any(
        dtype is DType.I32 and not np.isfinite(bounds(sets.of(result))).all()
        for result, dtype in zip(results, dtypes, strict=True)
    )


def _by_rows(x: Value, levels: Levels, scale: float, b: Builder, sets: ValueSets, loc: str) -> Value | None:
    """The codes of rows [M, C], where constants vary along the last axis of a tensor of higher rank: channels of dense layers lie there."""
    rows = cone_of_rows(x, b) if len(x.shape) > 2 else None
    if rows is None:
        return None
    for attempt in (_by_table, _by_bisection):
        codes = attempt(rows, levels, scale, b, sets, loc)
        if codes is not None:
            return b.add("nn.reshape", codes, shape=x.shape, loc=loc, origin=x.origin)
    return None


def bisect_thresholds(
    x: Value, root: Value, directions: np.ndarray, levels: Levels, scale: float, dtype: DType, fact: Fact = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Thresholds [C, planes] on ``root`` by bisection over all values of its dtype in order; None if constants vary in a channel.

    Of integers only those are searched that ``fact`` says there are: beyond them a product may wrap round.
    33 evaluations of the cone a plane. In falling channels the search runs over the negated order. A level that nothing reaches gets
    the farthest value as its threshold; None where that is an infinity at which the cone has a (lower) level.
    """
    first, last = _ordered_limits(dtype, fact)
    probe = evaluate_cone(x, root, _from_ordered(np.array([first, last]), dtype))
    if probe is None:
        return None
    channels = max(probe.shape[1], directions.size)
    down = np.broadcast_to(directions < 0, (channels,)).copy()
    t = np.empty((channels, levels.planes), dtype=dtype.numpy)
    for plane in range(levels.planes):
        # the least rank r whose sample passes, where rank counts upwards (rising) or downwards (falling)
        low = np.zeros(channels, np.int64)
        high = np.full(channels, last - first + 1, np.int64)
        while (low < high).any():
            middle = (low + high) // 2
            ranks = np.minimum(middle, last - first)
            samples = _from_ordered(np.where(down, last - ranks, first + ranks), dtype)
            table = evaluate_cone(x, root, samples)
            assert table is not None
            wide = np.broadcast_to(table, (channels, channels if table.shape[1] > 1 else 1))
            diagonal = np.diagonal(wide) if wide.shape[1] > 1 else wide[:, 0]
            passes = _indices(diagonal, levels, scale) > plane
            open_ = low < high
            high = np.where(open_ & passes, middle, high)
            low = np.where(open_ & ~passes, middle + 1, low)
        if dtype.is_float and (~np.isnan(np.where(down, probe[0], probe[1])) & (low > last - first)).any():
            return None
        most = (
            last - first + (not dtype.is_float and last < INT32 - 1 and first > -INT32)
        )  # one past the values there are
        ranks = np.minimum(low, most)
        t[:, plane] = _from_ordered(np.where(down, last - ranks, first + ranks), dtype)
    return t, down


def _ordered_limits(dtype: DType, fact: Fact) -> tuple[int, int]:
    """The ordered positions of the least and greatest value (for floats the infinities)."""
    if dtype is DType.I32:
        lo, hi = bounds(fact)
        return int(max(lo, -INT32)), int(min(hi, INT32 - 1))
    infinity = int(np.float32(np.inf).view(np.int32))
    return -infinity - 1, infinity


def _from_ordered(position: np.ndarray, dtype: DType) -> np.ndarray:
    """The value at each position of the dtype's order; floats: position 0 is +0.0, -1 is -0.0."""
    if dtype is DType.I32:
        return position.astype(np.int32)
    bits = np.where(position >= 0, position, -(position + 1) + 2**31)
    return bits.astype(np.uint32).view(np.float32)


def _by_midpoints(x: Value, levels: Levels, scale: float, b: Builder, loc: str) -> Value:
    """Thresholds halfway between the values ``x`` is proved to take."""
    values = levels.values() * scale
    t = ((values[1:] + values[:-1]) / 2).reshape(1, -1)
    assert isinstance(x.type, TensorType)
    if x.type.dtype is not DType.F32:
        x = b.add("nn.cast", x, to=DType.F32, loc=loc)
    return _threshold(x, t, np.zeros(1, bool), levels, scale, b, loc, x.origin)
