"""Handlers of constants and shape arithmetic. Shapes are static, so all of these give constants."""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from bitc.frontend.node import Node, handles
from bitc.ir import Value


@handles("Constant")
def constant(n: Node) -> Value:
    """The attribute's value: a tensor, a sparse tensor, or numbers"""
    if n.has("value"):
        return n.constant(_present(n, n.tensor("value")))
    if n.has("sparse_value"):
        return n.constant(_present(n, n.sparse_tensor("sparse_value")))
    if n.has("value_float"):
        return n.constant(np.asarray(n.number("value_float", 0.0), np.float32))
    if n.has("value_int"):
        return n.constant(np.asarray(n.integer("value_int", 0), np.int64))
    if n.has("value_floats"):
        return n.constant(np.asarray(n.numbers("value_floats"), np.float32))
    if n.has("value_ints"):
        return n.constant(np.asarray(n.integers("value_ints"), np.int64))
    raise n.unsupported("Constant holds numbers", "its value is text, or it has none", code="U004")


def _present(n: Node, array: np.ndarray | None) -> np.ndarray:
    if array is None:
        raise n.broken("Constant holds a tensor")
    return array


@handles("Shape")
def shape(n: Node) -> Value:
    """The sizes of all axes, or of those from ``start`` to ``end``"""
    rank = len(n.x().shape)
    start, end = n.integer("start", 0), n.integer("end", rank)
    return n.constant(np.asarray(n.x().shape[start:end], np.int64))


@handles("Size")
def size(n: Node) -> Value:
    """The number of elements"""
    return n.constant(np.asarray(prod(n.x().shape), np.int64))


@handles("ConstantOfShape")
def constant_of_shape(n: Node) -> Value:
    """A tensor of the given shape, filled with one value"""
    value = n.tensor("value")
    value = np.zeros(1, np.float32) if value is None else value
    dims = n.int_list(0, "shape")
    if value.size != 1 or any(dim < 0 for dim in dims):
        raise n.broken("ConstantOfShape has one value and sizes that are not negative", f"shape {dims}")
    n.check_size(prod(dims) * value.itemsize)
    return n.constant(np.full(dims, value.reshape(())))


@handles("Range")
def arithmetic_range(n: Node) -> Value:
    """start, start + delta, ... below limit; like onnxruntime by adding again and again, which for floats is another rounding"""
    start, limit, delta = (n.array(i, what) for i, what in enumerate(("start", "limit", "delta")))
    if not start.size == limit.size == delta.size == 1 or delta.item() == 0:
        raise n.broken("start, limit and delta of Range are scalars, delta not 0")
    count = max(0, ceil((limit.item() - start.item()) / delta.item()))
    n.check_size(count * start.itemsize)
    steps = np.full(count, delta.reshape(()), start.dtype)
    steps[:1] = start.reshape(())
    return n.constant(np.cumsum(steps, dtype=start.dtype))
