"""Level ``k``: kernel calls on buffers. What codegen prints, nothing more; each op still has its NumPy meaning.

A buffer is flat memory. Images lie as [N, H, W, elements of a pixel]: channels of a number tensor, 64-bit words of a code tensor (all
words of plane 0, then of plane 1, ...; see :mod:`bitc.ir.packing`). Around an image may lie a ``halo`` (top, left, bottom, right) in
pixels, which padded convolutions read: the maker of the buffer writes inside it, ``k.fill_halo`` fills it, ``at`` says where
in its input buffer the first window begins. Constants (weights, limits) are in the order the target's kernels read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.ir import numeric
from bitc.ir.graph import Graph
from bitc.ir.interpreter import evaluate as evaluate_graph
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import WeightForm, pack_bits, unpack_bits, unpack_codes, unpack_weights, words_of
from bitc.ir.types import BufferType, CodeType, DType, Levels, Type

Halo = tuple[int, int, int, int]
NO_HALO: Halo = (0, 0, 0, 0)


def as_buffer(type: Type, dtype: DType | None = None, rank: int | None = None) -> BufferType:
    """``type`` as memory: buffers and plain tensors. Raises :class:`InferenceError` for codes, another dtype or rank."""
    if isinstance(type, CodeType):
        raise InferenceError(f"needs memory, got {type}")
    if (dtype is not None and type.dtype is not dtype) or (rank is not None and len(type.shape) != rank):
        raise InferenceError(f"needs {dtype or 'any dtype'} of rank {rank}, got {type}")
    return BufferType(type.shape, type.dtype)


def with_halo(size: Sequence[int], halo: Halo) -> tuple[int, int]:
    """Rows and columns of the buffer of an image of ``size``."""
    return size[0] + halo[0] + halo[2], size[1] + halo[1] + halo[3]


def inside(x: np.ndarray, halo: Halo) -> np.ndarray:
    """The image in a buffer [N, rows, columns, elements].

    >>> inside(np.arange(12).reshape(1, 3, 4, 1), (1, 1, 1, 1)).ravel().tolist()
    [5, 6]
    """
    top, left, bottom, right = halo
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def surround(image: np.ndarray, halo: Halo) -> np.ndarray:
    """A buffer with ``image`` in it and zeros in the halo."""
    return np.pad(image, ((0, 0), (halo[0], halo[2]), (halo[1], halo[3]), (0, 0)))


@dataclass(frozen=True, slots=True)
class Windows:
    """Geometry shared by convolutions and pools: how output pixels read the buffer of the input."""

    taps: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    at: tuple[int, int]
    size: tuple[int, int]

    def view(self, x: np.ndarray) -> np.ndarray:
        """``x`` [N, rows, columns, E] as windows [N, E, OH, OW, KH, KW] (a view)."""
        start = x[:, self.at[0] :, self.at[1] :].transpose(0, 3, 1, 2)
        found = numeric.windows(start, self.taps, self.strides, self.dilations)
        return found[:, :, : self.size[0], : self.size[1]]

    def view_clipped(self, image: np.ndarray, fill: object) -> np.ndarray:
        """The same where ``at`` may be negative and windows may hang over the image's end: what lies outside is ``fill``."""
        ends = [
            max(0, self.at[i] + (self.size[i] - 1) * self.strides[i] + (self.taps[i] - 1) * self.dilations[i] + 1 - n)
            for i, n in enumerate(image.shape[1:3])
        ]
        widths = ((0, 0), (-self.at[0], ends[0]), (-self.at[1], ends[1]), (0, 0))
        padded = np.pad(image, widths, constant_values=fill)  # type: ignore[call-overload]
        return Windows(self.taps, self.strides, self.dilations, (0, 0), self.size).view(padded)

    def check(self, x: BufferType) -> None:
        """Raises :class:`InferenceError` if a tap falls outside the buffer."""
        for axis in range(2):
            last = (
                self.at[axis]
                + (self.size[axis] - 1) * self.strides[axis]
                + (self.taps[axis] - 1) * self.dilations[axis]
            )
            if self.at[axis] < 0 or last >= x.shape[1 + axis]:
                raise InferenceError(f"{self} reads outside {x}")


WINDOW = {"taps": REQUIRED, "strides": REQUIRED, "dilations": REQUIRED, "at": REQUIRED, "size": REQUIRED}
_BCONV = {
    **WINDOW,
    "channels": REQUIRED,
    "planes": REQUIRED,
    "terms": REQUIRED,
    "row_class": (),
    "col_class": (),
    "block": REQUIRED,
    "byte_rows": False,
}


def windows_of(attrs: Mapping[str, Any]) -> Windows:
    """The geometry in the attributes of a convolution or pool."""
    return Windows(**{key: attrs[key] for key in WINDOW})


