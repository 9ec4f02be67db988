"""Cones: the elementwise ops between a root value and a value computed from it.

``integer_root`` and ``monotone_root`` find the root a value hangs on; ``evaluate_cone`` runs the cone on chosen values of the root
with the graph's own ops in the graph's own order and precision. Thresholds are found by that evaluation, never by algebra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeVar

import numpy as np

from bitc.ir import Builder, DType, Op, TensorType, Value
from bitc.ir.interpreter import evaluate_op
from bitc.ir.interval import Interval, point
from bitc.ir.intervals import interval_of, intervals_of
from bitc.ir.nn_elementwise import direction

_Table = TypeVar("_Table")

Directions = np.ndarray
"""+1, -1 or 0 for each channel (length C, or 1 for all)."""


LONGEST = 1024
"""Ops between a value and the integer root it is tabulated over: a chain of thousands would be evaluated whole for each of its ops."""


def cone(
    value: Value,
    is_root: Callable[[Value], bool] = lambda _: False,
    through_pools: bool = False,
    most: int | None = None,
) -> list[Op]:
    """The elementwise ops ``value`` is computed by, operands first, cut at values where ``is_root`` holds.

    With ``through_pools`` max-pools belong to the cone: each of their elements is one of the elements they read. Where there are more
    than ``most`` ops, it is empty.
    """
    order: list[Op] = []
    met = 0
    done: set[Op] = set()
    stack: list[tuple[Value, bool]] = [(value, False)]
    while stack:
        current, expanded = stack.pop()
        op = current.producer
        inside = op is not None and (op.decl.elementwise or (through_pools and op.name == "nn.max_pool"))
        if op is None or not inside or op in done or (is_root(current) and not expanded):
            continue
        if expanded:
            done.add(op)
            order.append(op)
            continue
        met += 1
        if most is not None and met > most:
            return []
        stack.append((current, True))
        stack.extend((operand, False) for operand in op.operands)
    return order


def integer_root(value: Value, is_integer: Callable[[Value], bool]) -> Value | None:
    """The one value that ``value`` is a function of, element by element, if ``is_integer`` holds for it.

    It is the farthest one within :data:`LONGEST` ops: made by no elementwise op, or a sum of several such in int32. Max-pools may
    follow one another on the way; a sum of two pools has no root, for each may pick another element.
    """
    while True:
        ops = cone(value, most=LONGEST)
        made = {result for op in ops for result in op.results}
        leaves = {operand for op in ops for operand in op.operands if operand not in made and operand.constant is None}
        if not ops:
            leaves = {value}
        if len(leaves) != 1:
            return _join_of_integers(value, ops, is_integer)
        (leaf,) = leaves
        if leaf.producer is None or leaf.producer.name != "nn.max_pool":
            return leaf if is_integer(leaf) else None
        value = leaf.producer.operands[0]


def _join_of_integers(value: Value, ops: list[Op], is_integer: Callable[[Value], bool]) -> Value | None:
    """The farthest int32 value of the cone ``ops`` that every way from ``value`` to a leaf passes."""
    best, front = None, {value}
    for op in reversed(ops):
        if op.result not in front:
            continue
        if len(front) == 1 and isinstance(op.result.type, TensorType) and op.result.type.dtype is DType.I32:
            best = op.result
        front = front - {op.result} | {operand for operand in op.operands if operand.constant is None}
    return best if best is not None and is_integer(best) else None


def channel_vector(array: np.ndarray, rank: int) -> np.ndarray | None:
    """``array``, which broadcasts to a tensor of ``rank`` axes, as [C] or [1]; None if it varies along another axis than 1.

    >>> channel_vector(np.array([[[3.0]], [[4.0]]]), 4)
    array([3., 4.])
    """
    full = array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim <= rank else None
    if full is None or any(size != 1 for axis, size in enumerate(full.shape) if axis != 1):
        return None
    return full.reshape(-1)


def evaluate_cone(value: Value, root: Value, samples: np.ndarray) -> np.ndarray | None:
    """``value`` where ``root`` is ``samples`` [n]: an array [n, C or 1]; None if a constant varies inside a channel.

    A max-pool on the way is taken as the identity: the result then holds the values ``value`` can have, not where it has them.

    >>> from bitc.ir import Builder, TensorType
    >>> b = Builder()
    >>> x = b.input("x", TensorType((1, 2)))
    >>> y = b.add("nn.mul", x, b.constant(np.array([1, -1], np.float32)))
    >>> evaluate_cone(b.add("nn.sign", y), x, np.array([-2, 5], np.float32))
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    table = _through_cone(value, root, samples, lambda array: array, _constant_array, _evaluated)
    return None if table is None else _rows(table, samples.size)


def intervals_of_cone(value: Value, root: Value, samples: np.ndarray) -> Interval | None:
    """:func:`evaluate_cone` for all that its constants may be (:attr:`Value.ends`): intervals [n, C or 1]."""
    with np.errstate(all="ignore"):
        table = _through_cone(value, root, samples, point, interval_of, lambda op, xs: intervals_of(op, list(xs))[0])
    return None if table is None else Interval(_rows(table.lo, samples.size), _rows(table.hi, samples.size))


