"""Max pooling of packed codes against the maximum of the codes they stand for."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .harness import guarded, kernels
from .packing import Bits, pack, words_of

Codes = npt.NDArray[np.int64]
SIZE = (9, 8)
WINDOWS = [
    {"kernel_h": kh, "kernel_w": kw, "stride_h": sh, "stride_w": sw, "dilation_h": dh, "dilation_w": dw,
     "pad_top": pad if kh > 1 else 0, "pad_left": pad if kw > 1 else 0}
    for (kh, kw), (sh, sw), (dh, dw), pad in itertools.product(
        [(1, 1), (2, 2), (3, 2), (1, 3)], [(1, 1), (2, 3)], [(1, 1), (2, 1), (1, 2)], (0, 1)
    )
]  # fmt: skip


def thermometer(codes: Codes, planes: int) -> Bits:
    """Codes 0..planes ``[h, w, c]`` as bits ``[h, w, planes, c]``: the code is the number of 0 bits."""
    return (codes[:, :, None] <= np.arange(planes)[:, None]).astype(np.uint8)


def pooled(codes: Codes, minimum: Bits, window: dict[str, int]) -> Codes:
    """The greatest code of each window's taps inside the image, or the least where ``minimum`` is 1."""
    taps: list[Any] = []
    out = []
    for axis, side in enumerate("hw"):
        kernel, stride, dilation = window[f"kernel_{side}"], window[f"stride_{side}"], window[f"dilation_{side}"]
        pad, size = window["pad_top" if side == "h" else "pad_left"], codes.shape[axis]
        out.append((size + 2 * pad - (kernel - 1) * dilation - 1) // stride + 1)
        starts = [i * stride - pad for i in range(out[-1])]
        taps.append([[t for k in range(kernel) if 0 <= (t := start + k * dilation) < size] for start in starts])
    result = np.empty((*out, codes.shape[2]), np.int64)
    for y, x in itertools.product(*map(range, out)):
        inside = codes[np.ix_(taps[0][y], taps[1][x])].reshape(-1, codes.shape[2])
        result[y, x] = np.where(minimum, inside.min(0), inside.max(0))
    return result


@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("c", [1, 33, 64, 129, 320])
def test_pool_takes_the_greatest_code_or_the_least(c: int, planes: int) -> None:
    kernel = kernels("bpool_portable.h", isa="portable")
    rng, p, words = np.random.default_rng(c), kernel.pointer, words_of(c)
    for window, gap in itertools.product(WINDOWS, (0, 1)):
        codes, minimum = rng.integers(0, planes + 1, (*SIZE, c)), rng.integers(0, 2, c, np.uint8)
        expected = pooled(codes, minimum, window)
        out_h, out_w = expected.shape[:2]
        used, pixel = planes * words, planes * words + gap
        source, flips = np.zeros((*SIZE, pixel), np.uint64), pack(minimum)
        source[..., :used] = pack(thermometer(codes, planes)).reshape(*SIZE, used)
        sizes = {"in_h": SIZE[0], "in_w": SIZE[1], "out_w": out_w, "words": words, "planes": planes}
        strides = {"in_row_words": SIZE[1] * pixel, "in_pixel_words": pixel}
        strides |= {"out_row_words": out_w * pixel + gap, "out_pixel_words": pixel}
        g = kernel.ffi.new("bitc_bpool *", sizes | strides | window)
        with guarded((out_h - 1, out_w * pixel + gap), np.uint64) as y:
            before = y.copy()
            kernel.bitc_bpool_max(g, p(source), p(flips), p(y), 1, out_h)
            pixels = before[:, : out_w * pixel].reshape(out_h - 1, out_w, pixel).copy()
            pixels[..., :used] = pack(thermometer(expected, planes)).reshape(out_h, out_w, used)[1:]
            before[:, : out_w * pixel] = pixels.reshape(out_h - 1, -1)
            np.testing.assert_array_equal(y, before)
