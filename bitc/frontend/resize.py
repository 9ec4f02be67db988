"""Handlers of Resize and Upsample: along each axis that changes, a sum of gathered slices with constant weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitc.frontend.node import Node, dtype_of, handles
from bitc.ir import Value


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for: for each axis of x its new size and scale; how positions map, and what is read there.

    ``roi`` holds the first and last relative position of each axis (``tf_crop_and_resize``).
    """

    sizes: list[int]
    scales: list[float]
    mode: str
    transform: str
    rounding: str
    roi: list[tuple[float, float]]


@handles("Upsample", since=7, until=9)
def upsample(n: Node) -> Value:
    """Enlargement by ``scales``, nearest or linear, source position i / scale"""
    scales = n.numbers("scales") if n.opset < 9 else [float(v) for v in n.array(1, "scales").reshape(-1)]
    if scales is None or len(scales) != len(n.x().shape):
        raise n.broken("Upsample has a scale for each axis")
    sizes = [int(np.floor(size * scale)) for size, scale in zip(n.x().shape, scales, strict=True)]
    whole = [(0.0, 1.0)] * len(sizes)
    return _resized(n, _Request(sizes, scales, n.text("mode", "nearest"), "asymmetric", "floor", whole))


@handles("Resize", since=10)
def resize(n: Node) -> Value:
    """Nearest, linear or cubic resizing by constant scales or sizes"""
    x, rank = n.x(), len(n.x().shape)
    if n.integer("antialias", 0):
        raise n.unsupported(
            "Resize does not filter against aliasing", "antialias is 1", "smooth before, or set it to 0"
        )
    axes = [n.axis(axis, rank) for axis in n.integers("axes") or range(rank)]
    given = n.maybe_array(1 if n.opset == 10 else 2, "scales")
    scales, sizes = [1.0] * rank, list(x.shape)
    if given is not None and given.size:
        for axis, scale in zip(axes, given.reshape(-1), strict=True):
            scales[axis], sizes[axis] = float(scale), int(np.floor(x.shape[axis] * np.float32(scale)))
    else:
        asked = _with_aspect(n, [x.shape[axis] for axis in axes], n.int_list(3, "sizes"))
        for axis, (size, scale) in zip(axes, asked, strict=True):
            scales[axis], sizes[axis] = scale, size
    if min(sizes) < 1:
        raise n.unsupported("Resize leaves at least one element", f"{x.type} to {sizes}")
    whole = [(0.0, 1.0)] * rank
    if n.opset == 10:
        return _resized(n, _Request(sizes, scales, n.text("mode", "nearest"), "asymmetric", "floor", whole))
    transform = n.text("coordinate_transformation_mode", "half_pixel")
    if transform == "tf_crop_and_resize":
        bounds = [float(v) for v in n.array(1, "the region").reshape(-1)]
        for i, axis in enumerate(axes):
            whole[axis] = bounds[i], bounds[len(axes) + i]
    rounding = n.text("nearest_mode", "round_prefer_floor")
    return _resized(n, _Request(sizes, scales, n.text("mode", "nearest"), transform, rounding, whole))


def _with_aspect(n: Node, old: Sequence[int], asked: Sequence[int]) -> list[tuple[int, float]]:
    """Sizes and scales of the listed axes; with a policy that keeps the aspect ratio one scale for all."""
    ratios = [new / size for new, size in zip(asked, old, strict=True)]
    match n.text("keep_aspect_ratio_policy", "stretch"):
        case "stretch":
            return list(zip(asked, ratios, strict=True))
        case "not_larger":
            scale = min(ratios)
        case "not_smaller":
            scale = max(ratios)
        case other:
            raise n.broken("keep_aspect_ratio_policy is stretch, not_larger or not_smaller", other)
    return [(int(np.floor(scale * size + 0.5)), scale) for size in old]


def _resized(n: Node, request: _Request) -> Value:
    y = n.x()
    if request.mode not in ("nearest", "linear", "cubic"):
        raise n.broken("mode is nearest, linear or cubic", request.mode)
    if request.mode != "nearest" and not dtype_of(y).is_float:
        raise n.unsupported("Resize in mode linear or cubic takes floats", str(y.type))
    outside: Value | None = None
    for axis, (new, scale) in enumerate(zip(request.sizes, request.scales, strict=True)):
        old = y.shape[axis]
        if new == old and scale == 1 and request.transform != "tf_crop_and_resize":
            continue
        n.check_size(8 * new)
        positions = _positions(n, request, axis, old)
        y = _along(n, y, axis, positions, request)
        if request.transform == "tf_crop_and_resize":
            beyond = ((positions < 0) | (positions > old - 1)).reshape(
                [-1 if a == axis else 1 for a in range(len(y.shape))]
            )
            mask = n.constant(beyond)
            outside = mask if outside is None else n.emit("nn.or", outside, mask)
    if outside is None:
        return y
    return n.emit("nn.where", outside, n.scalar(n.number("extrapolation_value", 0.0), y), y)


