"""Integer max pooling and the meaning of its op against NumPy, value for value."""

from itertools import product

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.types import DType

from .harness import COMPILERS, check_compiles, for_each_isa, guarded, kernels
from .integer_geometry import fenced, values

C_TYPES = {DType.U8: "uint8_t *", DType.I8: "int8_t *", DType.I16: "int16_t *"}
WINDOWS = tuple(
    (window, step, dilation, pad)
    for window, step, dilation, pad in product(
        ((1, 1), (2, 2), (3, 2)), ((1, 1), (2, 3)), ((1, 1), (2, 1)), ((0, 0), (1, 1))
    )
    if pad < window
)


@for_each_isa
@pytest.mark.parametrize("dtype", list(C_TYPES))
@pytest.mark.parametrize("channels", [1, 3, 16, 33, 65])
def test_max_pool(isa: str, dtype: DType, channels: int) -> None:
    k = kernels("ipool.h", isa=isa)
    rng = np.random.default_rng(6)
    for window, step, dilation, pad in WINDOWS:
        image = values(rng, (5, 7, channels), dtype, extreme=channels == 3)
        span = [d * (n - 1) + 1 for n, d in zip(window, dilation, strict=True)]
        size = tuple((n + 2 * p - s) // t + 1 for n, p, s, t in zip(image.shape, pad, span, step, strict=False))
        struct = k.ffi.new(
            "bitc_ipool *",
            {
                "in_h": 5,
                "in_w": 7,
                "out_w": size[1],
                "channels": channels,
                "in_row": 7 * channels,
                "in_pixel": channels,
                "out_row": (size[1] + 1) * channels,
                "out_pixel": channels,
                "window_h": window[0],
                "window_w": window[1],
                "step_h": step[0],
                "step_w": step[1],
                "dilation_h": dilation[0],
                "dilation_w": dilation[1],
                "pad_top": pad[0],
                "pad_left": pad[1],
            },
        )
        lowest = np.iinfo(dtype.numpy).min
        padded = np.pad(image, ((pad[0], pad[0]), (pad[1], pad[1]), (0, 0)), constant_values=lowest)
        taps = [
            padded[
                r * dilation[0] : r * dilation[0] + (size[0] - 1) * step[0] + 1 : step[0],
                c * dilation[1] : c * dilation[1] + (size[1] - 1) * step[1] + 1 : step[1],
            ]
            for r, c in np.ndindex(window)
        ]
        expected = np.max(taps, axis=0)
        with guarded((size[0], size[1] + 1, channels), dtype.numpy, align=2) as y, fenced(image, at_end=True) as at:
            untouched = y[:, size[1] :].copy()
            for first, last in ((0, 1), (1, size[0])):
                to = k.pointer(y, first * (size[1] + 1) * channels)
                k.functions[f"bitc_imaxpool_{dtype}"](struct, k.ffi.cast(C_TYPES[dtype], at), to, first, last)
            np.testing.assert_array_equal(y[:, : size[1]], expected)
            np.testing.assert_array_equal(y[:, size[1] :], untouched)
        attrs = {
            "taps": window,
            "strides": step,
            "dilations": dilation,
            "at": (-pad[0], -pad[1]),
            "size": size,
            "x_halo": (0, 0, 0, 0),
            "halo": (0, 0, 0, 0),
        }
        np.testing.assert_array_equal(np.asarray(lookup("k.ipool").evaluate(image[np.newaxis], **attrs))[0], expected)


@for_each_isa
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings(isa: str, compiler: str) -> None:
    check_compiles("ipool.h", isa=isa, compiler=compiler)
