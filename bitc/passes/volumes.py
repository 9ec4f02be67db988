"""``flatten-volumes``: convolutions and pools over three and more spatial axes become ones over two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.ir.numeric import window_count
from bitc.passes.base import Pass

_POOLS = ("nn.max_pool", "nn.avg_pool")


@dataclass(frozen=True)
class FlattenVolumes(Pass):
    """Kernels walk over images; a volume is a stack of them::

        conv(x [N,C,D,..], w [M,C,K,..])  -->  conv(slices [N·OD, K·C, ..], w [M, K·C, ..])
        pool(x [N,C,D,..])                -->  pool over D (pool over the other axes)

    Each output slice is a convolution over the K slices below its window, as channels. A maximum of maxima is the maximum, and the
    mean over a box the mean of the means along its sides, for all combinations of padding, since the number of taps inside the
    image is the product of those along each axis. Runs before products are recognised, which then only see images.
    """

    name: ClassVar[str] = "flatten-volumes"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule, fold=True)


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name not in ("nn.conv", *_POOLS) or len(op.operands[0].shape) < 5:
        return None
    if op.name == "nn.conv":
        return _conv(op.operands[0], op.operands[1], op.attrs, op, b)
    return _pool(op.operands[0], op.attrs, op, b)


def _inner(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes without the first spatial axis."""
    rank = len(attrs["strides"])
    cut = {key: value[1:] for key, value in attrs.items() if key in ("strides", "dilations", "kernel")}
    return {**attrs, **cut, "pads": (*attrs["pads"][1:rank], *attrs["pads"][rank + 1 :])}


def _conv(x: Value, w: Value, attrs: Mapping[str, Any], op: Op, b: Builder) -> Value:
    n, channels, _, *inner = x.shape
    if len(inner) < 2:
        return b.add("nn.conv", x, w, loc=op.loc, **attrs)
    m, per_group, taps, *kernel = w.shape
    group = attrs["group"]
    slices = _windows(x, taps, attrs, op, b)
    count, rest = slices.shape[2], range(5, 5 + len(inner))
    split = b.add("nn.reshape", slices, shape=(n, group, per_group, count, taps, *inner), loc=op.loc)
    moved = b.add("nn.transpose", split, perm=(0, 3, 1, 4, 2, *rest), loc=op.loc)
    stack = b.add("nn.reshape", moved, shape=(n * count, taps * channels, *inner), loc=op.loc)
    turned = b.add("nn.transpose", w, perm=(0, 2, 1, *range(3, 3 + len(kernel))), loc=op.loc)
    weights = b.add("nn.reshape", turned, shape=(m, taps * per_group, *kernel), loc=op.loc)
    made = _conv(stack, weights, _inner(attrs), op, b)
    volume = b.add("nn.reshape", made, shape=(n, count, *made.shape[1:]), loc=op.loc)
    return b.add("nn.transpose", volume, perm=(0, 2, 1, *range(3, len(volume.shape))), loc=op.loc)


def _windows(x: Value, taps: int, attrs: Mapping[str, Any], op: Op, b: Builder) -> Value:
    """``x`` [N, C, D, ..] as [N, C, OD, taps, ..]: the slices under each position of the window along D."""
    rank = len(attrs["strides"])
    stride, dilation, begin, end = (attrs["strides"][0], attrs["dilations"][0], attrs["pads"][0], attrs["pads"][rank])
    count = window_count(x.shape[2], taps, stride, dilation, begin, end)
    if begin or end:
        edges = (0, 0, begin, *[0] * (rank - 1))
        x = b.add("nn.pad", x, pads=(*edges, 0, 0, end, *[0] * (rank - 1)), loc=op.loc)
    places = np.arange(count)[:, np.newaxis] * stride + np.arange(taps) * dilation
    return b.add("nn.gather", x, indices=places, axis=2, loc=op.loc)


def _pool(x: Value, attrs: Mapping[str, Any], op: Op, b: Builder) -> Value:
    n, channels, depth, *inner = x.shape
    if len(inner) < 2:
        return b.add(op.name, x, loc=op.loc, **attrs)
    rank = len(attrs["strides"])
    stack = b.add("nn.reshape", x, shape=(n, channels * depth, *inner), loc=op.loc)
    pooled = _pool(stack, _inner(attrs), op, b)
    columns = b.add("nn.reshape", pooled, shape=(n, channels, depth, prod(pooled.shape[2:])), loc=op.loc)
    along = {
        **attrs,
        "kernel": (attrs["kernel"][0], 1),
        "strides": (attrs["strides"][0], 1),
        "dilations": (attrs["dilations"][0], 1),
        "pads": (attrs["pads"][0], 0, attrs["pads"][rank], 0),
    }
    made = b.add(op.name, columns, loc=op.loc, **along)
    return b.add("nn.reshape", made, shape=(n, channels, made.shape[2], *pooled.shape[2:]), loc=op.loc)
