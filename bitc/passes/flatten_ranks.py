"""``flatten-ranks``: codes become rows [M, C] or images [N, C, H, W], and one-dimensional images get a height of 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, CodeType, DType, Graph, Op, TensorType, Value, rewrite
from bitc.ir import k_move as _  # noqa: F401  (declares k.levels)
from bitc.passes.base import Pass
from bitc.passes.lower_moves import same_pixels

_CONVOLUTIONS = ("nn.conv", "q.conv", "q.weight_conv", "q.int_conv")
_POOLS = ("nn.max_pool", "nn.avg_pool", "q.max_pool")
_PRODUCTS = ("nn.matmul", "q.matmul", "q.weight_matmul", "q.int_matmul")
_MOVES = ("nn.reshape", "nn.transpose", "nn.slice", "nn.gather", "nn.expand", "nn.pad", "nn.concat")


@dataclass(frozen=True)
class FlattenRanks(Pass):
    """Packed kernels know rows and images; other shapes are brought to these by reshapes, which cost nothing::

        matmul(x [B,T,K], w)                 -->  reshape(matmul(reshape(x, [B·T,K]), w))
        conv(x [N,C,L], w [M,C,K])           -->  reshape(conv(reshape(x, [N,C,1,L]), w [M,C,1,K]))     pools likewise
        threshold(x [B,T,K], t for all)      -->  reshape(threshold(reshape(x, [B·T,K])))
        move(threshold(x), t for all)        -->  threshold(move(x))                                    x numbers
        move(plane(x))                       -->  plane(move(x))                                        x numbers
        move(codes)                          -->  threshold(move(levels of the codes))

    The last three apply where moving would tear words apart (a transpose, a reshape that regroups channels): then numbers are moved.
    Runs before ``exact-padding``, so that borders of one-dimensional images are corrected too.
    """

    name: ClassVar[str] = "flatten-ranks"

    def run(self, graph: Graph) -> Graph:
        users = graph.users()
        return rewrite(graph, lambda op, b: _rule(op, users, b))


def _rule(op: Op, users: dict[Value, list[Op]], b: Builder) -> Value | None:
    rank = len(op.operands[0].shape) if op.operands else 0
    if op.name in _PRODUCTS and rank != 2 and len(op.operands[1].shape) == 2:
        x, *rest = op.operands
        rows = _rows(x, op, b)
        return _reshape(b.add(op.name, rows, *rest, loc=op.loc, **op.attrs), op.results[0].shape, op, b)
    if op.name in (*_CONVOLUTIONS, *_POOLS) and rank == 3:
        return _with_height(op, b)
    if op.name == "q.threshold" and rank not in (2, 4):
        return _flat_threshold(op, users, b)
    if op.name == "q.plane" and rank not in (2, 4):
        return _flat_plane(op, users, b)
    if op.name == "q.decode" and rank not in (2, 4):
        flat = _flat_codes(op.operands[0], op, b)
        return _reshape(b.add("q.decode", flat, loc=op.loc), op.results[0].shape, op, b)
    if op.name in _MOVES and isinstance(op.operands[0].type, CodeType):
        return _move(op, b)
    return None


def _rows(x: Value, op: Op, b: Builder) -> Value:
    """``x`` as rows of its last axis; codes of images hold other axes in their words, so those are moved."""
    rows = _reshape(x, (prod(x.shape[:-1]), x.shape[-1]), op, b)
    if not isinstance(x.type, CodeType) or rows.producer is None or rows.producer.name != "nn.reshape":
        return rows
    moved = _move(rows.producer, b)
    return rows if moved is None else moved


def _reshape(x: Value, shape: Sequence[int], op: Op, b: Builder) -> Value:
    """``x`` in another shape, looking through reshapes before it."""
    while x.producer is not None and x.producer.name == "nn.reshape":
        x = x.producer.operands[0]
    return x if x.shape == tuple(shape) else b.add("nn.reshape", x, shape=tuple(shape), loc=op.loc)


def _with_height(op: Op, b: Builder) -> Value:
    """A convolution or pool over [N, C, L] as one over [N, C, 1, L]."""
    x, *rest = op.operands
    n, c, length = x.shape
    attrs = dict(op.attrs)
    for key in ("strides", "dilations", "kernel"):
        if key in attrs:
            attrs[key] = (1, *attrs[key])
    attrs["pads"] = (0, attrs["pads"][0], 0, attrs["pads"][1])
    if op.name in _CONVOLUTIONS:
        rest[0] = _tall_weights(rest[0], op, b)
    made = b.add(op.name, _reshape(x, (n, c, 1, length), op, b), *rest, loc=op.loc, **attrs)
    return _reshape(made, op.results[0].shape, op, b)


def _tall_weights(w: Value, op: Op, b: Builder) -> Value:
    """Weights [M, C, K], constant or encoded from a constant, as [M, C, 1, K]."""
    encode = w.producer if isinstance(w.type, CodeType) else None
    array = encode.operands[0].constant if encode is not None else w.constant
    if array is None:
        return b.add("nn.reshape", w, shape=(*w.shape[:2], 1, w.shape[2]), loc=op.loc)
    tall = b.constant(array[:, :, np.newaxis], loc=op.loc)
    return tall if encode is None else b.add("q.encode", tall, loc=encode.loc, **encode.attrs)


def _flat_threshold(op: Op, users: dict[Value, list[Op]], b: Builder) -> Value:
    """Rows of the last axis where one set of thresholds serves all and no image op reads the codes, else an image."""
    x, t, descending = op.operands
    flat = _flat_shape(op, users, by_channel=t.shape[0] > 1)
    made = b.add("q.threshold", _reshape(x, flat, op, b), t, descending, loc=op.loc, **op.attrs)
    return _reshape(made, x.shape, op, b)


def _flat_shape(op: Op, users: dict[Value, list[Op]], by_channel: bool) -> tuple[int, ...]:
    """Rows or an image, by what ``op`` does and who reads it."""
    shape = op.operands[0].shape
    readers = {user.name for user in users.get(op.results[0], ())}
    if len(shape) < 2:
        return (prod(shape), 1)
    if not by_channel and not readers & {*_CONVOLUTIONS, *_POOLS}:
        return (prod(shape[:-1]), shape[-1])
    return (*shape[:2], prod(shape[2:-1]), shape[-1])


def _flat_plane(op: Op, users: dict[Value, list[Op]], b: Builder) -> Value:
    """A plane of numbers as one of rows or of an image; of codes, in the shape they are packed in."""
    (x,) = op.operands
    if isinstance(x.type, CodeType):
        source = _flat_codes(x, op, b)
    else:
        source = _reshape(x, _flat_shape(op, users, by_channel=False), op, b)
    return _reshape(b.add("q.plane", source, loc=op.loc, **op.attrs), x.shape, op, b)


def _flat_codes(x: Value, op: Op, b: Builder) -> Value:
    """Codes of rank 2 or 4 with the elements of ``x`` in the same order: what ``x`` was reshaped from."""
    source = x
    while source.producer is not None and source.producer.name == "nn.reshape" and len(source.shape) not in (2, 4):
        source = source.producer.operands[0]
    return source


def _move(op: Op, b: Builder) -> Value | None:
    """A move of codes: left as it is where words stay whole, else done on numbers."""
    x = op.operands[0]
    if op.name == "nn.reshape":
        flat = _flat_codes(x, op, b)
        if len(op.results[0].shape) not in (2, 4):
            return _reshape(x, op.results[0].shape, op, b)
        before, after = flat.type, op.results[0].type
        if isinstance(before, CodeType) and isinstance(after, CodeType) and same_pixels(before, after):
            return _reshape(flat, after.shape, op, b)
    maker = x.producer
    while maker is not None and maker.name == "nn.reshape" and op.name == "nn.reshape":
        maker = maker.operands[0].producer
    if len(op.operands) == 1 and maker is not None and maker.name == "q.plane" and op.name != "nn.pad":
        (source,) = maker.operands
        if isinstance(source.type, TensorType):
            return b.add("q.plane", b.add(op.name, source, loc=op.loc, **op.attrs), loc=maker.loc, **maker.attrs)
    if len(op.operands) == 1 and maker is not None and maker.name == "q.threshold" and op.name != "nn.pad":
        numbers, t, descending = maker.operands
        if t.shape[0] == 1 and isinstance(numbers.type, TensorType) and numbers.type.dtype in (DType.F32, DType.I32):
            moved = b.add(op.name, numbers, loc=op.loc, **op.attrs)
            return _threshold(moved, t, descending, maker, b)
    return _move_levels(op, b)


def _threshold(moved: Value, t: Value, descending: Value, maker: Op, b: Builder) -> Value:
    """Thresholds for all channels on numbers of any rank; codes of other ranks than 2 and 4 are reshaped from rows."""
    shape = moved.shape
    if len(shape) in (2, 4):
        return b.add("q.threshold", moved, t, descending, loc=maker.loc, **maker.attrs)
    rows = b.add("nn.reshape", moved, shape=(prod(shape[:-1]), shape[-1]), loc=maker.loc)
    codes = b.add("q.threshold", rows, t, descending, loc=maker.loc, **maker.attrs)
    return b.add("nn.reshape", codes, shape=shape, loc=maker.loc)


def _move_levels(op: Op, b: Builder) -> Value:
    """The move on levels as numbers, then codes again: thresholds lie half-way between neighbouring levels."""
    x = op.operands[0]
    assert isinstance(x.type, CodeType)
    levels = x.type.levels
    moved = b.add(op.name, *(_levels(operand, op, b) for operand in op.operands), loc=op.loc, **op.attrs)
    t = b.constant((levels.values()[1:] - levels.step / 2).astype(np.float32)[np.newaxis])
    maker = Op(op.decl, (), {"levels": levels, "scale": x.type.scale}, op.loc)
    return _threshold(moved, t, b.constant(np.zeros(1, bool)), maker, b)


def _levels(x: Value, op: Op, b: Builder) -> Value:
    flat = _flat_codes(x, op, b)
    return _reshape(b.add("k.levels", flat, loc=op.loc), x.shape, op, b)
