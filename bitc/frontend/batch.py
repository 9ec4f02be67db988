"""Proof that a network treats the images of a batch alike: the same model imported for one image and for two is compared.

If both graphs are the same op for op, every computed value doubles along axis 0 and nowhere else, and no op mixes along axis 0, then
image i of the outputs depends on image i of the inputs only, by the same rule for each i. Axis 0 may be the batch with other axes
merged into it behind it (heads of an attention): then one image is a half of the elements in memory, which every op keeps apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitc.ir import Graph, Op, Value

_ALONG_ONE_AXIS = {"nn.softmax", "nn.argmax", "nn.topk", "nn.concat", "nn.gather", "nn.cumsum"}
_REDUCTIONS = {"nn.reduce_mean", "nn.reduce_sum", "nn.reduce_max", "nn.reduce_min", "nn.reduce_prod"}
_LOOKUPS = {"nn.take", "nn.take_along", "nn.take_nd", "nn.scatter_along", "nn.scatter_nd"}
_SHAPE_ATTRS = {"nn.reshape": ("shape",), "nn.expand": ("shape",), "nn.slice": ("stops",)}


def dependences(one: Graph, two: Graph) -> list[str]:
    """What speaks against independence, given the graph at batch 1 and at batch 2; empty if proven."""
    if [op.name for op in one.ops] != [op.name for op in two.ops]:
        return ["a batch of two gives other operations than one image"]
    if [op.loc for op in one.ops] != [op.loc for op in two.ops]:
        return ["a batch of two gives operations in another order than one image"]
    found = [
        f"input {a.name!r} has no free leading dimension"
        for a, b in zip(one.inputs, two.inputs, strict=True)
        if not _is_batch(a, b)
    ]
    for a, b in zip(one.ops, two.ops, strict=True):
        reason = _constant_reason(a, b) if a.name == "nn.constant" else _reason(a, b)
        if reason:
            found.append(f"{a.loc}: {reason}")
    for x, y in zip(one.outputs, two.outputs, strict=True):
        if x.constant is not None:
            found.append(f"output {x.name!r} is a constant")
        elif _doubles(x, y) and not _is_batch(x, y):
            found.append(f"output {x.name!r} has other axes merged into its leading one")
    return found


def _is_batch(a: Value, b: Value) -> bool:
    """Whether the leading axis is the batch alone."""
    return _doubles(a, b) and a.shape[0] == 1


def _doubles(a: Value, b: Value) -> bool:
    return bool(a.shape) and b.shape == (2 * a.shape[0], *a.shape[1:])


def _constant_reason(a: Op, b: Op) -> str:
    """A constant is the same for any batch, or what is repeated for each image."""
    x, y = a.attrs["value"], b.attrs["value"]
    if x.shape != y.shape and not _doubles(a.result, b.result):
        return "a constant's shape depends on the batch in another way than along its leading axis"
    repeated = x if x.shape == y.shape else np.concatenate([x, x])
    same = np.array_equal(repeated, y, equal_nan=x.dtype.kind == "f")
    return "" if same else "a constant depends on the batch"


def _reason(a: Op, b: Op) -> str:
    """Why one computed op may mix images."""
    if not all(_doubles(x, y) for x, y in zip(a.results, b.results, strict=True)):
        return f"the result {a.results[0].type} becomes {b.results[0].type} for a batch of two"
    if not _same_attrs(a, b):
        return "attributes depend on the batch"
    rank = len(a.results[0].shape)
    batched = [x for x, y in zip(a.operands, b.operands, strict=True) if x.shape != y.shape]
    broadcasts = a.decl.elementwise or a.name in ("nn.matmul", "nn.expand")
    if broadcasts and any(len(x.shape) != rank for x in batched):
        return "operands of different rank are broadcast, so the batch axis does not lead in all of them"
    if a.name == "nn.conv" and a.operands[1] in batched:
        return "the weights depend on the batch"
    mixes = _looks_across(a, batched) if a.name in _LOOKUPS else _along_batch(a)
    return "it works along the batch axis" if mixes else ""


def _looks_across(op: Op, batched: list[Value]) -> bool:
    """Whether computed places may lead from one image to another; the results are known to double."""
    x, indices = op.operands[:2]
    if x not in batched:
        return False  # one table for all images
    if op.name == "nn.take":
        return indices in batched or op.attrs["axis"] % len(x.shape) == 0
    if op.name == "nn.take_nd":
        return bool(op.attrs["batch_dims"] == 0)
    return op.name == "nn.scatter_nd" or op.attrs["axis"] % len(x.shape) == 0


def _same_attrs(a: Op, b: Op) -> bool:
    """Equal attributes, except that a shape may double in its first entry."""
    free = _SHAPE_ATTRS.get(a.name, ())
    return all(
        _doubled(a.attrs[key], b.attrs[key]) if key in free else _equal(a.attrs[key], b.attrs[key]) for key in a.attrs
    )


def _equal(x: Any, y: Any) -> bool:
    return bool(np.array_equal(x, y)) if isinstance(x, np.ndarray) else bool(x == y)


def _doubled(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    return x == y or (bool(x) and y == (2 * x[0], *x[1:]))


def _along_batch(op: Op) -> bool:
    """Whether the op's rule moves or combines elements along axis 0 of its first operand."""
    attrs: Mapping[str, Any] = op.attrs
    rank = len(op.operands[0].shape)
    if op.name in _ALONG_ONE_AXIS:
        return bool(attrs["axis"] % rank == 0)
    if op.name in _REDUCTIONS:
        return any(axis % rank == 0 for axis in attrs["axes"])
    if op.name == "nn.transpose":
        return bool(attrs["perm"][0] != 0)
    if op.name == "nn.pad":
        return bool(attrs["pads"][0] or attrs["pads"][rank])
    if op.name == "nn.slice":
        whole = slice(attrs["starts"][0], attrs["stops"][0], attrs["steps"][0])
        return whole != slice(0, op.operands[0].shape[0], 1)
    return False
