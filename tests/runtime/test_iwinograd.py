"""Winograd's integer convolution and the meaning of its op against int64 NumPy, bit for bit."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.integer_packing import INTEGER_FORMS, pack_integer_base
from bitc.ir.types import DType
from bitc.ir.winograd import pack_winograd_weights, scratch_row_bytes, winograd_is_exact

from .harness import COMPILERS, Kernels, check_compiles, guarded, kernels
from .integer_geometry import Array, Conv, fenced, values

ISAS = tuple(isa for isa, form in INTEGER_FORMS.items() if form.winograd is not None)
HIGHEST = 8191
"""The largest activation whose transform fits 16 bits."""


def _geometries() -> Iterator[Conv]:
    for size in product(range(1, 6), range(1, 8)):
        yield Conv(size, 17, 16, (3, 3))
    for in_c, out_c in product((16, 32, 48), (1, 7, 8, 9, 15, 16, 31, 33)):
        yield Conv((2, 3), out_c, in_c, (3, 3))
    for width in range(1, 27):
        yield Conv((3, width), 16, 16, (3, 3), extra_columns=width % 3)


GEOMETRIES = tuple(_geometries())


def _run(k: Kernels, function: str, conv: Conv, x: Array, u: Array, base: Array, rows: int, at_end: bool) -> Array:
    """The output, computed in two bands of rows, the first of one row; the input lies against an inaccessible page."""
    height, width = conv.size
    _, columns, channels = conv.in_shape
    fields = {"out_w": width, "out_c": conv.out_c, "in_c": channels, "in_row": columns * channels, "rows": rows}
    struct = k.ffi.new("bitc_iwinograd *", fields)
    held = max(rows, height) * scratch_row_bytes(conv.size, channels, rows)
    outputs = guarded((*conv.size, conv.out_c), np.int32, align=4), guarded((held,), np.uint8, align=64)
    with outputs[0] as y, outputs[1] as scratch, fenced(x, at_end) as address:
        for first, last in ((0, 1), (1, height)):
            source, band = k.ffi.cast("int16_t *", address), k.pointer(y, first * width * conv.out_c)
            held_at = k.ffi.cast("void *", scratch.ctypes.data)
            k.functions[function](struct, source, k.pointer(u), k.pointer(base), band, held_at, first, last)
        return y.copy()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("highest", [1, 255, HIGHEST])
def test_iwinograd(isa: str, highest: int) -> None:
    k, form = kernels(f"iwinograd_{isa}.h", isa=isa), INTEGER_FORMS[isa]
    rng = np.random.default_rng(5)
    for number, conv in enumerate(GEOMETRIES):
        extreme, rows = number % 2 == 0, (2, 4, 6)[number % 3]
        x = rng.choice(np.array([-highest, highest, highest], np.int16), conv.in_shape)
        if not extreme:
            x = rng.integers(-highest, highest + 1, conv.in_shape).astype(np.int16)
        w = values(rng, (conv.out_c, conv.in_c, 3, 3), DType.I8, extreme)
        assert winograd_is_exact(w, highest)
        base = rng.integers(-1000, 1000, conv.out_c).astype(np.int32)
        expected = conv.reference(x, w, base)
        packed = pack_winograd_weights(w, form.block, form.side_i16)
        bases = pack_integer_base(base, 1, form.block)
        got = _run(k, f"bitc_iwinograd_{isa}", conv, x, packed, bases, rows, number % 4 < 2)
        np.testing.assert_array_equal(got, expected, str(conv))
        attrs = {**conv.attrs, "channels": conv.out_c, "together": rows}
        meaning, _ = lookup("k.iwinograd").evaluate(x[np.newaxis], packed, bases, **attrs)
        np.testing.assert_array_equal(meaning[0], expected, str(conv))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_reach_the_bound(isa: str, sign: int) -> None:
    """Sums next to ±2^29, which leave the products four times as large: next to the ends of int32."""
    k, form = kernels(f"iwinograd_{isa}.h", isa=isa), INTEGER_FORMS[isa]
    conv = Conv((2, 2), 16, 64, (3, 3))
    highest = (2**29 - 1) // (127 * 9 * conv.in_c)
    x = np.full(conv.in_shape, highest, np.int16)
    w = np.full((conv.out_c, conv.in_c, 3, 3), 127 * sign)
    assert winograd_is_exact(w, highest)
    assert not winograd_is_exact(w, highest + 1)
    expected = conv.reference(x, w, np.zeros(conv.out_c, np.int64))
    assert np.abs(expected).max() > 0.99 * 2**29
    packed = pack_winograd_weights(w, form.block, form.side_i16)
    got = _run(k, f"bitc_iwinograd_{isa}", conv, x, packed, np.zeros(16, np.int32), 2, at_end=True)
    np.testing.assert_array_equal(got, expected)


def test_what_does_not_fit_is_refused() -> None:
    assert winograd_is_exact(np.ones((1, 1, 3, 3), int), HIGHEST)
    assert not winograd_is_exact(np.ones((1, 1, 3, 3), int), HIGHEST + 1)
    assert winograd_is_exact(np.full((1, 1, 3, 3), 3640), 255)
    assert not winograd_is_exact(np.full((1, 1, 3, 3), 3641), 255)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings(isa: str, compiler: str) -> None:
    check_compiles(f"iwinograd_{isa}.h", isa=isa, compiler=compiler)
