"""Handlers of pools and of ops that rearrange or resize images [N, C, spatial...]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitc.frontend.linear import lifted, windows
from bitc.frontend.node import Node, handles
from bitc.ir import Value
from bitc.ir.numeric import window_count


@handles("MaxPool")
def max_pool(n: Node) -> Value:
    """y = maximum over windows; the second output (indices) is not computed"""
    return _pool(n, "nn.max_pool", {})


@handles("AveragePool")
def average_pool(n: Node) -> Value:
    """y = mean over windows, padding counted only with ``count_include_pad``"""
    return _pool(n, "nn.avg_pool", {"count_pad": bool(n.integer("count_include_pad", 0))})


def _pool(n: Node, op_name: str, extra: dict[str, bool]) -> Value:
    x, kernel = n.x(), n.integers("kernel_shape")
    if kernel is None or len(x.shape) < 3:
        raise n.broken(f"{n.op_type} takes an image [N, C, spatial...] and needs kernel_shape")
    strides, dilations, pads = windows(n, x.shape[2:], kernel)
    rank = len(kernel)
    if any(pad >= k for pad, k in zip(pads, [*kernel, *kernel], strict=True)):
        raise n.broken("padding is smaller than the kernel", f"pads {pads}, kernel {kernel}")
    ceil = bool(n.integer("ceil_mode", 0))
    for axis, size in enumerate(x.shape[2:]):
        ends = pads[axis], pads[axis + rank]
        if _some_window_is_empty(size, kernel[axis], strides[axis], dilations[axis], *ends, ceil):
            raise n.unsupported(
                "every window holds an element of the image", f"axis {axis + 2}: a window of padding alone"
            )

    def on_image(image: Value, lift: Sequence[int]) -> Value:
        ones, zeros = [1] * len(lift), [0] * len(lift)
        return n.emit(
            op_name,
            image,
            kernel=[*ones, *kernel],
            strides=[*ones, *strides],
            pads=[*zeros, *pads[:rank], *zeros, *pads[rank:]],
            dilations=[*ones, *dilations],
            ceil=ceil,
            **extra,
        )

    return lifted(n, x, on_image)


def _some_window_is_empty(
    size: int, kernel: int, stride: int, dilation: int, pad_begin: int, pad_end: int, ceil: bool
) -> bool:
    """Whether all taps of a window along one axis lie outside the image: dilated, its taps may stand on both sides of it.

    >>> _some_window_is_empty(1, 2, 1, 2, 1, 1, False), _some_window_is_empty(1, 2, 1, 1, 1, 1, False)
    (True, False)
    """
    count = window_count(size, kernel, stride, dilation, pad_begin, pad_end, ceil)
    starts = np.arange(count)[:, np.newaxis] * stride - pad_begin
    taps = starts + np.arange(kernel) * dilation
    return not ((taps >= 0) & (taps < size)).any(axis=1).all()


@handles("GlobalAveragePool", "GlobalMaxPool")
def global_pool(n: Node) -> Value:
    """y = mean or maximum over all spatial axes, which stay with size 1"""
    x = n.x()
    if len(x.shape) < 3:
        raise n.broken(f"{n.op_type} takes an image [N, C, spatial...]")
    op_name = "nn.reduce_mean" if n.op_type == "GlobalAveragePool" else "nn.reduce_max"
    return n.emit(op_name, x, axes=tuple(range(2, len(x.shape))), keepdims=True)


@handles("DepthToSpace")
def depth_to_space(n: Node) -> Value:
    """Blocks of channels become blocks of pixels; DCR: the block is the outer part of the channel, CRD: the inner one"""
    x, block = n.x(), n.integer("blocksize", 0)
    batch, channels, height, width = _image4(n, x)
    if block < 1 or channels % (block * block):
        raise n.broken("the channels divide by the square of the block", f"{channels} channels, block {block}")
    rest = channels // (block * block)
    if n.text("mode", "DCR") == "DCR":
        split, perm = (batch, block, block, rest, height, width), (0, 3, 4, 1, 5, 2)
    else:
        split, perm = (batch, rest, block, block, height, width), (0, 1, 4, 2, 5, 3)
    moved = n.emit("nn.transpose", n.emit("nn.reshape", x, shape=split), perm=perm)
    return n.emit("nn.reshape", moved, shape=(batch, rest, height * block, width * block))


@handles("SpaceToDepth")
def space_to_depth(n: Node) -> Value:
    """Blocks of pixels become blocks of channels, the block outermost"""
    x, block = n.x(), n.integer("blocksize", 0)
    batch, channels, height, width = _image4(n, x)
    if block < 1 or height % block or width % block:
        raise n.broken("height and width divide by the block", f"{height} x {width}, block {block}")
    split = (batch, channels, height // block, block, width // block, block)
    moved = n.emit("nn.transpose", n.emit("nn.reshape", x, shape=split), perm=(0, 3, 5, 1, 2, 4))
    return n.emit("nn.reshape", moved, shape=(batch, channels * block * block, height // block, width // block))


def _image4(n: Node, x: Value) -> tuple[int, int, int, int]:
    if len(x.shape) != 4:
        raise n.broken(f"{n.op_type} takes an image [N, C, H, W]")
    batch, channels, height, width = x.shape
    return batch, channels, height, width


@handles("Upsample", since=7, until=9)
def upsample(n: Node) -> Value:
    """Nearest-neighbour enlargement by ``scales``, source index floor(i / scale)"""
    scales = n.numbers("scales") if n.opset < 9 else [float(v) for v in n.array(1, "scales").reshape(-1)]
    if scales is None or n.text("mode", "nearest") != "nearest":
        raise n.unsupported("Upsample has constant scales and mode nearest")
    sizes = [int(np.floor(size * scale)) for size, scale in zip(n.x().shape, scales, strict=True)]
    return _nearest(n, sizes, scales, "asymmetric", "floor")


@handles("Resize", since=10)
def resize(n: Node) -> Value:
    """Nearest-neighbour resizing by constant scales or sizes: a gather along each axis that changes"""
    x = n.x()
    if n.text("mode", "nearest") != "nearest":
        raise n.unsupported("Resize has mode nearest", n.text("mode", ""))
    if n.has("axes") or n.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise n.unsupported("Resize lists all axes and stretches them")
    at = 1 if n.opset == 10 else 2
    scales = n.maybe_array(at, "scales")
    if scales is not None and scales.size:
        factors = [float(v) for v in scales.reshape(-1)]
        sizes = [int(np.floor(size * factor)) for size, factor in zip(x.shape, factors, strict=True)]
    else:
        sizes = n.int_list(3, "sizes")
        factors = [target / size for target, size in zip(sizes, x.shape, strict=True)]
    if n.opset == 10:
        return _nearest(n, sizes, factors, "asymmetric", "floor")
    rounding = n.text("nearest_mode", "round_prefer_floor")
    return _nearest(n, sizes, factors, n.text("coordinate_transformation_mode", "half_pixel"), rounding)


def _nearest(n: Node, sizes: Sequence[int], scales: Sequence[float], transform: str, rounding: str) -> Value:
    y = n.x()
    for axis, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        if size != y.shape[axis] or scale != 1:
            n.check_size(8 * size)
            positions = _source_positions(n, np.arange(size), y.shape[axis], size, np.float32(scale), transform)
            indices = _round_positions(n, positions, rounding).clip(0, y.shape[axis] - 1).astype(np.int64)
            y = n.emit("nn.gather", y, indices=indices, axis=axis)
    return y


def _source_positions(n: Node, at: np.ndarray, old: int, new: int, scale: np.float32, transform: str) -> np.ndarray:
    at = at.astype(np.float32)
    match transform:
        case "asymmetric":
            return at / scale
        case "half_pixel":
            return (at + np.float32(0.5)) / scale - np.float32(0.5)
        case "pytorch_half_pixel":
            return (at + np.float32(0.5)) / scale - np.float32(0.5) if new > 1 else np.zeros_like(at)
        case "align_corners":
            return at * np.float32(old - 1) / np.float32(new - 1) if new > 1 else np.zeros_like(at)
        case other:
            raise n.unsupported(
                "coordinate_transformation_mode is asymmetric, half_pixel, pytorch_half_pixel or align_corners", other
            )


def _round_positions(n: Node, positions: np.ndarray, rounding: str) -> np.ndarray:
    match rounding:
        case "floor":
            rounded = np.floor(positions)
        case "ceil":
            rounded = np.ceil(positions)
        case "round_prefer_floor":
            rounded = np.ceil(positions - np.float32(0.5))
        case "round_prefer_ceil":
            rounded = np.floor(positions + np.float32(0.5))
        case other:
            raise n.broken("nearest_mode is floor, ceil, round_prefer_floor or round_prefer_ceil", other)
    return np.asarray(rounded)
