"""The two tools that make graphs: :class:`Builder`, op by op, and :func:`rewrite`, one graph from another.

Both fold: an op on constants becomes one, by its NumPy meaning. Where another evaluation of the file may round otherwise (a sum in
another order, a function of another library), the constant keeps the ends between which every evaluation lies, so that what is
promised of the network can tell (:attr:`bitc.ir.graph.Value.ends`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from bitc.ir.graph import Graph, Op, Value, drop_dead, result_types
from bitc.ir.interval import Interval, anything
from bitc.ir.intervals import MAY_ROUND, interval_of, intervals_of
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, lookup
from bitc.ir.types import TensorType, Type

Ends = tuple[np.ndarray, np.ndarray]

MOST_ELEMENTS = 1 << 24
"""Of operands and results of an op whose ends are computed, in float64; beyond it they are unknown."""


class Builder:
    """Makes ops one after another: infers their types, names their results, and folds constants if asked.

    With ``fold`` an op whose operands are all constants, or that gives nothing but empty tensors, becomes a constant at once (its
    NumPy meaning is evaluated), unless that has more than ``fold_limit_bytes``, or is more :func:`work` than ``fold_work`` leaves.
    """

    def __init__(self, fold: bool = False, fold_limit_bytes: int = 1 << 30, fold_work: int = 1 << 30) -> None:
        self.ops: list[Op] = []
        self._fold = fold
        self.fold_limit_bytes = fold_limit_bytes
        self.fold_work = fold_work
        self.names: set[str] = set()
        self.doubtful = False
        """Whether the constants that are made now come from such as folding rounded: their ends are unknown then."""
        self._counter = 0

    def fresh_name(self, hint: str = "") -> str:
        """A value name not used yet: the hint itself, else the next number."""
        if hint and hint not in self.names:
            self.names.add(hint)
            return hint
        while (name := str(self._counter)) in self.names:
            self._counter += 1
        self.names.add(name)
        return name

    def input(self, name: str, type: Type) -> Value:
        """A graph input."""
        return Value(self.fresh_name(name), type, origin=name)

    def constant(
        self, array: np.ndarray, name: str = "", loc: str = "", origin: str = "", ends: Ends | None = None
    ) -> Value:
        """A constant. The array is made read-only. ``ends``: see :attr:`Value.ends`."""
        array = _frozen(array)
        if ends is None and self.doubtful:
            ends = anything(array.dtype)
        least, most = map(_frozen, ends) if ends is not None else (None, None)
        attrs = {"value": array, "least": least, "most": most}
        return self._append(lookup("nn.constant"), (), attrs, loc, name, origin)[0]

    def moved_constant(
        self, value: Value, shape: Sequence[int], perm: Sequence[int] | None = None, name: str = "", loc: str = ""
    ) -> Value:
        """The constant ``value`` in another ``shape``, and its axes then in the order ``perm``."""

        def moved(array: np.ndarray) -> np.ndarray:
            reshaped = array.reshape(shape)
            return reshaped if perm is None else reshaped.transpose(perm)

        assert value.constant is not None
        ends = value.ends
        if ends is not None and ends[0].shape == value.shape:
            ends = moved(ends[0]), moved(ends[1])
        return self.constant(moved(value.constant), name, loc, ends=ends)

    def add(
        self, op_name: str, *operands: Value, loc: str = "", name: str = "", origin: str = "", **attrs: Any
    ) -> Value:
        """Append an op with one result and give it. Raises :class:`InferenceError` when the op's rule is broken."""
        (value,) = self.add_multi(op_name, *operands, loc=loc, name=name, origin=origin, **attrs)
        return value

    def add_multi(
        self, op_name: str, *operands: Value, loc: str = "", name: str = "", origin: str = "", **attrs: Any
    ) -> tuple[Value, ...]:
        """Append an op with any number of results; ``name`` and ``origin`` go to the first."""
        decl = lookup(op_name)
        full = _complete_attrs(decl, attrs)
        arrays = [operand.constant for operand in operands]
        types = result_types(decl, operands, full) if self._fold and operands else ()
        if types and all(isinstance(t, TensorType) and not t.size for t in types):
            empty = [np.empty(t.shape, t.dtype.numpy) for t in types if isinstance(t, TensorType)]
            return (self.constant(empty[0], name, loc, origin), *(self.constant(array, "", loc) for array in empty[1:]))
        small = all(isinstance(t, TensorType) and t.size * t.dtype.bytes <= self.fold_limit_bytes for t in types)
        operand_types = [operand.type for operand in operands]
        if (
            types
            and small
            and all(array is not None for array in arrays)
            and self._affords(decl, operand_types, types, full)
        ):
            evaluated = decl.apply(operand_types, arrays, full)
            outs = evaluated if isinstance(evaluated, tuple) else (evaluated,)
            cast = [np.asarray(out, dtype=t.dtype.numpy) for out, t in zip(outs, types, strict=True)]  # type: ignore[union-attr]
            ends = _folded_ends(decl, operands, full, types, cast)
            named = [(name, origin), *[("", "")] * (len(cast) - 1)]
            return tuple(self.constant(out, n, loc, o, e) for out, (n, o), e in zip(cast, named, ends, strict=True))
        return self._append(decl, operands, full, loc, name, origin)

    def _affords(
        self, decl: type[OpDecl], operands: Sequence[Type], results: Sequence[Type], attrs: Mapping[str, Any]
    ) -> bool:
        """Whether an op may be evaluated; if so its work is counted."""
        needed = work(decl, operands, results, attrs)
        if needed > self.fold_work:
            return False
        self.fold_work -= needed
        return True

    def clone(self, op: Op, operands: Sequence[Value]) -> tuple[Value, ...]:
        """Append the same op on other operands; result names and origins are kept where they are free."""
        arrays_known = bool(operands) and all(operand.constant is not None for operand in operands)
        if self._fold and arrays_known:
            first = op.results[0]
            return self.add_multi(op.name, *operands, loc=op.loc, name=first.name, origin=first.origin, **op.attrs)
        made = Op(op.decl, operands, op.attrs, op.loc)
        made.results = tuple(
            Value(self.fresh_name(old.name), type, made, old.origin)
            for type, old in zip(_cloned_types(op, made.operands), op.results, strict=True)
        )
        self.ops.append(made)
        return made.results

    def _append(
        self, decl: type[OpDecl], operands: Sequence[Value], attrs: Mapping[str, Any], loc: str, name: str, origin: str
    ) -> tuple[Value, ...]:
        op = Op(decl, operands, attrs, loc)
        types = result_types(decl, operands, attrs)
        names = [name, *[""] * (len(types) - 1)]
        origins = [origin, *[""] * (len(types) - 1)]
        op.results = tuple(Value(self.fresh_name(n), t, op, o) for n, t, o in zip(names, types, origins, strict=True))
        self.ops.append(op)
        return op.results


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    view = (array if array.flags.c_contiguous else np.ascontiguousarray(array)).view()
    view.flags.writeable = False
    return view


