"""Productions that move elements or reduce them: of float tensors and of codes alike, which keep their scale on the way."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from bitc.fuzz.network import Network, Operand, Tensor, Unfit

F = np.float32


def _moved(net: Network, kind: str, x: Tensor, *operands: Operand, **attrs: Any) -> Tensor:
    """A node that moves elements: the result stands for numbers as ``x`` does."""
    return replace(net.node(kind, x, *operands, **attrs), scale=x.scale, zero=x.zero)


def _i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def transpose(net: Network, x: Tensor) -> Tensor:
    """Axes behind the batch in another order."""
    axes = list(range(1, len(x.shape)))
    net.choose.shuffle(axes)
    return _moved(net, "Transpose", x, perm=[0, *axes])


def reshape(net: Network, x: Tensor) -> Tensor:
    """To rows, to an image, or with channels cut in two."""
    size = prod(x.shape[1:])
    shapes = [(0, -1), (0, 1, 1, size), (0, size, 1, 1)]
    if size % 2 == 0:
        shapes += [(0, 2, size // 2), (0, size // 2, 2, 1)]
    if size % 12 == 0:
        shapes += [(0, size // 4, 2, 2), (0, 3, size // 3)]
    return _moved(net, "Reshape", x, _i64(*net.choose.choice(shapes)))


def flatten(net: Network, x: Tensor) -> Tensor:
    """To rows."""
    return _moved(net, "Flatten", x, axis=1)


def shuffle(net: Network, x: Tensor) -> Tensor:
    """Channels dealt to two groups, as in ShuffleNet."""
    if not x.is_image or x.channels % 2:
        raise Unfit
    _, channels, height, width = x.shape
    x = _moved(net, "Reshape", x, _i64(0, 2, channels // 2, height, width))
    x = _moved(net, "Transpose", x, perm=[0, 2, 1, 3, 4])
    return _moved(net, "Reshape", x, _i64(0, channels, height, width))


def pad(net: Network, x: Tensor) -> Tensor:
    """A border of a constant, of the edge, or reflected."""
    if not x.is_image:
        raise Unfit
    ends = [net.choose.randint(0, 2) for _ in range(4)]
    pads = _i64(0, 0, *ends[:2], 0, 0, *ends[2:])
    if net.maybe(0.3) and min(x.shape[2:]) > 2:
        return _moved(net, "Pad", x, pads, mode=net.choose.choice(["edge", "reflect"]))
    value = np.array(net.choose.choice([0, 1] if x.dtype.kind == "u" else [0, 1, -1]), x.dtype)
    return _moved(net, "Pad", x, pads, value)


def concat(net: Network, x: Tensor) -> Tensor:
    """The tensor twice, the second time moved."""
    axis = net.choose.randrange(1, len(x.shape))
    return replace(
        net.node("Concat", x, net.choose.choice([slice_, _same])(net, x, axis), axis=axis), scale=x.scale, zero=x.zero
    )


def _same(net: Network, x: Tensor, axis: int) -> Tensor:
    return x


def slice_(net: Network, x: Tensor, axis: int | None = None) -> Tensor:
    """A range of one axis, perhaps backwards or with a step."""
    axis = net.choose.randrange(1, len(x.shape)) if axis is None else axis
    extent = x.shape[axis]
    start = net.choose.randrange(extent)
    ends = net.choose.choice([(start, 1 << 31, 1), (-1, -(1 << 31), -1), (0, 1 << 31, 2), (0, start + 1, 1)])
    return _moved(net, "Slice", x, *(_i64(v) for v in (ends[0], ends[1], axis, ends[2])))


def split(net: Network, x: Tensor) -> Tensor:
    """Two halves of the channels, joined again the other way round."""
    if x.channels < 2:
        raise Unfit
    first = net.choose.randrange(1, x.channels)
    sizes = _i64(first, x.channels - first)
    shapes = [(x.dtype, (x.shape[0], int(n), *x.shape[2:])) for n in sizes]
    if net.setting.opset >= 13:
        parts = net.split("Split", x, sizes, results=2, likes=shapes, axis=1)
    else:
        parts = net.split("Split", x, results=2, likes=shapes, axis=1, split=list(map(int, sizes)))
    return replace(net.node("Concat", parts[1], parts[0], axis=1), scale=x.scale, zero=x.zero)


def squeeze_unsqueeze(net: Network, x: Tensor) -> Tensor:
    """An axis of one put in, and taken away at once or left."""
    axis = net.choose.randrange(1, len(x.shape) + 1)
    if len(x.shape) > 4:
        raise Unfit
    if net.setting.opset >= 13:
        x = _moved(net, "Unsqueeze", x, _i64(axis))
        return _moved(net, "Squeeze", x, _i64(axis)) if net.maybe(0.7) else x
    return _moved(net, "Squeeze", _moved(net, "Unsqueeze", x, axes=[axis]), axes=[axis])


def space_depth(net: Network, x: Tensor) -> Tensor:
    """Blocks of two by two to channels or back."""
    if not x.is_image or not x.is_float:
        raise Unfit
    if x.channels % 4 == 0 and net.maybe(0.5):
        mode = net.choose.choice(["DCR", "CRD"])
        return _moved(net, "DepthToSpace", x, blocksize=2, mode=mode)
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise Unfit
    return _moved(net, "SpaceToDepth", x, blocksize=2)


def enlarge(net: Network, x: Tensor) -> Tensor:
    """Nearest neighbours, or tiles."""
    if not x.is_image:
        raise Unfit
    if net.maybe(0.5):
        return _moved(net, "Tile", x, _i64(1, 1, net.choose.randint(1, 2), 2))
    attrs: dict[str, Any] = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return _moved(net, "Resize", x, None, np.array([1, 1, 2, 2], F), **attrs)


def gather(net: Network, x: Tensor) -> Tensor:
    """Channels picked by constant indices, negative ones among them."""
    axis = net.choose.randrange(1, len(x.shape))
    extent = x.shape[axis]
    return _moved(net, "Gather", x, net.draw.integers(-extent, extent, net.choose.randint(1, 5)), axis=axis)


def max_pool(net: Network, x: Tensor) -> Tensor:
    """Any window, stride, padding and rounding."""
    if not x.is_image or (not x.is_float and (net.setting.opset < 12 or x.dtype.itemsize > 1)):
        raise Unfit
    return _moved(net, "MaxPool", x, **_window(net, x))


def average_pool(net: Network, x: Tensor) -> Tensor:
    """With the padding counted or not."""
    if not x.is_image or not x.is_float:
        raise Unfit
    return net.node("AveragePool", x, count_include_pad=int(net.maybe(0.5)), **_window(net, x))


def global_pool(net: Network, x: Tensor) -> Tensor:
    """One number a channel."""
    if not x.is_image or not x.is_float:
        raise Unfit
    return net.node(net.choose.choice(["GlobalAveragePool", "GlobalMaxPool"]), x)


def reduce(net: Network, x: Tensor) -> Tensor:
    """Along some axes behind the batch."""
    if not x.is_float:
        raise Unfit
    kind = net.choose.choice(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
    axes = sorted(net.choose.sample(range(1, len(x.shape)), net.choose.randint(1, len(x.shape) - 1)))
    since = 13 if kind == "ReduceSum" else 18
    if net.setting.opset >= since:
        x = net.node(kind, x, _i64(*axes), keepdims=1)
    else:
        x = net.node(kind, x, axes=axes, keepdims=1)
    return x


def _window(net: Network, x: Tensor) -> dict[str, Any]:
    size = x.shape[2:]
    kernel = [net.choose.randint(1, min(3, n)) for n in size]
    pads = [net.choose.randrange(k) for k in (*kernel, *kernel)]
    strides = [net.choose.randint(1, 2) for _ in kernel]
    counts = [-(-(n + pads[i] + pads[i + 2] - kernel[i]) // strides[i]) + 1 for i, n in enumerate(size)]
    # a window that begins in the padding: onnx's inference counts it, onnxruntime does not
    clear = all((counts[i] - 1) * strides[i] < n + pads[i] for i, n in enumerate(size))
    return {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": int(clear and net.maybe(0.4))}


MOVES = (transpose, reshape, flatten, shuffle, pad, concat, slice_, split, squeeze_unsqueeze, enlarge, gather, max_pool)
NUMBERS_ONLY = (average_pool, global_pool, reduce, space_depth)
