"""Level ``k``: kernels on buffers of numbers: float convolutions and pools, reductions and selections. Geometry as in :mod:`bitc.ir.k`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitc.ir import nn_linear, numeric
from bitc.ir.k import NO_HALO, WINDOW, Halo, as_buffer, inside, surround, windows_of, with_halo
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import unpack_floats
from bitc.ir.types import BufferType, DType, Type

_FCONV = {**WINDOW, "channels": REQUIRED, "group": 1, "block": REQUIRED, "halo": NO_HALO}


def _fconv_result(x: Type, attrs: dict[str, Any], halo: Halo) -> BufferType:
    source, windows = as_buffer(x, DType.F32, 4), windows_of(attrs)
    windows.check(source)
    channels, group = attrs["channels"], attrs["group"]
    if source.shape[3] % group or channels % group:
        raise InferenceError(f"{group} groups do not divide {source} and {channels} channels")
    return BufferType((source.shape[0], *with_halo(windows.size, halo), channels), DType.F32)


def convolve_images(x: np.ndarray, weights: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    """The convolution of buffer ``x`` with ``weights`` [M, C/group, KH, KW], [N, OH, OW, M]."""
    windows, group = windows_of(attrs), attrs["group"]
    assert isinstance(group, int)
    image = x[:, windows.at[0] :, windows.at[1] :].transpose(0, 3, 1, 2)
    y = numeric.convolve(image, weights, windows.strides, windows.dilations, group)
    return y.transpose(0, 2, 3, 1)[:, : windows.size[0], : windows.size[1]]


@op("k.fconv")
class Fconv(OpDecl):
    """y = convolution of x with w, float32; w lies as [group][ceil(M/group/block)][KH][KW][C/group][block]"""

    operands = ("x", "w")
    attrs = _FCONV

    @staticmethod
    def infer(x: Type, w: Type, *, halo: Halo, **attrs: Any) -> BufferType:
        result, weights = _fconv_result(x, attrs, halo), as_buffer(w, DType.F32, 4)
        per_group, terms = result.shape[3] // weights.shape[0], as_buffer(x).shape[3] // weights.shape[0]
        block, (rows, cols) = attrs["block"], windows_of(attrs).taps
        assert isinstance(block, int)
        if weights.shape != (attrs["group"], -(-per_group // block), rows * cols * terms, block):
            raise InferenceError(f"weights {weights} do not fit {x} and {result}")
        return result

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, *, halo: Halo, **attrs: Any) -> np.ndarray:
        channels, taps = attrs["channels"], windows_of(attrs).taps
        assert isinstance(channels, int)
        weights = np.concatenate([unpack_floats(part, taps, channels // w.shape[0]) for part in w])
        return surround(convolve_images(x, weights, attrs), halo)


@op("k.fconv_w1")
class FconvSigns(OpDecl):
    """y = convolution of x with weights of ±1; w lies as [ceil(M/block)][KH][KW][C][block/8], bit j of an entry: channel j is -1"""

    operands = ("x", "w")
    attrs = _FCONV

    @staticmethod
    def infer(x: Type, w: Type, *, halo: Halo, **attrs: Any) -> BufferType:
        result, weights, block = _fconv_result(x, attrs, halo), as_buffer(w, DType.U8, 3), attrs["block"]
        rows, cols = windows_of(attrs).taps
        assert isinstance(block, int)
        if weights.shape != (-(-result.shape[3] // block), rows * cols * as_buffer(x).shape[3], block // 8):
            raise InferenceError(f"weights {weights} do not fit {x} and {result}")
        return result

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, *, halo: Halo, **attrs: Any) -> np.ndarray:
        channels, taps = attrs["channels"], windows_of(attrs).taps
        assert isinstance(channels, int)
        signs = 1 - 2 * np.unpackbits(w, axis=-1, bitorder="little").astype(np.float32)
        return surround(convolve_images(x, unpack_floats(signs, taps, channels), attrs), halo)


@op("k.fdepthwise")
class Fdepthwise(OpDecl):
    """y[..., c] = convolution of channel c of x with w[..., c], float32; w lies as [KH, KW, C]"""

    operands = ("x", "w")
    attrs = {**WINDOW, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, w: Type, *, halo: Halo, **attrs: Any) -> BufferType:
        source, weights, windows = as_buffer(x, DType.F32, 4), as_buffer(w, DType.F32, 3), windows_of(attrs)
        windows.check(source)
        if weights.shape != (*windows.taps, source.shape[3]):
            raise InferenceError(f"weights {weights} do not fit {source}")
        return BufferType((source.shape[0], *with_halo(windows.size, halo), source.shape[3]), DType.F32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, *, halo: Halo, **attrs: Any) -> np.ndarray:
        weights = w.transpose(2, 0, 1)[:, np.newaxis]
        return surround(convolve_images(x, weights, {**attrs, "group": w.shape[2]}), halo)


@op("k.fpool")
class Fpool(OpDecl):
    """y = maximum or mean over the taps inside the image; with ``count_pad`` the mean counts zeros of the padding declared by ``pads``"""

    operands = ("x",)
    attrs = {**WINDOW, "kind": REQUIRED, "count_pad": False, "pads": (0, 0, 0, 0), "x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(
        x: Type, *, kind: str, count_pad: bool, pads: Sequence[int], x_halo: Halo, halo: Halo, **attrs: Any
    ) -> BufferType:
        source = as_buffer(x, DType.F32, 4)
        if kind not in ("max", "avg"):
            raise InferenceError(f"pool kind {kind!r} is neither max nor avg")
        return BufferType((source.shape[0], *with_halo(windows_of(attrs).size, halo), source.shape[3]), DType.F32)

    @staticmethod
    def evaluate(
        x: np.ndarray, *, kind: str, count_pad: bool, pads: Sequence[int], x_halo: Halo, halo: Halo, **attrs: Any
    ) -> np.ndarray:
        image, windows = inside(x, x_halo), windows_of(attrs)
        if kind == "max":
            view = windows.view_clipped(image, -np.inf)
            return surround(view.max(axis=(4, 5)).transpose(0, 2, 3, 1), halo)
        total = windows.view_clipped(image, 0).sum(axis=(4, 5), dtype=np.float32)
        inner = np.ones((1, *image.shape[1:3], 1), np.float32)
        if count_pad:
            inner = np.pad(inner, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0)), constant_values=1)
        shifted = windows_of({**attrs, "at": (0, 0)}) if count_pad else windows
        count = shifted.view_clipped(inner, 0).sum(axis=(4, 5), dtype=np.float32)
        return surround((total / count).transpose(0, 2, 3, 1), halo)


_NUMBERS = frozenset(DType) - {DType.F16, DType.BOOL}
_REDUCTIONS = {
    "mean": {DType.F32, DType.F64}, "sum": _NUMBERS, "prod": _NUMBERS, "max": _NUMBERS | {DType.BOOL}, "min": _NUMBERS | {DType.BOOL},
}  # fmt: skip


@op("k.reduce")
class Reduce(OpDecl):
    """y[outer, inner] = mean, sum, prod, max or min over the middle axis of x seen as [outer, length, inner], in any dtype"""

    operands = ("x",)
    attrs = {"kind": REQUIRED, "outer": REQUIRED, "length": REQUIRED, "inner": REQUIRED}

    @staticmethod
    def infer(x: Type, *, kind: str, outer: int, length: int, inner: int) -> BufferType:
        source = as_buffer(x)
        if kind not in _REDUCTIONS or source.size != outer * length * inner:
            raise InferenceError(f"{source} is not [{outer}, {length}, {inner}], or {kind!r} is no reduction")
        if source.dtype not in _REDUCTIONS[kind]:
            raise InferenceError(f"there is no {kind} of {source.dtype}")
        return BufferType((outer, inner), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, kind: str, outer: int, length: int, inner: int) -> np.ndarray:
        functions: dict[str, Callable[..., np.ndarray]] = {
            "mean": np.mean, "sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min,
        }  # fmt: skip
        return np.asarray(functions[kind](x.reshape(outer, length, inner), axis=1), dtype=x.dtype)


_ALONG = {"outer": REQUIRED, "length": REQUIRED, "inner": REQUIRED}


def _along(x: Type, outer: int, length: int, inner: int, dtype: DType | None = None) -> BufferType:
    source = as_buffer(x, dtype)
    if source.size != outer * length * inner:
        raise InferenceError(f"{source} is not [{outer}, {length}, {inner}]")
    return source


@op("k.softmax")
class SoftmaxKernel(OpDecl):
    """softmax (or its logarithm) over the middle axis of x seen as [outer, length, inner]"""

    operands = ("x",)
    attrs = {"log": False, **_ALONG}

    @staticmethod
    def infer(x: Type, *, log: bool, outer: int, length: int, inner: int) -> BufferType:
        return BufferType((outer, length, inner), _along(x, outer, length, inner, DType.F32).dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, log: bool, outer: int, length: int, inner: int) -> np.ndarray:
        return nn_linear.Softmax.evaluate(x.reshape(outer, length, inner), axis=1, log=log)


@op("k.argmax")
class ArgMaxKernel(OpDecl):
    """index (int64) of the largest (``least``: smallest) element along the middle axis of x seen as [outer, length, inner]; of equals
    the first, or the ``last``"""

    operands = ("x",)
    attrs = {"last": False, "least": False, **_ALONG}

    @staticmethod
    def infer(x: Type, *, last: bool, least: bool, outer: int, length: int, inner: int) -> BufferType:
        _along(x, outer, length, inner)
        return BufferType((outer, inner), DType.I64)

    @staticmethod
    def evaluate(x: np.ndarray, *, last: bool, least: bool, outer: int, length: int, inner: int) -> np.ndarray:
        seen = x.reshape(outer, length, inner)
        return nn_linear.ArgMax.evaluate(seen, axis=1, keepdims=False, last=last, least=least)


@op("k.topk")
class TopKKernel(OpDecl):
    """values, indices of the k largest (or smallest) elements along the middle axis of x seen as [outer, length, inner], sorted; of
    equals the lower index first"""

    operands = ("x",)
    attrs = {"k": REQUIRED, "largest": True, **_ALONG}
    results = 2

    @staticmethod
    def infer(x: Type, *, k: int, largest: bool, outer: int, length: int, inner: int) -> tuple[BufferType, BufferType]:
        dtype = _along(x, outer, length, inner).dtype
        if not 0 < k <= length:
            raise InferenceError(f"k {k} is outside [{outer}, {length}, {inner}]")
        return BufferType((outer, k, inner), dtype), BufferType((outer, k, inner), DType.I64)

    @staticmethod
    def evaluate(
        x: np.ndarray, *, k: int, largest: bool, outer: int, length: int, inner: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return nn_linear.TopK.evaluate(x.reshape(outer, length, inner), k=k, axis=1, largest=largest)
