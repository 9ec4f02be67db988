"""``split-products``: a product with a concatenation is one of its parts, where putting them together would cost more than the product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from math import prod
from typing import ClassVar

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class SplitProducts(Pass):
    """A decoder multiplies one token by all keys and values so far, those of the token behind those it is given::

        nn.matmul(x, concat(b, c; columns))  -->  concat(matmul(x, b), matmul(x, c); columns)
        nn.matmul(x, concat(b, c; rows))     -->  matmul(x[:, :n], b) + matmul(x[:, n:], c)     n rows of b

    through a transposition as well. The second changes the order of a sum that rounds, as any order of a product may. Side condition:
    nothing else reads the concatenation, and what is copied or added instead has fewer elements.
    """

    name: ClassVar[str] = "split-products"

    def run(self, graph: Graph) -> Graph:
        users = graph.users()
        once = {value for value, readers in users.items() if len(readers) == 1 and value not in graph.outputs}
        alone = {op.result for op in graph.ops if op.name == "nn.matmul" and _read_by_it_alone(op.operands[1], once)}
        return rewrite(graph, lambda op, b: _split(op, b) if alone.issuperset(op.results) else None)


def _read_by_it_alone(value: Value, once: set[Value]) -> bool:
    while value in once and value.producer is not None and value.producer.name == "nn.transpose":
        value = value.producer.operands[0]
    return value in once


def _split(op: Op, b: Builder) -> Value | None:
    x, right = op.operands
    found = _concatenation(right)
    if found is None or min(len(x.shape), len(right.shape)) < 2:
        return None
    concat, perm = found
    axis = perm.index(concat.attrs["axis"] % len(perm)) - len(perm)
    if axis < -2 or not _pays(x, right, op.result, axis):
        return None
    loc, turned = op.loc, perm != tuple(range(len(perm)))
    parts = [b.add("nn.transpose", part, perm=perm, loc=loc) if turned else part for part in concat.operands]
    if axis == -1:
        return b.add("nn.concat", *[b.add("nn.matmul", x, part, loc=loc) for part in parts], axis=-1, loc=loc)
    ends = list(accumulate(part.shape[-2] for part in parts))
    pieces = [_columns(b, x, end - part.shape[-2], end, loc) for part, end in zip(parts, ends, strict=True)]
    products = [b.add("nn.matmul", piece, part, loc=loc) for piece, part in zip(pieces, parts, strict=True)]
    return reduce(lambda total, product: b.add("nn.add", total, product, loc=loc), products)


def _concatenation(value: Value) -> tuple[Op, tuple[int, ...]] | None:
    """The concat that makes ``value``, transposed by a permutation."""
    perm = tuple(range(len(value.shape)))
    while value.producer is not None and value.producer.name == "nn.transpose":
        perm = tuple(value.producer.attrs["perm"][i] for i in perm)
        value = value.producer.operands[0]
    return (value.producer, perm) if value.producer is not None and value.producer.name == "nn.concat" else None


def _pays(x: Value, right: Value, y: Value, axis: int) -> bool:
    """Whether fewer elements are moved: parts of x and sums, or parts of y."""
    return prod(right.shape) > (prod(y.shape) if axis == -1 else prod(x.shape) + prod(y.shape))


def _columns(b: Builder, x: Value, first: int, last: int, loc: str) -> Value:
    rank = len(x.shape)
    starts, stops = (0,) * (rank - 1) + (first,), (*x.shape[:-1], last)
    return b.add("nn.slice", x, starts=starts, stops=stops, steps=(1,) * rank, loc=loc)
