"""``exact-padding``: zero padding of codes that have no level 0, made exact by one constant for each border class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, CodeType, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class ExactPadding(Pass):
    """A padded tap that reads level v instead of p adds (v - p)·w too much, a constant for all pixels that miss the same taps::

        conv(x, w, pad level p) = conv(x, w, pad level v) + (p - v) · (sum of w over the taps outside the image)

    Rows of the output that miss the same kernel rows share a class, columns likewise: at most 9 classes for a 3x3 kernel. Applies
    where p (0 in ONNX) is no level of x; v is the highest level, whose bits are all 0.
    """

    name: ClassVar[str] = "exact-padding"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule)


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name != "q.conv" or not any(op.attrs["pads"]):
        return None
    x, w = op.operands
    assert isinstance(x.type, CodeType)
    pad_level = op.attrs["pad_level"]
    if x.type.levels.contains(pad_level) or len(x.shape) != 4:
        return None
    fill = x.type.levels.hi
    weights = code_constant(w)
    strides, dilations, pads = op.attrs["strides"], op.attrs["dilations"], op.attrs["pads"]
    rows, row_class = border_classes(x.shape[2], w.shape[2], strides[0], dilations[0], pads[0], pads[2])
    cols, col_class = border_classes(x.shape[3], w.shape[3], strides[1], dilations[1], pads[1], pads[3])
    per_tap = weights.sum(axis=1, dtype=np.int64)
    missing = np.array(
        [per_tap[:, ~np.logical_and.outer(r, c)].sum(axis=1) for r in rows for c in cols], dtype=np.int64
    )
    acc = b.add("q.conv", x, w, loc=op.loc, **{**op.attrs, "pad_level": fill})
    table = b.constant(((pad_level - fill) * missing).astype(np.int32), loc=op.loc)
    return b.add("q.border", acc, table, row_class=row_class, col_class=col_class, loc=op.loc)


def code_constant(w: Value) -> np.ndarray:
    """The levels of constant codes (``q.encode`` of a constant), int32."""
    assert w.producer is not None, "the weights are computed"
    assert w.producer.name == "q.encode", f"the weights are made by {w.producer}"
    array = w.producer.operands[0].constant
    assert array is not None
    return np.asarray(w.producer.decl.evaluate(array, **w.producer.attrs), dtype=np.int32)


def border_classes(
    size: int, kernel: int, stride: int, dilation: int, pad_begin: int, pad_end: int
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Along one axis: the distinct masks of taps inside the image [kernel], and each output position's class.

    >>> masks, classes = border_classes(4, 3, 1, 1, 1, 1)
    >>> classes, masks[0].tolist()
    ((0, 1, 1, 2), [False, True, True])
    """
    count = (size + pad_begin + pad_end - dilation * (kernel - 1) - 1) // stride + 1
    taps = np.arange(count)[:, np.newaxis] * stride - pad_begin + np.arange(kernel) * dilation
    inside = (taps >= 0) & (taps < size)
    masks: list[np.ndarray] = []
    classes: list[int] = []
    seen: dict[bytes, int] = {}
    for row in inside:
        key = row.tobytes()
        if key not in seen:
            seen[key] = len(masks)
            masks.append(row)
        classes.append(seen[key])
    return masks, tuple(classes)