def class_map(row_class: Sequence[int], col_class: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The border class of each pixel [OH, OW]."""
    if not row_class:
        return np.zeros(tuple(size), np.int64)
    return np.asarray(np.add.outer(np.asarray(row_class) * (1 + max(col_class)), np.asarray(col_class)))


def class_counts(attrs: Mapping[str, Any]) -> tuple[int, int]:
    """How many border classes there are of rows and of columns."""
    return 1 + max(attrs["row_class"], default=0), 1 + max(attrs["col_class"], default=0)


def _pops(x: np.ndarray, w: np.ndarray, groups: Sequence[np.ndarray], attrs: Mapping[str, Any]) -> np.ndarray:
    """Mismatches [N, OH, OW, channels] of words ``x`` and packed weights ``w``: with bits under a mask m, x ^ w = x·(m - 2w) + w.

    ``groups`` is empty, or holds the masks and the first word of each block's channels.
    """
    windows, channels = windows_of(attrs), attrs["channels"]
    form = WeightForm(attrs["block"], attrs["byte_rows"])
    weights = unpack_weights(w, windows.taps, channels, form).astype(np.float64)
    masks = np.ones_like(weights)
    if groups:
        masks = unpack_weights(groups[0], windows.taps, channels, form).astype(np.float64)
        first = 64 * np.repeat(groups[1], form.block)[:channels]
        weights, masks = (_spread(array, first, x.shape[-1] * 64) for array in (weights, masks))
    bits = unpack_bits(x, x.shape[-1] * 64).astype(np.float64)
    image = np.tensordot(windows.view(bits), masks - 2 * weights, axes=((1, 4, 5), (1, 2, 3)))
    return np.asarray(np.rint(image + weights.sum(axis=(1, 2, 3))), dtype=np.int64)


def _spread(array: np.ndarray, first: np.ndarray, size: int) -> np.ndarray:
    """Each channel's bits [M, bits, KH, KW], which begin at bit ``first[m]`` of a pixel, among all ``size`` bits of it."""
    spread = np.zeros((array.shape[0], size, *array.shape[2:]), array.dtype)
    for channel, start in enumerate(first):
        spread[channel, start : start + array.shape[1]] = array[channel]
    return spread


def _bconv_result(x: Type, w: Type, groups: Sequence[Type], attrs: Mapping[str, Any]) -> BufferType:
    source, weights = as_buffer(x, DType.U64, 4), as_buffer(w, DType.U64, 3)
    windows = windows_of(attrs)
    windows.check(source)
    channels, block = attrs["channels"], attrs["block"]
    terms = windows.taps[0] * windows.taps[1] * source.shape[3]
    if groups:
        masks, starts = as_buffer(groups[0], DType.U64, 3), as_buffer(groups[1], DType.I32, 1)
        if masks != weights or starts.shape != weights.shape[:1]:
            raise InferenceError(f"masks {masks} and first words {starts} do not fit weights {weights}")
    elif weights.shape != (-(-channels // block), terms, block):
        raise InferenceError(f"weights {weights} for {channels} channels in blocks of {block} do not fit {source}")
    return source


@op("k.bconv_acc")
class BconvAcc(OpDecl):
    """acc[n,y,x,c] = base[class(y,x), c] - step · popcount(window(x) ^ w[c]), int32; grouped with ``mask`` and ``block_word``"""

    operands = ("x", "w", "base", "mask?", "block_word?")
    attrs = {**_BCONV, "step": REQUIRED}

    @staticmethod
    def infer(x: Type, w: Type, base: Type, *groups: Type, **attrs: Any) -> BufferType:
        source = _bconv_result(x, w, groups, attrs)
        as_buffer(base, DType.I32, 2)
        return BufferType((source.shape[0], *attrs["size"], attrs["channels"]), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, base: np.ndarray, *groups: np.ndarray, **attrs: Any) -> np.ndarray:
        classes = class_map(attrs["row_class"], attrs["col_class"], attrs["size"])
        return np.asarray(base[classes][..., : attrs["channels"]] - attrs["step"] * _pops(x, w, groups, attrs))


@op("k.bconv_bits")
class BconvBits(OpDecl):
    """plane p, bit c of y = (popcount(window(x) ^ w[c]) > limit[p, class(y,x), c]) ^ flip[c], packed, inside ``halo``"""

    operands = ("x", "w", "limit", "flip", "mask?", "block_word?")
    attrs = {**_BCONV, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, w: Type, limit: Type, flip: Type, *groups: Type, halo: Halo, **attrs: Any) -> BufferType:
        source = _bconv_result(x, w, groups, attrs)
        limits, flips, words = (
            as_buffer(limit, DType.I32, 3),
            as_buffer(flip, DType.U64, 1),
            words_of(attrs["channels"]),
        )
        if flips.shape != (words,):
            raise InferenceError(f"flips {flips} do not fit {attrs['channels']} channels")
        return BufferType((source.shape[0], *with_halo(attrs["size"], halo), limits.shape[0] * words), DType.U64)

    @staticmethod
    def evaluate(
        x: np.ndarray, w: np.ndarray, limit: np.ndarray, flip: np.ndarray, *groups: np.ndarray, halo: Halo, **attrs: Any
    ) -> np.ndarray:
        classes = class_map(attrs["row_class"], attrs["col_class"], attrs["size"])
        pops = _pops(x, w, groups, attrs)
        down = unpack_bits(flip, pops.shape[-1])
        planes = [pack_bits((pops > plane[classes][..., : pops.shape[-1]]) ^ down) for plane in limit]
        return surround(np.concatenate(planes, axis=-1), halo)


@op("k.pack")
class Pack(OpDecl):
    """plane p, bit c of y = not (x >= t[p,c]); in channels whose bit in ``flip`` is 1: not (x <= t[p,c]); a NaN gives 1

    ``x`` and ``t`` are both f32 or both i32.
    """

    operands = ("x", "t", "flip")
    attrs = {"x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, t: Type, flip: Type, *, x_halo: Halo, halo: Halo) -> BufferType:
        source, table = as_buffer(x, rank=4), as_buffer(t, rank=2)
        if source.dtype not in (DType.F32, DType.I32) or table.dtype is not source.dtype:
            raise InferenceError(f"{source} and thresholds {table} must both be f32 or i32")
        if table.shape[1] != source.shape[3] or as_buffer(flip, DType.U64).shape != (words_of(source.shape[3]),):
            raise InferenceError(f"thresholds {table} do not fit {source}")
        size = (source.shape[1] - x_halo[0] - x_halo[2], source.shape[2] - x_halo[1] - x_halo[3])
        return BufferType(
            (source.shape[0], *with_halo(size, halo), table.shape[0] * words_of(table.shape[1])), DType.U64
        )

    @staticmethod
    def evaluate(x: np.ndarray, t: np.ndarray, flip: np.ndarray, *, x_halo: Halo, halo: Halo) -> np.ndarray:
        image = inside(x, x_halo)
        down = unpack_bits(flip, image.shape[-1])
        planes = [pack_bits(~np.where(down, image <= edge, image >= edge)) for edge in t]
        return surround(np.concatenate(planes, axis=-1), halo)


@op("k.unpack")
class Unpack(OpDecl):
    """y = lo + step · (number of planes whose bit is 0), float32, inside ``halo``"""

    operands = ("x",)
    attrs = {
        "lo": REQUIRED,
        "step": REQUIRED,
        "planes": REQUIRED,
        "channels": REQUIRED,
        "x_halo": NO_HALO,
        "halo": NO_HALO,
    }

    @staticmethod
    def infer(x: Type, *, lo: int, step: int, planes: int, channels: int, x_halo: Halo, halo: Halo) -> BufferType:
        source = as_buffer(x, DType.U64, 4)
        if source.shape[3] != planes * words_of(channels):
            raise InferenceError(f"{source} does not hold {planes} planes of {channels} channels")
        size = (source.shape[1] - x_halo[0] - x_halo[2], source.shape[2] - x_halo[1] - x_halo[3])
        return BufferType((source.shape[0], *with_halo(size, halo), channels), DType.F32)

    @staticmethod
    def evaluate(
        x: np.ndarray, *, lo: int, step: int, planes: int, channels: int, x_halo: Halo, halo: Halo
    ) -> np.ndarray:
        levels = unpack_codes(inside(x, x_halo), Levels(lo, step, planes + 1), channels)
        return surround(levels.astype(np.float32), halo)


@op("k.fill_halo")
class FillHalo(OpDecl):
    """y = x with every pixel of the halo set to ``pixel``; in place: y is x's memory"""

    operands = ("x", "pixel")
    attrs = {"halo": REQUIRED}

    @staticmethod
    def infer(x: Type, pixel: Type, *, halo: Halo) -> BufferType:
        source = as_buffer(x, rank=4)
        if as_buffer(pixel, source.dtype).shape != source.shape[3:]:
            raise InferenceError(f"the halo pixel {pixel} does not fit {source}")
        return source

    @staticmethod
    def evaluate(x: np.ndarray, pixel: np.ndarray, *, halo: Halo) -> np.ndarray:
        filled = np.broadcast_to(pixel, x.shape).copy()
        inside(filled, halo)[...] = inside(x, halo)
        return filled


@op("k.copy_image")
class CopyImage(OpDecl):
    """y = the image of x in a buffer with another halo"""

    operands = ("x",)
    attrs = {"x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, *, x_halo: Halo, halo: Halo) -> BufferType:
        source = as_buffer(x, rank=4)
        size = (source.shape[1] - x_halo[0] - x_halo[2], source.shape[2] - x_halo[1] - x_halo[3])
        return BufferType((source.shape[0], *with_halo(size, halo), source.shape[3]), source.dtype)

    @staticmethod
    def evaluate(x: np.ndarray, *, x_halo: Halo, halo: Halo) -> np.ndarray:
        return surround(inside(x, x_halo), halo)


@op("k.bpool_max")
class BpoolMax(OpDecl):
    """each plane bit = minimum (the higher value) over the taps inside the image; maximum in channels whose bit in ``minimum`` is 1"""

    operands = ("x", "minimum")
    attrs = {**WINDOW, "x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, minimum: Type, *, x_halo: Halo, halo: Halo, **attrs: Any) -> BufferType:
        source, flips = as_buffer(x, DType.U64, 4), as_buffer(minimum, DType.U64, 1)
        if source.shape[3] % flips.shape[0]:
            raise InferenceError(f"channel bits {flips} do not fit {source}")
        return BufferType((source.shape[0], *with_halo(windows_of(attrs).size, halo), source.shape[3]), DType.U64)

    @staticmethod
    def evaluate(x: np.ndarray, minimum: np.ndarray, *, x_halo: Halo, halo: Halo, **attrs: Any) -> np.ndarray:
        windows = windows_of(attrs)
        image = inside(x, x_halo)
        wide = np.tile(minimum, x.shape[3] // minimum.shape[0])
        view = windows.view_clipped(image ^ wide, ~np.uint64(0))
        pooled = np.bitwise_and.reduce(view.reshape(*view.shape[:4], -1), axis=-1).transpose(0, 2, 3, 1)
        return surround((pooled ^ wide).astype(np.uint64), halo)


@op("k.map")
class MapKernel(OpDecl):
    """y[n,y,x,c] = body(x0[n,y,x,c], x1[n,y,x,c], ...), operands of size 1 along an axis repeated; one halo for each buffer"""

    operands = ("x*",)
    attrs = {"body": REQUIRED, "x_halos": REQUIRED, "halos": REQUIRED}

    @staticmethod
    def infer(*xs: Type, body: Graph, x_halos: Sequence[Halo], halos: Sequence[Halo]) -> tuple[Type, ...]:
        for x, halo, value in zip(xs, x_halos, body.inputs, strict=True):
            source = as_buffer(x, rank=4)
            size = (source.shape[0], *with_halo(value.shape[1:3], halo), source.shape[3])
            if (
                source.shape != size
                or source.shape[3] != value.shape[3]
                or source.dtype is not as_buffer(value.type).dtype
            ):
                raise InferenceError(f"{source} with halo {halo} does not hold {value}")
        return tuple(
            BufferType((v.shape[0], *with_halo(v.shape[1:3], halo), v.shape[3]), as_buffer(v.type).dtype)
            for v, halo in zip(body.outputs, halos, strict=True)
        )

    @staticmethod
    def evaluate(
        *xs: np.ndarray, body: Graph, x_halos: Sequence[Halo], halos: Sequence[Halo]
    ) -> tuple[np.ndarray, ...]:
        images = [inside(x, halo) for x, halo in zip(xs, x_halos, strict=True)]
        return tuple(surround(y, halo) for y, halo in zip(evaluate_graph(body, images), halos, strict=True))


@op("k.view")
class View(OpDecl):
    """y = x's memory under another shape; costs nothing"""

    operands = ("x",)
    attrs = {"shape": REQUIRED}

    @staticmethod
    def infer(x: Type, *, shape: Sequence[int]) -> BufferType:
        source = as_buffer(x)
        viewed = BufferType(tuple(shape), source.dtype)
        if viewed.size != source.size:
            raise InferenceError(f"{source} has {source.size} elements, {viewed} another number")
        return viewed

    @staticmethod
    def evaluate(x: np.ndarray, *, shape: Sequence[int]) -> np.ndarray:
        return x.reshape(tuple(shape))


@op("k.rows")
class Rows(OpDecl):
    """The ops of ``body``, all over images of the same N and H, ``step`` rows at a time: values that stay inside need only so many rows"""

    operands = ("x*",)
    attrs = {"body": REQUIRED, "step": 1}

    @staticmethod
    def infer(*xs: Type, body: Graph, step: int) -> tuple[Type, ...]:
        if [x.shape for x in xs] != [value.shape for value in body.inputs]:
            raise InferenceError("operands do not fit the body's inputs")
        return tuple(value.type for value in body.outputs)

    @staticmethod
    def evaluate(*xs: np.ndarray, body: Graph, step: int) -> tuple[np.ndarray, ...]:
        return tuple(evaluate_graph(body, xs))
