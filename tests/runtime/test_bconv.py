"""Binary convolution kernels against integer arithmetic on the bits, bit for bit, on every instruction set."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from .harness import Kernels, for_each_isa, guarded, kernels
from .packing import Bits, block_limits, block_rows, block_weights, pack, words_of

INT32 = np.iinfo(np.int32)
CHANNELS = (1, 31, 32, 33, 63, 64, 65, 127, 128, 129)
OUTPUTS = (1, 7, 8, 9, 15, 16, 17, 33, 64, 65)


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution: sizes, input bits ``[h, w, planes, c]`` and weight bits ``[k, kh, kw, planes, c]``."""

    out_h: int
    out_w: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    x: Bits
    w: Bits

    def pops(self) -> npt.NDArray[np.int32]:
        """Mismatches ``[out_h, out_w, k]``, by definition; float32 holds all counts below 2^24."""
        (sh, sw), (dh, dw) = self.stride, self.dilation
        k, kh, kw = self.w.shape[:3]
        rows = np.arange(self.out_h)[:, None] * sh + np.arange(kh) * dh
        columns = np.arange(self.out_w)[:, None] * sw + np.arange(kw) * dw
        windows = self.x[rows[:, None, :, None], columns[None, :, None, :]].reshape(self.out_h * self.out_w, -1)
        x, w = windows.astype(np.float32), self.w.reshape(k, -1).astype(np.float32)
        pops: npt.NDArray[np.int32] = (x @ (1 - w).T + (1 - x) @ w.T).astype(np.int32)
        return pops.reshape(self.out_h, self.out_w, k)


def random_conv(
    rng: np.random.Generator,
    c: int,
    k: int,
    kernel: tuple[int, int] = (1, 1),
    out: tuple[int, int] = (2, 3),
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    planes: int = 1,
) -> Conv:
    """Random bits; the input has one pixel more than needed on the right, so that rows do not touch."""
    (oh, ow), (kh, kw), (sh, sw), (dh, dw) = out, kernel, stride, dilation
    shape = ((oh - 1) * sh + (kh - 1) * dh + 1, (ow - 1) * sw + (kw - 1) * dw + 2, planes, c)
    x, w = rng.integers(0, 2, shape, np.uint8), rng.integers(0, 2, (k, kh, kw, planes, c), np.uint8)
    return Conv(oh, ow, stride, dilation, x, w)


class Prepared:
    """The C operands of a ``Conv``; taps of a row are merged in one run when the dilation allows."""

    def __init__(
        self,
        kernel: Kernels,
        isa: str,
        conv: Conv,
        classes: tuple[int, int],
        rng: np.random.Generator,
        twins: bool = False,
    ) -> None:
        k, kh, kw, planes, c = conv.w.shape
        (sh, sw), (dh, dw) = conv.stride, conv.dilation
        pixel = planes * words_of(c)
        self.conv, self.kernel, self.isa, self.pops = conv, kernel, isa, conv.pops()
        self.block = kernel.constants[f"BITC_BCONV_BLOCK_{isa.upper()}"]
        self.x = pack(conv.x)
        words = pack(conv.w).reshape(k, kh * kw * pixel)
        self.w = block_weights(words, self.block, transpose_bytes=isa == "avx2")
        self.row_class = rng.integers(0, classes[0], conv.out_h, np.uint8)
        self.col_class = rng.integers(0, classes[1], conv.out_w, np.uint8)
        self.classes = classes[0] * classes[1]
        merged = dw == 1 and not twins
        row = conv.x.shape[1] * pixel
        one = self.classes == 1
        self.g = kernel.ffi.new(
            "bitc_bconv *",
            {
                "out_w": conv.out_w, "out_c": k, "in_row_words": row, "in_pixel_words": pixel,
                "step_h": sh, "step_w": sw, "taps_h": kh, "taps_w": 1 if merged else kw,
                "tap_row_words": dh * row, "tap_words": dw * pixel, "run_words": kw * pixel if merged else pixel,
                "twin_words": pixel // 2 if twins else 0,
                "classes": self.classes, "col_classes": classes[1],
                "row_class": kernel.pointer(None if one else self.row_class),
                "col_class": kernel.pointer(None if one else self.col_class),
            },
        )  # fmt: skip

    def pixel_classes(self) -> npt.NDArray[np.intp]:
        """The class ``[out_h, out_w]`` of each output pixel."""
        classes: npt.NDArray[np.intp] = self.row_class[:, None].astype(np.intp) * self.g.col_classes + self.col_class
        return classes

    def check_acc(self, rng: np.random.Generator, y0: int, y1: int, step: int = 2) -> None:
        conv, k, p = self.conv, self.conv.w.shape[0], self.kernel.pointer
        base = rng.integers(-1000, 1000, (self.classes, k), np.int32)
        blocked = np.ascontiguousarray(block_rows(base.T, self.block).reshape(-1, self.classes).T)
        with guarded((y1 - y0, conv.out_w, k), np.int32, align=4) as acc:
            run = getattr(self.kernel, f"bitc_bconv_acc_{self.isa}")
            run(self.g, p(self.x), p(self.w), p(blocked), step, p(acc), y0, y1)
            np.testing.assert_array_equal(acc, (base[self.pixel_classes()] - step * self.pops)[y0:y1])

    def check_bits(self, limit: npt.NDArray[np.int32], flip: Bits, y0: int, y1: int, gap: int = 1) -> None:
        """``limit`` ``[planes, classes, k]``, ``flip`` ``[k]``; output pixels and rows lie ``gap`` words apart."""
        conv, k, p = self.conv, self.conv.w.shape[0], self.kernel.pointer
        planes, words = limit.shape[0], words_of(k)
        blocked, flips = block_limits(limit, self.block), pack(flip)
        pixel = planes * words + gap
        row = conv.out_w * pixel + gap
        expected = self.pops[:, :, None] > limit[:, self.pixel_classes()].transpose(1, 2, 0, 3)
        with guarded((y1 - y0, row), np.uint64, align=8) as y:
            untouched = y[0, -1] if gap else None
            run = getattr(self.kernel, f"bitc_bconv_bits_{self.isa}")
            run(self.g, p(self.x), p(self.w), p(blocked), p(flips), planes, p(y), row, pixel, y0, y1)
            pixels = y[:, : conv.out_w * pixel].reshape(y1 - y0, conv.out_w, pixel)
            got = pixels[..., : planes * words].reshape(y1 - y0, conv.out_w, planes, words)
            np.testing.assert_array_equal(got, pack(expected ^ flip.astype(bool))[y0:y1])
            assert (pixels[..., planes * words :] == untouched).all(), "words between pixels were written"
            assert (y[:, conv.out_w * pixel :] == untouched).all(), "words between rows were written"


