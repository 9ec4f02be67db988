"""Einsum, taken apart: diagonals, sums over axes of one operand, then one product of stacked matrices after another.

    einsum("b i k, b k j -> b i j")  =  matmul(a [b, i, k], b [b, k, j])

Of two operands the labels in both that nobody needs any more are summed over (K), those that are needed are the stack (B), the others
are rows (I) and columns (J).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from bitc.frontend.node import Node, handles
from bitc.ir import Value


@dataclass(frozen=True, slots=True)
class _Term:
    """A tensor whose axes have distinct labels."""

    value: Value
    labels: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The length of each label's axis."""
        return dict(zip(self.labels, self.value.shape, strict=True))


@handles("Einsum", since=12)
def einsum(n: Node) -> Value:
    """Einstein's sum over the labels of the equation, also with repeated labels and an ellipsis"""
    operands = [n.x(i) for i in range(len(n.inputs))]
    terms, result = _parsed(n, n.text("equation", ""), operands)
    sizes: dict[str, int] = {}
    for term in terms:
        for label, size in term.sizes.items():
            sizes[label] = max(size, sizes.get(label, 1))
    terms = [_without_repeats(n, term, sizes) for term in terms]
    first, *rest = terms
    for index, term in enumerate(rest):
        needed = {label for later in rest[index + 1 :] for label in later.labels} | set(result)
        first = _product(n, first, term, needed)
    return _arranged(n, _summed(n, first, set(result)), result, sizes)


def _parsed(n: Node, equation: str, operands: Sequence[Value]) -> tuple[list[_Term], tuple[str, ...]]:
    """Terms with distinct labels and the labels of the result; the axes of an ellipsis are called ``.0`` for the last, ``.1``..."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise n.broken("the equation of Einsum has a term for each input", equation)
    terms = [_term(n, part, value) for part, value in zip(parts, operands, strict=True)]
    dots = max((sum(label.startswith(".") for label in term.labels) for term in terms), default=0)
    ellipsis = tuple(f".{i}" for i in reversed(range(dots)))
    if not arrow:
        counts = Counter(label for part in parts for label in part.replace("...", ""))
        return terms, (*ellipsis, *sorted(label for label, count in counts.items() if count == 1))
    before, found, after = right.partition("...")
    result = (*before, *(ellipsis if found else ()), *after)
    if len(set(result)) != len(result) or not set(result) <= {label for term in terms for label in term.labels}:
        raise n.broken("each label of Einsum's result is one of its terms', once", equation)
    return terms, result


def _term(n: Node, text: str, value: Value) -> _Term:
    before, found, after = text.partition("...")
    dots = len(value.shape) - len(before) - len(after)
    if dots < 0 or (dots and not found):
        raise n.broken("each term of Einsum has a label for each axis", f"{text!r}, {value.type}")
    labels = [*before, *(f".{i}" for i in reversed(range(dots))), *after]
    while len(set(labels)) < len(labels):
        label = next(name for name in labels if labels.count(name) > 1)
        first = labels.index(label)
        value = _diagonal(n, value, first, labels.index(label, first + 1))
        labels.remove(label)
        labels.remove(label)
        labels.append(label)
    return _Term(value, tuple(labels))


def _diagonal(n: Node, x: Value, first: int, second: int) -> Value:
    """The elements at which two axes of one length agree, as the last axis in place of both."""
    size, rank = x.shape[first], len(x.shape)
    if x.shape[second] != size:
        raise n.broken("axes of one label have one length", str(x.type))
    rest = [axis for axis in range(rank) if axis not in (first, second)]
    moved = n.emit("nn.transpose", x, perm=(*rest, first, second))
    flat = n.emit("nn.reshape", moved, shape=(*(x.shape[axis] for axis in rest), size * size))
    return n.emit("nn.gather", flat, indices=np.arange(size) * (size + 1), axis=rank - 2)


def _without_repeats(n: Node, term: _Term, sizes: dict[str, int]) -> _Term:
    """The term without axes of length 1 that another term has longer: they broadcast."""
    kept = tuple(label for label, size in term.sizes.items() if size == sizes[label])
    if any(size not in (1, sizes[label]) for label, size in term.sizes.items()):
        raise n.broken("axes of one label have one length, or 1", str(term.value.type))
    if kept == term.labels:
        return term
    return _Term(n.emit("nn.reshape", term.value, shape=tuple(sizes[label] for label in kept)), kept)


def _summed(n: Node, term: _Term, needed: set[str]) -> _Term:
    """The sum over all labels that are not needed."""
    axes = tuple(axis for axis, label in enumerate(term.labels) if label not in needed)
    if not axes:
        return term
    value = n.emit("nn.reduce_sum", term.value, axes=axes, keepdims=False)
    return _Term(value, tuple(label for label in term.labels if label in needed))


def _product(n: Node, a: _Term, b: _Term, needed: set[str]) -> _Term:
    """The product of two terms, summed over what is no longer needed."""
    a, b = _summed(n, a, needed | set(b.labels)), _summed(n, b, needed | set(a.labels))
    both = [label for label in a.labels if label in b.labels]
    stack, summed = [x for x in both if x in needed], [x for x in both if x not in needed]
    rows, columns = [x for x in a.labels if x not in both], [x for x in b.labels if x not in both]
    sizes = {**a.sizes, **b.sizes}
    shape = [prod(sizes[label] for label in group) for group in (stack, rows, summed, columns)]
    left = _matrix(n, a, (*stack, *rows, *summed), (shape[0], shape[1], shape[2]))
    right = _matrix(n, b, (*stack, *summed, *columns), (shape[0], shape[2], shape[3]))
    made = n.emit("nn.matmul" if summed else "nn.mul", left, right)
    labels = (*stack, *rows, *columns)
    return _Term(n.emit("nn.reshape", made, shape=tuple(sizes[label] for label in labels)), labels)


def _matrix(n: Node, term: _Term, order: tuple[str, ...], shape: tuple[int, ...]) -> Value:
    moved = _transposed(n, term, order)
    return moved if moved.shape == shape else n.emit("nn.reshape", moved, shape=shape)


def _transposed(n: Node, term: _Term, order: Sequence[str]) -> Value:
    perm = tuple(term.labels.index(label) for label in order)
    return term.value if perm == tuple(range(len(perm))) else n.emit("nn.transpose", term.value, perm=perm)


def _arranged(n: Node, term: _Term, result: tuple[str, ...], sizes: dict[str, int]) -> Value:
    """The term in the order of the result; a label no term has left was of length 1."""
    value = _transposed(n, term, [label for label in result if label in term.labels])
    shape = tuple(sizes[label] for label in result)
    return value if value.shape == shape else n.emit("nn.reshape", value, shape=shape)