def _positions(n: Node, request: _Request, axis: int, old: int) -> np.ndarray:
    """Where in the old axis each element of the new one lies, float32 as in onnxruntime."""
    new, scale = request.sizes[axis], np.float32(request.scales[axis])
    at, half = np.arange(new).astype(np.float32), np.float32(0.5)
    match request.transform:
        case "asymmetric":
            return at / scale
        case "half_pixel":
            return (at + half) / scale - half
        case "half_pixel_symmetric":
            adjustment = np.float32(new) / (scale * np.float32(old))
            offset = np.float32(old) * half * (np.float32(1) - adjustment)
            return np.asarray(offset + (at + half) / scale - half)
        case "pytorch_half_pixel":
            return (at + half) / scale - half if new > 1 else np.zeros_like(at)
        case "tf_half_pixel_for_nn":
            return (at + half) / scale
        case "align_corners":
            return at * np.float32(old - 1) / np.float32(new - 1) if new > 1 else np.zeros_like(at)
        case "tf_crop_and_resize":
            first, last = (np.float32(v) for v in request.roi[axis])
            if new == 1:
                return np.asarray(half * (first + last) * np.float32(old - 1)).reshape(1)
            return first * np.float32(old - 1) + at * (last - first) * np.float32(old - 1) / np.float32(new - 1)
        case other:
            raise n.broken("coordinate_transformation_mode is one of those of Resize", other)


def _along(n: Node, x: Value, axis: int, positions: np.ndarray, request: _Request) -> Value:
    """``x`` read at ``positions`` of one axis."""
    old = x.shape[axis]
    if request.mode == "nearest":
        indices = _rounded(n, positions, request.rounding).clip(0, old - 1).astype(np.int64)
        return n.emit("nn.gather", x, indices=indices, axis=axis)
    indices, weights = _linear(positions, old) if request.mode == "linear" else _cubic(n, positions, old)
    shape = [-1 if a == axis else 1 for a in range(len(x.shape))]
    total: Value | None = None
    for tap in range(indices.shape[1]):
        slices = n.emit("nn.gather", x, indices=indices[:, tap], axis=axis)
        factor = n.constant(weights[:, tap].astype(dtype_of(x).numpy).reshape(shape))
        term = n.emit("nn.mul", slices, factor)
        total = term if total is None else n.emit("nn.add", total, term)
    assert total is not None
    return total


def _rounded(n: Node, positions: np.ndarray, rounding: str) -> np.ndarray:
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


def _linear(positions: np.ndarray, old: int) -> tuple[np.ndarray, np.ndarray]:
    """The two neighbours [new, 2] of each position and their weights.

    >>> indices, weights = _linear(np.float32([-0.25, 0.25, 1.25]), 2)
    >>> indices.tolist(), weights.tolist()
    ([[0, 1], [0, 1], [1, 1]], [[1.0, 0.0], [0.75, 0.25], [1.0, 0.0]])
    """
    inside = positions.clip(0, old - 1)
    low = np.floor(inside).astype(np.int64)
    part = inside - low.astype(np.float32)
    return np.stack([low, np.minimum(low + 1, old - 1)], axis=1), np.stack([1 - part, part], axis=1)


def _cubic(n: Node, positions: np.ndarray, old: int) -> tuple[np.ndarray, np.ndarray]:
    """The four neighbours [new, 4] and their weights (Keys, Cubic convolution interpolation, 1981), edges repeated or left out."""
    a = np.float32(n.number("cubic_coeff_a", -0.75))
    low = np.floor(positions)
    indices = low.astype(np.int64)[:, np.newaxis] + np.arange(-1, 3)
    distance = np.abs((positions - low)[:, np.newaxis] - np.arange(-1, 3, dtype=np.float32))
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weights = np.where(distance <= 1, near, far)
    if n.integer("exclude_outside", 0):
        weights = np.where((indices >= 0) & (indices < old), weights, 0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    return indices.clip(0, old - 1), weights