def check(
    isa: str,
    conv: Conv,
    rng: np.random.Generator,
    *,
    classes: tuple[int, int] = (1, 1),
    planes: int = 1,
    y0: int = 0,
    twins: bool = False,
) -> None:
    """Both kernels on rows ``y0..``; limits lie around the sums so that both answers and equality occur."""
    prepared = Prepared(kernels(f"bconv_{isa}.h", isa=isa), isa, conv, classes, rng, twins)
    k = conv.w.shape[0]
    prepared.check_acc(rng, y0, conv.out_h)
    centre = prepared.pops.reshape(-1, k)[rng.integers(0, conv.out_h * conv.out_w)]
    limit = (centre + rng.integers(-1, 2, (planes, prepared.classes, k))).astype(np.int32)
    prepared.check_bits(limit, rng.integers(0, 2, k, np.uint8), y0, conv.out_h)


@for_each_isa
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_every_channel_count(isa: str, kernel: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for c, k in itertools.product(CHANNELS, OUTPUTS):
        check(isa, random_conv(rng, c, k, kernel), rng)


@for_each_isa
def test_every_kernel_stride_and_dilation(isa: str) -> None:
    rng = np.random.default_rng(2)
    sizes, steps = (1, 2, 3), ((1, 1), (2, 2), (1, 2), (2, 3))
    for kh, kw, stride, dilation in itertools.product(sizes, sizes, steps, steps):
        check(isa, random_conv(rng, 65, 33, (kh, kw), (2, 5), stride, dilation), rng)


@for_each_isa
def test_every_width_and_row_range(isa: str) -> None:
    rng = np.random.default_rng(3)
    for width, k, y0 in itertools.product(range(1, 14), (5, 40, 72), (0, 1, 2)):
        check(isa, random_conv(rng, 70, k, (3, 3), (3, width)), rng, y0=y0)


@for_each_isa
def test_border_classes_and_planes(isa: str) -> None:
    rng = np.random.default_rng(4)
    for classes, planes_in, planes_out in itertools.product([(1, 1), (1, 3), (3, 1), (3, 3)], (1, 2, 3), (1, 2, 3)):
        conv = random_conv(rng, 66, 35, (2, 3), (4, 6), planes=planes_in)
        check(isa, conv, rng, classes=classes, planes=planes_out)


@for_each_isa
@pytest.mark.parametrize("share", [0.0, 0.002, 1.0])
def test_planes_that_are_seldom_unlike(isa: str, share: float) -> None:
    """Two planes with the same weights: none, some or all bits of the second are another draw."""
    rng = np.random.default_rng(9)
    for (c, k), kernel in itertools.product(((5, 3), (64, 64), (65, 70), (200, 33)), ((1, 1), (3, 3), (2, 3))):
        conv = random_conv(rng, c, k, kernel, (3, 11), planes=2)
        other = rng.random(conv.x[:, :, 0].shape) < share
        conv.x[:, :, 1] = np.where(other, conv.x[:, :, 1], conv.x[:, :, 0])
        conv.w[:, :, :, 1] = conv.w[:, :, :, 0]
        check(isa, conv, rng, classes=(2, 2), planes=2, twins=True)
        check(isa, random_conv(rng, c, k, kernel, (3, 5), (2, 2), (2, 1), planes=2), rng)


@for_each_isa
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("dilations", [(1, 1), (2, 1), (1, 2)])
def test_one_place_where_twins_differ(isa: str, strides: tuple[int, int], dilations: tuple[int, int]) -> None:
    """Windows that overlap, touch or lie apart: the one bit that differs is found wherever it lies."""
    rng = np.random.default_rng(11)
    for kernel in ((1, 1), (2, 3)):
        conv = random_conv(rng, 70, 33, kernel, (2, 6), strides, dilations, planes=2)
        conv.w[:, :, :, 1] = conv.w[:, :, :, 0]
        for place in range(0, conv.x[:, :, 0].size, conv.x[:, :, 0].size // 29):
            conv.x[:, :, 1] = conv.x[:, :, 0]
            conv.x[(*np.unravel_index(place, conv.x[:, :, 0].shape)[:2], 1)][place % 70] ^= 1
            check(isa, conv, rng, twins=True)


@for_each_isa
def test_sums_of_twins_past_every_counter(isa: str) -> None:
    rng = np.random.default_rng(10)
    for words in (3, 4, 31, 32, 1023, 1024, 1100):
        x, w = np.ones((1, 6, 2, 64 * words), np.uint8), np.zeros((34, 1, 1, 2, 64 * words), np.uint8)
        x[0, 3, 0, 1] = 0
        check(isa, Conv(1, 5, (1, 1), (1, 1), x, w), rng, twins=True)


@for_each_isa
def test_edge_limits(isa: str) -> None:
    rng = np.random.default_rng(5)
    conv = random_conv(rng, 33, 70, (1, 2), (2, 5))
    prepared = Prepared(kernels(f"bconv_{isa}.h", isa=isa), isa, conv, (1, 1), rng)
    for limit, flip in itertools.product((INT32.min, -1, 0, 66, INT32.max - 1, INT32.max), (0, 1)):
        limits, flips = np.full((1, 1, 70), limit, np.int32), np.full(70, flip, np.uint8)
        prepared.check_bits(limits, flips, 0, 2)
        prepared.check_bits(limits, flips, 0, 2, gap=0)


@for_each_isa
@pytest.mark.parametrize("c", [64 * 3, 64 * 4, 64 * 31, 64 * 32, 64 * 1023, 64 * 1024, 64 * 2047, 64 * 2050 + 3])
def test_sums_past_every_counter(isa: str, c: int) -> None:
    """All bits differ, or all but one: byte, 16-bit and later counters must be emptied in time."""
    rng = np.random.default_rng(6)
    x, w = np.ones((1, 6, 1, c), np.uint8), np.zeros((34, 1, 1, 1, c), np.uint8)
    x[0, 1, 0, c - 1] = 0
    check(isa, Conv(1, 5, (1, 1), (1, 1), x, w), rng)


@for_each_isa
def test_step_scales_the_sum(isa: str) -> None:
    rng = np.random.default_rng(7)
    prepared = Prepared(kernels(f"bconv_{isa}.h", isa=isa), isa, random_conv(rng, 40, 50, (3, 1)), (1, 1), rng)
    for step in (-3, 0, 1, 2, 7):
        prepared.check_acc(rng, 0, 2, step)


def test_dot_product_of_signs() -> None:
    """The contract's n - 2*pop is the dot product of +1/-1 values."""
    rng = np.random.default_rng(8)
    conv = random_conv(rng, 37, 11, (3, 3))
    signs_x, signs_w = 1 - 2 * conv.x[..., 0, :].astype(int), 1 - 2 * conv.w[..., 0, :].astype(int)
    for y, x in itertools.product(range(2), range(3)):
        dot = np.einsum("ijc,kijc->k", signs_x[y : y + 3, x : x + 3], signs_w)
        np.testing.assert_array_equal(9 * 37 - 2 * conv.pops()[y, x], dot)