def _through_cone(
    value: Value,
    root: Value,
    samples: np.ndarray,
    start: Callable[[np.ndarray], _Table],
    constant: Callable[[Value], _Table],
    evaluate: Callable[[Op, Sequence[_Table]], _Table],
) -> _Table | None:
    """``value`` where ``root`` is ``start`` of the ``samples`` as a column, op by op; None if a constant varies inside a channel."""
    rank = max(len(root.shape), 1)
    if root.constant is not None or (rank == 1 and root.shape != (1,)):
        return None
    known: dict[Value, _Table] = {root: start(samples.reshape((-1,) + (1,) * (rank - 1)))}
    for op in cone(value, lambda v: v is root, through_pools=True):
        if op.name == "nn.max_pool":
            if op.operands[0] in known:
                known[op.result] = known[op.operands[0]]
            continue
        tables = []
        for operand in op.operands:
            if operand not in known and (operand.constant is None or channel_vector(operand.constant, rank) is None):
                return None
            tables.append(known[operand] if operand in known else constant(operand))
        known[op.result] = evaluate(op, tables)
    return known.get(value)


def _constant_array(value: Value) -> np.ndarray:
    assert value.constant is not None
    return value.constant


def _evaluated(op: Op, arrays: Sequence[np.ndarray]) -> np.ndarray:
    result = evaluate_op(op, arrays)
    assert isinstance(result, np.ndarray), "elementwise ops have one result"
    return result


def _rows(table: np.ndarray, count: int) -> np.ndarray:
    return np.broadcast_to(table, (count, *table.shape[1:])).reshape(count, -1)


def monotone_root(value: Value) -> tuple[Value, Directions] | None:
    """The farthest value that ``value`` is a monotone function of in each channel (float32 or int32), with the directions.

    Every op on every path declares its direction, so the whole is monotone as computed in floating point: rounding is monotone.
    """
    rank = len(value.shape)
    slopes: dict[Value, Directions] = {value: np.ones(1)}
    best: tuple[Value, Directions] | None = None
    for op in reversed(cone(value)):
        if op.result not in slopes:
            continue
        steps = _step_up(op, slopes[op.result], rank)
        if steps is None:
            continue
        merged = dict(slopes)
        del merged[op.result]
        for operand, slope in steps:
            joined = _join(merged[operand], slope) if operand in merged else slope
            if joined is None:
                return best
            merged[operand] = joined
        slopes = merged
        if len(slopes) == 1:
            ((root, directions),) = slopes.items()
            if (
                isinstance(root.type, TensorType)
                and root.type.dtype in (DType.F32, DType.I32)
                and len(root.shape) == rank
            ):
                best = (root, directions)
    return best


def pools_between(value: Value, root: Value) -> bool:
    """Whether a max-pool lies between ``root`` and ``value``."""
    return any(op.name == "nn.max_pool" for op in cone(value, lambda v: v is root, through_pools=True))


def clone_cone(value: Value, root: Value, new_root: Value, b: Builder) -> Value:
    """``value`` computed from ``new_root`` instead of ``root`` by the same elementwise ops."""
    copies: dict[Value, Value] = {root: new_root}
    for op in cone(value, lambda v: v is root):
        operands = [copies.get(operand, operand) for operand in op.operands]
        copies[op.result] = b.add(op.name, *operands, loc=op.loc, **op.attrs)
    return copies[value]


def cone_of_rows(value: Value, b: Builder) -> Value | None:
    """``value`` as rows [M, C] of its last axis, computed by the same ops from rows of its one root.

    None if it has several roots, is computed through pools, no constant varies along the last axis, or one along another axis.
    """
    ops = cone(value)
    made = {result for op in ops for result in op.results}
    leaves = {operand for op in ops for operand in op.operands if operand not in made and operand.constant is None}
    if len(leaves) != 1:
        return None
    (root,) = leaves
    shape = (prod(value.shape[:-1]), value.shape[-1])
    constants = {operand for op in ops for operand in op.operands if operand.constant is not None}
    if root.shape != value.shape or not any(constant.shape[-1:] == shape[1:] for constant in constants):
        return None
    rows: dict[Value, Value] = {root: b.add("nn.reshape", root, shape=shape, origin=root.origin)}
    for op in ops:
        operands = []
        for operand in op.operands:
            if operand in rows:
                operands.append(rows[operand])
                continue
            array = operand.constant
            if array is None or prod(array.shape[:-1]) != 1:
                return None
            operands.append(b.constant(array.reshape(array.shape[-1:])))
        if op.result.shape != value.shape:
            return None
        rows[op.result] = b.add(op.name, *operands, loc=op.loc, **op.attrs)
    return rows[value]


def _step_up(op: Op, slope: Directions, rank: int) -> list[tuple[Value, Directions]] | None:
    """The non-constant operands of ``op`` with the direction of the whole in each, None if one is unknown."""
    constants = tuple(operand.constant for operand in op.operands)
    steps: list[tuple[Value, Directions]] = []
    for index, operand in enumerate(op.operands):
        if constants[index] is not None:
            continue
        local = direction(op.decl, index, constants, op.attrs)
        vector = None if local is None else channel_vector(np.asarray(local), rank)
        if vector is None or np.isnan(vector).any():
            return None
        steps.append((operand, slope * vector))
    return steps


def _join(a: Directions, b: Directions) -> Directions | None:
    """The direction of a function that reaches a value on two paths; None where they pull apart."""
    if np.any(a * b < 0):
        return None
    return np.asarray(np.sign(a + b))
