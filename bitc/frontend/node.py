"""What a handler sees of one ONNX node, how it says no, and the table of all handlers.

A handler is a function ``(Node) -> Value | tuple of Values`` registered with :func:`handles` for op types, domains and a range of
opset versions. It reads operands and attributes through :class:`Node`, appends IR ops with :meth:`Node.emit`, and either returns the
node's outputs or raises :meth:`Node.unsupported` (bitc does not take this form) or :meth:`Node.broken` (ONNX does not allow it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx

from bitc.errors import Diagnostic
from bitc.frontend.elements import Element
from bitc.frontend.tensors import TensorReader
from bitc.ir import Builder, DType, TensorType, Value
from bitc.limits import over_limit

STANDARD = ""
QONNX = "qonnx"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
MICROSOFT = "com.microsoft"
_DOMAINS = {
    "ai.onnx": STANDARD,
    "finn": QONNX,
    "onnx.brevitas": QONNX,
    "finn.custom_op.general": QONNX,
    "qonnx.custom_op.general": QONNX,
}


def canonical_domain(domain: str) -> str:
    """One name for the several spellings of a domain: ``""`` for standard ONNX, ``"qonnx"`` for QONNX's three."""
    return _DOMAINS.get(domain, domain)


class NodeProblem(Exception):
    """A node cannot be imported. ``broken``: the file is at fault, else bitc does not support the form."""

    def __init__(self, diagnostic: Diagnostic, *, broken: bool) -> None:
        super().__init__(str(diagnostic))
        self.diagnostic = diagnostic
        self.broken = broken


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be read where a node stands: ``value`` of a tensor's name (None if there is none), ``opset`` of a canonical domain."""

    value: Callable[[str], Value | None]
    opset: Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Node:
    """One ONNX node with its operands already imported (None where an optional input is left out)."""

    proto: onnx.NodeProto
    index: int
    opset: int
    inputs: tuple[Value | None, ...]
    builder: Builder
    reader: TensorReader
    elements: Mapping[Value, Element] = field(default_factory=dict)
    """What values are in the file whose ONNX type the IR does not have."""
    scope: Scope | None = None
    """Where the node stands, for those with subgraphs."""
    within: str = ""
    """For a node of a function's body or of a branch, the node of the graph that it stands in."""

    # ---------------------------------------------------------------------------------------------------- identity

    @property
    def op_type(self) -> str:
        """ONNX's name of the operation."""
        return str(self.proto.op_type)

    @property
    def loc(self) -> str:
        """``node 17 'name' (OpType)``: how messages and IR ops name this node, or the one it stands in."""
        return self.within or location(self.index, self.proto)

    @property
    def where(self) -> str:
        """Location, opset and operand types, for messages."""
        shown = [
            f"{name}: {value.type if value else '-'}" for name, value in zip(self.proto.input, self.inputs, strict=True)
        ]
        inside = f"its {self.op_type}, " if self.within else ""
        return f"{self.loc}: {inside}opset {self.opset}; " + ", ".join(shown)

    # ---------------------------------------------------------------------------------------------------- operands

    def x(self, index: int = 0) -> Value:
        """Required operand number ``index``."""
        value = self.maybe(index)
        if value is None:
            raise self.broken(f"{self.op_type} needs input number {index}")
        return value

    def maybe(self, index: int) -> Value | None:
        """Optional operand number ``index``."""
        return self.inputs[index] if index < len(self.inputs) else None

    def array(self, index: int, what: str) -> np.ndarray:
        """Required operand that has to be a constant; ``what`` names it in the refusal.

        Where folding it rounded, so may what is made of it: constants of this node are doubtful from here on.
        """
        value = self.x(index)
        if value.constant is None:
            inputs = inputs_behind(value)
            raise self.unsupported(
                f"{what} of {self.op_type} must be a constant",
                "it is computed while the network runs",
                "make a constant of " + ", ".join(inputs),
                inputs=inputs,
            )
        self.builder.doubtful |= value.ends is not None
        return value.constant

    def maybe_array(self, index: int, what: str) -> np.ndarray | None:
        """Optional operand that has to be a constant if it is there."""
        return None if self.maybe(index) is None else self.array(index, what)

    def int_list(self, index: int, what: str) -> list[int]:
        """A constant operand as a flat list of integers."""
        array = self.array(index, what)
        if array.dtype.kind not in "iu":
            raise self.broken(f"{what} of {self.op_type} must be integers", f"it has dtype {array.dtype}")
        return [int(v) for v in array.reshape(-1)]

    # -------------------------------------------------------------------------------------------------- attributes

    def _attribute(self, name: str, kind: int, field: str) -> Any:
        for attribute in self.proto.attribute:
            if attribute.name == name:
                if attribute.type not in (kind, onnx.AttributeProto.UNDEFINED):
                    raise self.broken(f"attribute {name!r} of {self.op_type} has the wrong type")
                return getattr(attribute, field)
        return None

    def has(self, name: str) -> bool:
        """Whether the attribute is written in the file."""
        return any(attribute.name == name for attribute in self.proto.attribute)

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self._attribute(name, onnx.AttributeProto.INT, "i")
        return default if value is None else int(value)

    def number(self, name: str, default: float) -> float:
        """A float attribute (stored as float32)."""
        value = self._attribute(name, onnx.AttributeProto.FLOAT, "f")
        return default if value is None else float(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self._attribute(name, onnx.AttributeProto.STRING, "s")
        return default if value is None else value.decode("utf-8", "replace")

    def integers(self, name: str) -> list[int] | None:
        """A list of integers, None if the attribute is not there."""
        value = self._attribute(name, onnx.AttributeProto.INTS, "ints")
        return None if value is None else [int(v) for v in value]

    def numbers(self, name: str) -> list[float] | None:
        """A list of floats, None if the attribute is not there."""
        value = self._attribute(name, onnx.AttributeProto.FLOATS, "floats")
        return None if value is None else [float(v) for v in value]

    def tensor(self, name: str) -> np.ndarray | None:
        """A tensor attribute as an array, None if the attribute is not there."""
        value = self._attribute(name, onnx.AttributeProto.TENSOR, "t")
        return None if value is None else self.reader.dense(value)

    def sparse_tensor(self, name: str) -> np.ndarray | None:
        """A sparse tensor attribute as a dense array, None if the attribute is not there."""
        value = self._attribute(name, onnx.AttributeProto.SPARSE_TENSOR, "sparse_tensor")
        return None if value is None else self.reader.sparse(value)

    def axes(self, index: int, default: Sequence[int] | None = None) -> list[int]:
        """Axes from the attribute ``axes``, or from input ``index`` where the newer opsets put them."""
        attribute = self.integers("axes")
        if attribute is not None:
            return attribute
        if self.maybe(index) is not None:
            return self.int_list(index, "axes")
        if default is None:
            raise self.broken(f"{self.op_type} needs axes")
        return list(default)

    def axis(self, axis: int, rank: int) -> int:
        """``axis`` counted from the front."""
        if not -rank <= axis < rank:
            raise self.broken(
                f"an axis of {self.op_type} must be inside the tensor's rank", f"axis {axis}, rank {rank}"
            )
        return axis % rank

    # ------------------------------------------------------------------------------------------------------ results

    def emit(self, op_name: str, *operands: Value, **attrs: Any) -> Value:
        """Append an IR op with one result, located at this node."""
        return self.builder.add(op_name, *operands, loc=self.loc, **attrs)

    def emit_multi(self, op_name: str, *operands: Value, **attrs: Any) -> tuple[Value, ...]:
        """Append an IR op with several results."""
        return self.builder.add_multi(op_name, *operands, loc=self.loc, **attrs)

    def constant(self, array: np.ndarray) -> Value:
        """A constant of the array's own dtype."""
        return self.builder.constant(array, loc=self.loc)

    def scalar(self, number: float | np.floating, like: Value) -> Value:
        """A rank-0 constant in the dtype of ``like``."""
        return self.constant(np.asarray(number, dtype=dtype_of(like).numpy))

    def check_size(self, size_bytes: int) -> None:
        """Refuse to make a table or constant that a small file blows up."""
        limit = self.reader.limits.constant_bytes
        if size_bytes > limit:
            raise NodeProblem(over_limit("constant_bytes", limit, size_bytes, self.where), broken=True)

    # ------------------------------------------------------------------------------------------------------ refusals

    def unsupported(
        self, rule: str, here: str = "", hint: str = "", code: str = "U003", inputs: tuple[str, ...] = ()
    ) -> NodeProblem:
        """The problem to raise when bitc does not take this node in this form (but would if ``inputs`` were constants)."""
        title = f"{self.op_type} is not supported in this form"
        return NodeProblem(Diagnostic(code, title, self.where, rule, here, hint, inputs), broken=False)

    def broken(self, rule: str, here: str = "") -> NodeProblem:
        """The problem to raise when the node breaks ONNX's rules."""
        title = f"{self.op_type} breaks a rule of its operation"
        return NodeProblem(Diagnostic("M007", title, self.where, rule, here), broken=True)


def location(index: int, proto: onnx.NodeProto) -> str:
    """``node 17 'name' (OpType)``."""
    name = f" {proto.name!r}" if proto.name else ""
    return f"node {index}{name} ({proto.op_type})"


def inputs_behind(value: Value) -> tuple[str, ...]:
    """The names of the graph inputs ``value`` is computed from."""
    found: dict[str, None] = {}
    seen, stack = {value}, [value]
    while stack:
        value = stack.pop()
        if value.producer is None:
            found[value.name] = None
            continue
        operands = [operand for operand in value.producer.operands if operand not in seen]
        seen.update(operands)
        stack += reversed(operands)
    return tuple(found)


def dtype_of(value: Value) -> DType:
    """Element type of a value at level ``nn``, where every value is a tensor of numbers."""
    assert isinstance(value.type, TensorType)
    return value.type.dtype


# ---------------------------------------------------------------------------------------------------------- the table

Handler = Callable[[Node], "Value | Sequence[Value]"]
_Handler = TypeVar("_Handler", bound=Handler)


@dataclass(frozen=True, slots=True)
class Entry:
    """A handler and the opset versions it is for (``until`` inclusive, None: no end)."""

    function: Handler
    since: int
    until: int | None


HANDLERS: dict[tuple[str, str], list[Entry]] = {}
"""Handlers by canonical domain and op type."""


def handles(
    *op_types: str, domains: Sequence[str] = (STANDARD,), since: int = 1, until: int | None = None
) -> Callable[[_Handler], _Handler]:
    """Register a handler for ``op_types`` of ``domains`` in opset versions ``since`` to ``until``."""

    def enter(function: _Handler) -> _Handler:
        for domain in domains:
            for op_type in op_types:
                HANDLERS.setdefault((domain, op_type), []).append(Entry(function, since, until))
        return function

    return enter


def find_handler(domain: str, op_type: str, opset: int) -> Handler | None:
    """The handler of an op, None if there is none for this opset version."""
    for entry in HANDLERS.get((canonical_domain(domain), op_type), ()):
        if entry.since <= opset and (entry.until is None or opset <= entry.until):
            return entry.function
    return None
