"""Promises of the caller: the values an input takes, and what the sign of zero is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.ir import Builder, DType, Graph, InferenceError, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass


def assume_values(graph: Graph, promises: Mapping[str, Sequence[float]]) -> Graph:
    """``graph`` with ``nn.assume`` behind each input named in ``promises``. Raises :class:`OptionError` for an unknown input."""
    unknown = sorted(set(promises) - {value.name for value in graph.inputs})
    if unknown:
        names = ", ".join(value.name for value in graph.inputs)
        raise OptionError(
            Diagnostic("O021", f"values are promised for {unknown[0]!r}", hint=f"the inputs are: {names}")
        )
    b = Builder()
    mapping: dict[Value, Value] = {}
    for value in graph.inputs:
        b.fresh_name(value.name)
        mapping[value] = value
    for value in graph.inputs:
        if value.name in promises:
            promised = tuple(sorted(map(float, set(promises[value.name]))))
            try:
                if not np.isfinite(promised).all():
                    raise InferenceError(f"values {list(promised)} are not all finite")
                mapping[value] = b.add("nn.assume", value, values=promised)
            except InferenceError as error:
                raise OptionError(
                    Diagnostic("O022", f"the promise for {value.name!r} makes no sense", here=str(error))
                ) from None
    for op in graph.ops:
        for old, new in zip(op.results, b.clone(op, [mapping[o] for o in op.operands]), strict=True):
            mapping[old] = new
    return Graph(graph.name, graph.inputs, b.ops, [mapping[o] for o in graph.outputs], graph.attrs)


@dataclass(frozen=True)
class DropAssumptions(Pass):
    """The promise has been used by analysis; at run time ``nn.assume(x) = x``."""

    name: ClassVar[str] = "drop-assumptions"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, lambda op, b: op.operands[0] if op.name == "nn.assume" else None)


@dataclass(frozen=True)
class SignOfZero(Pass):
    """ONNX's Sign(0) is 0. With ``zero=plus`` (or ``minus``) the caller declares it never matters, and::

        sign(x)  -->  x >= 0 ? 1 : -1        (plus)
        sign(x)  -->  x >  0 ? 1 : -1        (minus)

    which halves the work of a layer whose input may be 0 (it needs two bit planes otherwise). ``exact`` changes nothing.
    """

    name: ClassVar[str] = "sign-of-zero"
    zero: str = "exact"

    def run(self, graph: Graph) -> Graph:
        if self.zero == "exact":
            return graph
        if self.zero not in ("plus", "minus"):
            raise OptionError(Diagnostic("O023", f"sign-zero is {self.zero!r}", hint="one of: exact, plus, minus"))
        compare = "nn.greater_equal" if self.zero == "plus" else "nn.greater"

        def rule(op: Op, b: Builder) -> Value | None:
            x = op.operands[0] if op.operands else None
            if op.name != "nn.sign" or x is None or not isinstance(x.type, TensorType) or x.type.dtype is not DType.F32:
                return None
            zero, one = (b.constant(np.asarray(v, np.float32)) for v in (0.0, 1.0))
            positive = b.add(compare, x, zero, loc=op.loc)
            return b.add("nn.where", positive, one, b.constant(np.asarray(-1.0, np.float32)), loc=op.loc)

        return rewrite(graph, rule)