def _folded_ends(
    decl: type[OpDecl],
    operands: Sequence[Value],
    attrs: Mapping[str, Any],
    types: Sequence[Type],
    results: Sequence[np.ndarray],
) -> Sequence[Ends | None]:
    """The ends of each of ``results``, which folding gave, or None where every evaluation gives the same bits."""
    if decl.name not in MAY_ROUND and all(operand.ends is None for operand in operands):
        return [None] * len(results)
    if sum(operand.type.size for operand in operands) + sum(result.size for result in results) > MOST_ELEMENTS:
        return [anything(result.dtype) for result in results]
    op = Op(decl, operands, attrs)
    op.results = tuple(Value("", type, op) for type in types)
    with np.errstate(all="ignore"):
        if decl.name == "nn.pow" and _rounds_like_double(operands, results[0]):
            return [None]
        found = intervals_of(op, [interval_of(operand) for operand in operands])
    return [_ends_around(result, interval) for result, interval in zip(results, found, strict=True)]


def _rounds_like_double(operands: Sequence[Value], power: np.ndarray) -> bool:
    """Whether float32 powers of exact constants are what any C library gives: they compute them in double and round.

    Holds where no power lies so near the middle of two floats that an error of 2^-28, 1/16 of a unit, would tip the rounding.
    """
    if power.dtype != np.float32 or any(operand.ends is not None for operand in operands):
        return False
    wide = np.power(*(np.asarray(operand.constant, np.float64) for operand in operands))
    return all(np.array_equal((wide * (1 + off)).astype(np.float32), power) for off in (-(2.0**-28), 0.0, 2.0**-28))


def _ends_around(result: np.ndarray, interval: Interval) -> Ends | None:
    """``interval`` in the dtype of ``result``, and wide enough to hold it."""
    if interval.is_point:
        return None
    if interval.lo.dtype == result.dtype:
        lo, hi = interval.lo, interval.hi
    elif result.dtype.kind == "f":
        lo = np.nextafter(interval.lo.astype(result.dtype), result.dtype.type(-np.inf))
        hi = np.nextafter(interval.hi.astype(result.dtype), result.dtype.type(np.inf))
    else:
        return anything(result.dtype)
    return np.fmin(lo, result), np.fmax(hi, result)


