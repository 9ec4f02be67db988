"""SSA graphs: values, ops, graphs, and the two tools that make new ones (:class:`Builder`, :func:`rewrite`).

Ops and values are never changed after they are made; a pass builds a new graph. An op sees the values it reads, a value the op
that made it, so a rule looks upwards freely; users are computed on demand (:meth:`Graph.users`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, lookup
from bitc.ir.types import TensorType, Type


class Value:
    """One SSA value. ``origin`` names the ONNX tensor whose content it is (for codes: after ``scale *``), or is empty."""

    __slots__ = ("name", "origin", "producer", "type")

    def __init__(self, name: str, type: Type, producer: Op | None = None, origin: str = "") -> None:
        self.name = name
        self.type = type
        self.producer = producer
        self.origin = origin

    @property
    def constant(self) -> np.ndarray | None:
        """The array, if this value is a constant."""
        if self.producer is not None and self.producer.name == "nn.constant":
            array: np.ndarray = self.producer.attrs["value"]
            return array
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""
        return self.type.shape

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


class Op:
    """One operation: a declaration applied to operands. ``loc`` names the ONNX node it came from, for messages.

    A dict of ``attrs`` is kept as it is given: nobody changes it afterwards, and the same op on other operands shares it.
    """

    __slots__ = ("attrs", "decl", "loc", "operands", "results")

    def __init__(self, decl: type[OpDecl], operands: Sequence[Value], attrs: Mapping[str, Any], loc: str = "") -> None:
        self.decl = decl
        self.operands = tuple(operands)
        self.attrs: dict[str, Any] = attrs if isinstance(attrs, dict) else dict(attrs)
        self.loc = loc
        self.results: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """The declared name, such as ``nn.conv``."""
        return self.decl.name

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    def operand(self, name: str) -> Value | None:
        """The operand declared as ``name``, None if an optional one is left out."""
        for index, declared in enumerate(self.decl.operands):
            if declared.rstrip("?*") == name:
                return self.operands[index] if index < len(self.operands) else None
        raise KeyError(name)

    def __repr__(self) -> str:
        return f"<{self.name} -> {', '.join(map(repr, self.results))}>"


class Graph:
    """A list of ops in an order where each value is made before it is read. ``attrs`` holds facts of the whole network."""

    __slots__ = ("attrs", "inputs", "name", "ops", "outputs")

    def __init__(
        self,
        name: str,
        inputs: Sequence[Value],
        ops: Sequence[Op],
        outputs: Sequence[Value],
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.ops = tuple(ops)
        self.outputs = tuple(outputs)
        self.attrs = dict(attrs or {})

    def values(self) -> Iterator[Value]:
        """Inputs, then each op's results."""
        yield from self.inputs
        for op in self.ops:
            yield from op.results

    def users(self) -> dict[Value, list[Op]]:
        """For each value the ops that read it, in order (an op twice if it reads it twice)."""
        users: dict[Value, list[Op]] = {value: [] for value in self.values()}
        for op in self.ops:
            for operand in op.operands:
                users[operand].append(op)
        return users


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

    def constant(self, array: np.ndarray, name: str = "", loc: str = "", origin: str = "") -> Value:
        """A constant. The array is made read-only."""
        array = np.asarray(array)
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        array = array.view()
        array.flags.writeable = False
        return self._append(lookup("nn.constant"), (), {"value": array}, loc, name, origin)[0]

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
            first = self.constant(cast[0], name, loc, origin)
            return (first, *(self.constant(out, "", loc) for out in cast[1:]))
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


def work(decl: type[OpDecl], operands: Sequence[Type], results: Sequence[Type], attrs: Mapping[str, Any]) -> int:
    """About how many elements are touched to evaluate an op: its operands and results, and the terms of each sum or maximum."""
    terms: int = prod(attrs.get("kernel", ()))
    if decl.name.endswith("conv"):
        terms = prod(operands[1].shape[1:])
    elif decl.name.endswith("matmul"):
        terms = operands[0].shape[-1]
    return sum(prod(type.shape) for type in operands) + terms * sum(prod(type.shape) for type in results)


def result_types(decl: type[OpDecl], operands: Sequence[Value], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    """Result types of ``decl`` on ``operands``. Raises :class:`InferenceError` naming the op."""
    fewest, most = decl.operand_range()
    if len(operands) < fewest or (most is not None and len(operands) > most):
        raise InferenceError(f"{decl.name} takes operands {decl.operands}, got {len(operands)}")
    try:
        inferred = decl.infer(*(operand.type for operand in operands), **attrs)
    except InferenceError as error:
        raise InferenceError(f"{decl.name}: {error}") from None
    return inferred if isinstance(inferred, tuple) else (inferred,)


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


Rule = Callable[[Op, Builder], "Sequence[Value] | Value | None"]
"""A rule gets an op whose operands are already rewritten and the builder; it gives replacements of the results, or None to keep."""


def rewrite(
    graph: Graph, rule: Rule, *, fold: bool = False, copied: Callable[[Value, Value], None] | None = None
) -> Graph:
    """One forward walk over ``graph`` that applies ``rule`` to each op, then drops what nobody reads.

    The rule may look upwards (``op.operands[0].producer``) at ops already rewritten, and add ops through the builder. A
    replacement takes over the origin of the value it replaces unless it has one. Guarantees: inputs and outputs keep order and
    types' shapes. ``copied`` hears of each (value, new value) that is computed from the inputs by the same ops as before.
    """
    builder = Builder(fold=fold)
    mapping: dict[Value, Value] = {}
    copies = set(graph.inputs)
    for value in graph.inputs:
        builder.fresh_name(value.name)
        mapping[value] = value
    for op in graph.ops:
        operands = [mapping[operand] for operand in op.operands]
        probe = Op(op.decl, operands, op.attrs, op.loc)
        probe.results = op.results
        replacement = rule(probe, builder)
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
    outputs = [mapping[value] for value in graph.outputs]
    count = Counter(outputs)
    for old, new in zip(graph.outputs, outputs, strict=True):
        if new.producer is not None and count[new] == 1 and old.name not in builder.names:
            new.name = old.name  # a replaced output keeps its name: it is the network's interface
    return drop_dead(Graph(graph.name, graph.inputs, builder.ops, outputs, graph.attrs))


def drop_dead(graph: Graph) -> Graph:
    """The graph without ops whose results nobody reads."""
    live: set[Value] = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if any(result in live for result in op.results):
            kept.append(op)
            live.update(op.operands)
    return Graph(graph.name, graph.inputs, kept[::-1], graph.outputs, graph.attrs)
