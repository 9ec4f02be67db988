"""``bound-scales``: quantizers that divide by the largest element, and would divide by zero if all were zero, give few integers too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, DType, Graph, Op, TensorType, Value, rewrite
from bitc.passes.base import Pass
from bitc.passes.ratios import scale_of


@dataclass(frozen=True)
class BoundScales(Pass):
    """With s = c / max|x|, of a tensor or of rows, and B = c and a little::

        round(x·s) / s  -->  round(min(max(x·s, -B), B)) / (s + (s - s))

    Where s is finite, |x·s| <= B and s - s is 0, so nothing changes. Where it is not, which is where all of x is near 0, the file gives
    NaN for the whole tensor or row, 0·inf and inf/inf; so does the divisor here. What is behind it: ``round`` gives integers from -c to
    c, whatever x is, and ``recognise-codes`` takes them. A scale that is kept away from zero needs none of it (:mod:`bitc.passes.ratios`).
    """

    name: ClassVar[str] = "bound-scales"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule)


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name != "nn.div":
        return None
    rounded, scale = op.operands
    rounding = rounded.producer
    if rounding is None or rounding.name != "nn.round" or scale.constant is not None:
        return None
    ratio = rounding.operands[0].producer
    if ratio is None or ratio.name != "nn.mul" or scale not in ratio.operands:
        return None
    x = ratio.operands[0] if ratio.operands[1] is scale else ratio.operands[1]
    most = scale_of(scale, x)
    if most is None or x.shape != ratio.result.shape or not _is_float(x):
        return None
    return _bounded(op, ratio.result, most, b)


def _bounded(op: Op, ratio: Value, most: float, b: Builder) -> Value:
    scale = op.operands[1]
    limit = np.nextafter(np.float32(most), np.float32(np.inf))
    low = b.add("nn.max", ratio, b.constant(np.asarray(-limit)), loc=op.loc)
    codes = b.add("nn.round", b.add("nn.min", low, b.constant(np.asarray(limit)), loc=op.loc), loc=op.loc)
    nothing = b.add("nn.sub", scale, scale, loc=op.loc)
    return b.add("nn.div", codes, b.add("nn.add", scale, nothing, loc=op.loc), loc=op.loc)


def _is_float(x: Value) -> bool:
    return isinstance(x.type, TensorType) and x.type.dtype is DType.F32
