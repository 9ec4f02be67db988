"""``narrow-products``: products of few columns share one pass over their input, and products of one term are no products."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from bitc.ir import Builder, DType, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass

COLUMNS = 8
"""Columns of a block of float weights: a product of fewer takes as long as one of so many."""


@dataclass(frozen=True)
class NarrowProducts(Pass):
    """Rank-1 terms of attention scores, as BiPFT has them, are layers of one column each and their outer products::

        matmul(x, v), matmul(x, w), ..     -->  slices of matmul(x, concat(v, w, ..))     v, w constant, together a block of columns
        matmul(a [.., M, 1], b [.., 1, N]) -->  mul(a, b)

    Each element is the same sum of the same terms; only a single term of -0.0 stays so. The multiplication joins the maps around it: the
    outer product is never stored.
    Runs after ``recognise-codes``: what is left of ``nn.matmul`` then multiplies floats.
    """

    name: ClassVar[str] = "narrow-products"

    def run(self, graph: Graph) -> Graph:
        groups = _groups(graph)
        made: dict[Value, Value] = {}

        def rule(op: Op, b: Builder) -> Value | None:
            if op.name != "nn.matmul":
                return None
            if op.result in groups:
                if op.result not in made:
                    made.update(_joined(groups[op.result], op.operands[0], b))
                return made[op.result]
            return b.add("nn.mul", *op.operands, loc=op.loc) if _is_outer(op) else None

        found = rewrite(graph, rule, fold=True)
        if reasons := _reasons(graph.attrs, groups):
            found.attrs["why_not_one_bit"] = (*graph.attrs["why_not_one_bit"], *reasons)
        return found


def _groups(graph: Graph) -> dict[Value, tuple[Op, ...]]:
    """For each product of a group the group."""
    by_input: dict[Value, list[list[Op]]] = {}
    for op in graph.ops:
        if not _is_narrow(op):
            continue
        groups = by_input.setdefault(op.operands[0], [[]])
        if sum(other.result.shape[-1] for other in (*groups[-1], op)) > COLUMNS:
            groups.append([])
        groups[-1].append(op)
    joined = [tuple(group) for groups in by_input.values() for group in groups if len(group) > 1]
    return {op.result: group for group in joined for op in group}


def _is_narrow(op: Op) -> bool:
    if op.name != "nn.matmul" or not _is_float(op.result):
        return False
    x, weights = op.operands
    return x.constant is None and weights.constant is not None and weights.constant.ndim == 2


def _is_outer(op: Op) -> bool:
    return _is_float(op.result) and op.operands[0].shape[-1] == 1


def _is_float(value: Value) -> bool:
    return isinstance(value.type, TensorType) and value.type.dtype is DType.F32


def _joined(group: tuple[Op, ...], x: Value, b: Builder) -> dict[Value, Value]:
    """The slices of one product that are those of ``group``."""
    loc = _loc(group)
    weights = b.add("nn.concat", *(op.operands[1] for op in group), axis=1, loc=loc)
    product = b.add("nn.matmul", x, weights, loc=loc)
    ends, lead = accumulate(op.result.shape[-1] for op in group), product.shape[:-1]
    return {
        op.result: b.add(
            "nn.slice",
            product,
            starts=(*(0 for _ in lead), end - op.result.shape[-1]),
            stops=(*lead, end),
            steps=(1,) * len(product.shape),
            loc=op.loc,
            origin=op.result.origin,
        )
        for op, end in zip(group, ends, strict=True)
    }


def _loc(group: tuple[Op, ...]) -> str:
    return "; ".join(op.loc for op in group)


def _reasons(attrs: dict[str, Any], groups: dict[Value, tuple[Op, ...]]) -> tuple[tuple[str, str, str], ...]:
    """What ``why_not_one_bit`` says of the first product of each group, as said of the joined one."""
    known = {node: (why, hint) for node, why, hint in attrs.get("why_not_one_bit", ())}
    joined = {_loc(group): known[group[0].loc] for group in groups.values() if group[0].loc in known}
    return tuple((node, *reason) for node, reason in joined.items())
