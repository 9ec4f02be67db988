"""Float convolutions against float64 NumPy: dense, grouped, fully connected, one-bit weights, depthwise."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from .f32_geometry import Array, Conv, float_weights, load, sign_weights
from .harness import ISAS, Kernels, guarded

CHANNELS = (1, 3, 7, 8, 9, 15, 16, 17, 33)


def _geometries() -> Iterator[Conv]:
    for width in range(1, 10):
        yield Conv(2, width, 17, 3, (3, 3), gap=2)
    for in_c, out_c in product(CHANNELS, CHANNELS):
        yield Conv(1, 5, out_c, in_c, (1, 2), gap=(in_c + out_c) % 2)
    for taps, step, dilation in product(((1, 1), (1, 3), (3, 2), (5, 5)), ((1, 1), (2, 3)), ((1, 1), (2, 1), (1, 3))):
        yield Conv(3, 4, 9, 2, taps, step, dilation)
    for in_c, out_c in product((1, 5, 64), (1, 8, 10, 40, 130)):
        yield Conv(1, 1, out_c, in_c)
    yield Conv(2, 1, 70, 700)  # more weights than one pass over the pixels takes


GEOMETRIES = tuple(_geometries())
GROUPED = tuple(
    Conv(2, 5, out_c, in_c, (3, 2), (1, 2), groups=groups, gap=1)
    for groups, in_c, out_c in product((2, 3), (1, 3, 8), (1, 2, 8, 17))
)
DEPTHWISE = (
    *(Conv(2, width, 1, 1, (3, 3), groups=17, gap=1) for width in range(1, 10)),
    *(Conv(2, 3, 1, 1, (2, 3), groups=channels) for channels in CHANNELS),
    *(Conv(3, 3, 1, 1, (3, 3), step, dilation, 20) for step in ((1, 1), (2, 3)) for dilation in ((1, 1), (3, 2))),
)


def _run(k: Kernels, function: str, conv: Conv, x: Array, w: Array, *groups: int) -> Array:
    """The output, computed in two bands of rows; what lies between the pixels is checked to be untouched."""
    struct = conv.struct(k)
    if "depthwise" in function:  # one group of all the channels
        struct.out_c = conv.groups
    with guarded(conv.out_shape, np.float32) as y:
        untouched = y.copy()
        for first, last in ((0, 1), (1, conv.out_h)):
            band = k.pointer(y, first * struct.out_row)
            k.functions[function](struct, *groups, k.pointer(x), k.pointer(w), band, first, last)
        channels = conv.groups * conv.out_c
        assert np.array_equal(y[..., channels:].view(np.uint32), untouched[..., channels:].view(np.uint32))
        return y[..., :channels].copy()


def _check(k: Kernels, function: str, conv: Conv, w: Array, packed: Array, *groups: int) -> None:
    """Bit for bit on integers, within the summation bound on floats."""
    rng = np.random.default_rng(11)
    x = conv.input(rng, integers=True)
    expected = conv.reference(x, np.round(w)) if packed.dtype == np.float32 else conv.reference(x, w)
    integers = np.round(packed) if packed.dtype == np.float32 else packed
    np.testing.assert_array_equal(_run(k, function, conv, x, integers, *groups), expected, str(conv))
    x = conv.input(rng, integers=False)
    error = np.abs(_run(k, function, conv, x, packed, *groups) - conv.reference(x, w))
    assert (error <= conv.error_bound(x, w)).all(), conv


def _weights(conv: Conv) -> Array:
    return (4 * np.random.default_rng(5).standard_normal(conv.weight_shape)).astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
def test_conv(isa: str) -> None:
    k = load("f32_conv", isa)
    block = k.constants[f"BITC_FCONV_BLOCK_{isa.upper()}"]
    for conv in GEOMETRIES:
        w = _weights(conv)
        _check(k, f"bitc_fconv_{isa}", conv, w, float_weights(w, 1, block))


@pytest.mark.parametrize("isa", ISAS)
def test_grouped_conv(isa: str) -> None:
    k = load("f32_conv", isa)
    block = k.constants[f"BITC_FCONV_BLOCK_{isa.upper()}"]
    for conv in GROUPED:
        w = _weights(conv)
        _check(k, f"bitc_fconv_grouped_{isa}", conv, w, float_weights(w, conv.groups, block), conv.groups)


@pytest.mark.parametrize("isa", ISAS)
def test_one_bit_weights(isa: str) -> None:
    k = load("f32_conv_w1", isa)
    block = k.constants[f"BITC_FCONV_BLOCK_{isa.upper()}"]
    for conv in GEOMETRIES:
        w = np.where(_weights(conv) < 0, -1, 1).astype(np.float32)
        _check(k, f"bitc_fconv_w1_{isa}", conv, w, sign_weights(w, block))


@pytest.mark.parametrize("isa", ISAS)
def test_depthwise(isa: str) -> None:
    k = load("f32_depthwise", isa)
    for conv in DEPTHWISE:
        w = _weights(conv)
        _check(k, f"bitc_fdepthwise_{isa}", conv, w, np.ascontiguousarray(np.moveaxis(w[..., 0], 0, -1)))


@pytest.mark.parametrize("isa", ISAS)
def test_one_bit_weights_round_as_additions(isa: str) -> None:
    """y is the float32 sum of +-x in tap order, bit for bit, whatever the rounding."""
    k = load("f32_conv_w1", isa)
    block = k.constants[f"BITC_FCONV_BLOCK_{isa.upper()}"]
    for conv in (Conv(2, 9, 20, 5, (3, 2)), Conv(1, 1, 150, 37)):
        w = np.where(_weights(conv) < 0, -1, 1).astype(np.float32)
        x = conv.input(np.random.default_rng(2), integers=False)
        total: Array = np.zeros((conv.out_h, conv.out_w, conv.out_c), np.float32)
        for r, c, i in product(range(conv.taps[0]), range(conv.taps[1]), range(conv.in_c)):
            total = total + conv.tap(x, r, c)[:, :, 0, i, None] * w[:, r, c, i]
        assert np.array_equal(_run(k, f"bitc_fconv_w1_{isa}", conv, x, sign_weights(w, block)), total)
