"""ConvTranspose: a convolution with stride s is one over s times as many channels, which are then laid out as s times as many pixels.

Along one axis, with taps k and stride s, output q = s·a + r (before cropping) is the sum over j of x[a - j] · w[s·j + r]: for each
remainder r a convolution of its own, of ceil(k / s) taps and without holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitc.frontend.node import Node, handles
from bitc.ir import Value


@dataclass(frozen=True, slots=True)
class _Geometry:
    """One entry for each spatial axis: taps of the kernel with its dilation written out, strides, what is cut off the full result
    in front, and sizes of the result."""

    taps: tuple[int, ...]
    strides: tuple[int, ...]
    cut: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def runs(self) -> tuple[int, ...]:
        """Taps of the convolution of each remainder."""
        return tuple(-(-k // s) for k, s in zip(self.taps, self.strides, strict=True))


@handles("ConvTranspose")
def conv_transpose(n: Node) -> Value:
    """y[i·stride + k·dilation - pad] += x[i] * w[k], plus bias: the transpose of a convolution"""
    x, w = n.x(0), n.x(1)
    rank, group = len(x.shape) - 2, n.integer("group", 1)
    if rank < 1 or len(w.shape) != rank + 2 or w.shape[0] != x.shape[1] or x.shape[1] % group:
        raise n.broken(
            "ConvTranspose takes an image [N, C, spatial...] and weights [C, M/group, kernel...]", str(w.type)
        )
    geometry, dilations = _geometry(n, x.shape[2:], w.shape[2:])
    kernel = _remainders(n, _spread(n, w, dilations), geometry, group)
    steps = [1] * rank
    pads = [run - 1 for run in geometry.runs] * 2
    made = n.emit("nn.conv", x, kernel, strides=steps, dilations=steps, pads=pads, group=group)
    y = _cropped(n, _as_pixels(n, made, geometry.strides), geometry)
    bias = n.maybe(2)
    return y if bias is None else n.emit("nn.add", y, n.emit("nn.reshape", bias, shape=(1, bias.shape[0], *steps)))


def _geometry(n: Node, sizes: Sequence[int], kernel: Sequence[int]) -> tuple[_Geometry, list[int]]:
    rank = len(sizes)
    strides, dilations = n.integers("strides") or [1] * rank, n.integers("dilations") or [1] * rank
    extra, pads = n.integers("output_padding") or [0] * rank, n.integers("pads") or [0] * (2 * rank)
    if {len(strides), len(dilations), len(extra)} != {rank} or len(pads) != 2 * rank:
        raise n.broken("strides, dilations and output_padding have one entry for each spatial axis, pads two")
    if min(*strides, *dilations) < 1 or min(extra) < 0:
        raise n.broken("strides and dilations are positive, output_padding is not negative")
    taps = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [(size - 1) * s + e + k for size, s, e, k in zip(sizes, strides, extra, taps, strict=True)]
    mode, asked = n.text("auto_pad", "NOTSET"), n.integers("output_shape")
    if asked is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        asked = [size * s for size, s in zip(sizes, strides, strict=True)]
    if asked is not None:
        asked = asked[-rank:]
        total = [max(0, have - want) for have, want in zip(full, asked, strict=True)]
        small = [t // 2 for t in total]
        # onnxruntime puts the odd one in front, but for SAME_UPPER
        pads = small if mode == "SAME_UPPER" else [t - s for t, s in zip(total, small, strict=True)]
        out = asked
    else:
        pads = [0] * (2 * rank) if mode == "VALID" else pads
        out = [have - pads[i] - pads[rank + i] for i, have in enumerate(full)]
    if min(out) < 1:
        raise n.broken("the padding of ConvTranspose leaves something of the result", f"sizes {out}")
    return _Geometry(tuple(taps), tuple(strides), tuple(pads[:rank]), tuple(out)), dilations


def _spread(n: Node, w: Value, dilations: Sequence[int]) -> Value:
    """The kernel with zeros between its taps."""
    for axis, dilation in enumerate(dilations, start=2):
        size = w.shape[axis]
        if dilation == 1 or size == 1:
            continue
        rows = n.emit("nn.reshape", w, shape=(*w.shape[: axis + 1], 1, *w.shape[axis + 1 :]))
        spread = _padded(n, rows, axis + 1, dilation - 1)
        w = n.emit("nn.reshape", spread, shape=(*w.shape[:axis], size * dilation, *w.shape[axis + 1 :]))
        w = _sliced(n, w, axis, 0, (size - 1) * dilation + 1)
    return w


def _remainders(n: Node, w: Value, geometry: _Geometry, group: int) -> Value:
    """Weights [C, M/g, k..] as those of a convolution [M · s.., C/g, ceil(k/s)..]: for each channel all remainders, taps reversed."""
    rank, (channels, per_group) = len(geometry.taps), w.shape[:2]
    for axis, (run, stride) in enumerate(zip(geometry.runs, geometry.strides, strict=True), start=2):
        w = _padded(n, w, axis, run * stride - w.shape[axis])
    pairs = [size for pair in zip(geometry.runs, geometry.strides, strict=True) for size in pair]
    split = n.emit("nn.reshape", w, shape=(group, channels // group, per_group, *pairs))
    runs, remainders = [3 + 2 * i for i in range(rank)], [4 + 2 * i for i in range(rank)]
    moved = n.emit("nn.transpose", split, perm=(0, 2, *remainders, 1, *runs))
    for axis in range(3 + rank, 3 + 2 * rank):
        moved = n.emit("nn.gather", moved, indices=np.arange(moved.shape[axis])[::-1], axis=axis)
    total = group * per_group * int(np.prod(geometry.strides))
    return n.emit("nn.reshape", moved, shape=(total, channels // group, *geometry.runs))


def _as_pixels(n: Node, x: Value, strides: Sequence[int]) -> Value:
    """[N, M · s.., A..] as [N, M, A · s..]: the remainders become pixels."""
    rank, batch, sizes = len(strides), x.shape[0], x.shape[2:]
    channels = x.shape[1] // int(np.prod(strides))
    if channels == x.shape[1]:
        return x
    split = n.emit("nn.reshape", x, shape=(batch, channels, *strides, *sizes))
    pairs = [axis for i in range(rank) for axis in (2 + rank + i, 2 + i)]
    moved = n.emit("nn.transpose", split, perm=(0, 1, *pairs))
    return n.emit("nn.reshape", moved, shape=(batch, channels, *(a * s for a, s in zip(sizes, strides, strict=True))))


def _cropped(n: Node, y: Value, geometry: _Geometry) -> Value:
    """The part of the full result that is asked for; beyond its end there are zeros, and before it too."""
    for axis, (cut, size) in enumerate(zip(geometry.cut, geometry.out, strict=True), start=2):
        y = _padded(n, y, axis, cut + size - y.shape[axis])
        y = _padded(n, y, axis, -cut, front=True)
        first = max(cut, 0)
        y = _sliced(n, y, axis, first, first + size)
    return y


def _padded(n: Node, x: Value, axis: int, count: int, *, front: bool = False) -> Value:
    """``x`` with ``count`` zeros along an axis, if any."""
    if count <= 0:
        return x
    pads = [0] * (2 * len(x.shape))
    pads[axis if front else len(x.shape) + axis] = count
    return n.emit("nn.pad", x, pads=pads)


def _sliced(n: Node, x: Value, axis: int, start: int, stop: int) -> Value:
    if start == 0 and stop == x.shape[axis]:
        return x
    starts, stops = [0] * len(x.shape), list(x.shape)
    starts[axis], stops[axis] = start, stop
    return n.emit("nn.slice", x, starts=starts, stops=stops, steps=[1] * len(x.shape))