def work(decl: type[OpDecl], operands: Sequence[Type], results: Sequence[Type], attrs: Mapping[str, Any]) -> int:
    """About how many elements are touched to evaluate an op: its operands and results, and the terms of each sum or maximum."""
    terms: int = prod(attrs.get("kernel", ()))
    if decl.name.endswith("conv"):
        terms = prod(operands[1].shape[1:])
    elif decl.name.endswith("matmul"):
        terms = operands[0].shape[-1]
    return sum(prod(type.shape) for type in operands) + terms * sum(prod(type.shape) for type in results)


def _complete_attrs(decl: type[OpDecl], attrs: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(attrs) - set(decl.attrs)
    if unknown:
        raise InferenceError(f"{decl.name} has no attribute {sorted(unknown)}; it has {sorted(decl.attrs)}")
    full = {}
    for key, default in decl.attrs.items():
        if key not in attrs and default is REQUIRED:
            raise InferenceError(f"{decl.name} needs attribute {key!r}")
        value = attrs.get(key, default)
        full[key] = tuple(value) if isinstance(value, list) else value
    return full


def _cloned_types(op: Op, operands: Sequence[Value]) -> Iterable[Type]:
    """Result types of ``op`` on other operands: its own where the operands' types are, for its rule reads nothing else."""
    if len(operands) == len(op.operands) and all(a.type == b.type for a, b in zip(operands, op.operands, strict=True)):
        return [old.type for old in op.results]
    types = result_types(op.decl, operands, op.attrs)
    return [_keep_layout(type, old.type) for type, old in zip(types, op.results, strict=True)]


def _keep_layout(new: Type, old: Type) -> Type:
    """A clone's result keeps the layout that was chosen for the original."""
    if isinstance(new, TensorType) and isinstance(old, TensorType):
        return new.with_layout(old.layout)
    if type(new) is type(old) and hasattr(new, "with_layout"):
        kept: Type = new.with_layout(old.layout)  # type: ignore[union-attr]
        return kept
    return new


def _decides(op: Op) -> bool:
    """Whether ``op`` gives whole numbers, indices or truths: its result does not follow every rounding of its operands."""
    kind = op.results[0].type if op.results else None
    of_floats = isinstance(kind, TensorType) and kind.dtype.is_float
    return not of_floats or op.name in ("nn.sign", "nn.round", "nn.floor", "nn.ceil")


Rule = Callable[[Op, Builder], "Sequence[Value] | Value | None"]
"""A rule gets an op whose operands are already rewritten and the builder; it gives replacements of the results, or None to keep."""


def rewrite(
    graph: Graph, rule: Rule, *, fold: bool = False, copied: Callable[[Value, Value], None] | None = None
) -> Graph:
    """One forward walk over ``graph`` that applies ``rule`` to each op, then drops what nobody reads.

    The rule may look upwards (``op.operands[0].producer``) at ops already rewritten, and add ops through the builder. A
    replacement takes over the origin of the value it replaces unless it has one. Guarantees: inputs and outputs keep order and
    types' shapes. ``copied`` hears of each (value, new value) that is computed from the inputs by the same ops as before.
    Constants that the rule makes of such as folding rounded, or for an op on what these scale, have unknown ends.
    """
    builder = Builder(fold=fold)
    mapping: dict[Value, Value] = {}
    doubtful: set[Value] = set()
    copies = set(graph.inputs)
    for value in graph.inputs:
        builder.fresh_name(value.name)
        mapping[value] = value
    for op in graph.ops:
        operands = [mapping[operand] for operand in op.operands]
        probe = Op(op.decl, operands, op.attrs, op.loc)
        probe.results = op.results
        builder.doubtful = any(operand.ends is not None or operand in doubtful for operand in operands)
        replacement = rule(probe, builder)
        in_doubt, builder.doubtful = builder.doubtful and not _decides(op), False
        if replacement is None:
            replacement = builder.clone(op, operands)
            if copied is not None and copies.issuperset(op.operands):
                copies.update(op.results)
                for old, new in zip(op.results, replacement, strict=True):
                    copied(old, new)
        elif isinstance(replacement, Value):
            replacement = (replacement,)
        for old, new in zip(op.results, replacement, strict=True):
            if old.origin and not new.origin:
                new.origin = old.origin
            mapping[old] = new
            if in_doubt:
                doubtful.add(new)
    outputs = [mapping[value] for value in graph.outputs]
    count = Counter(outputs)
    for old, new in zip(graph.outputs, outputs, strict=True):
        if new.producer is not None and count[new] == 1 and old.name not in builder.names:
            new.name = old.name  # a replaced output keeps its name: it is the network's interface
    return drop_dead(Graph(graph.name, graph.inputs, builder.ops, outputs, graph.attrs))
