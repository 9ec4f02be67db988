"""Integer convolution kernels and the meaning of their ops against int64 NumPy, bit for bit, on every instruction set."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.integer_packing import (
    longest_chain,
    pack_integer_base,
    pack_integer_weights,
    runs_of,
    unpack_integer_base,
)
from bitc.ir.placed_weights import SIDE, Walk, place_weights
from bitc.ir.types import DType

from .harness import COMPILERS, ISAS, VARIANTS, Kernels, check_compiles, guarded, kernels, why_not
from .integer_geometry import FORMS, Array, Conv, fenced, values

STORAGE = ((DType.U8, DType.I8), (DType.I16, DType.I8), (DType.I16, DType.I16))
for_each_isa_or_variant = pytest.mark.parametrize("isa", [*ISAS, *VARIANTS])
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17)


def _geometries() -> Iterator[Conv]:
    for width in range(1, 14):
        yield Conv((2, width), 17, 3, (3, 3))
    for in_c, out_c in product(CHANNELS, (*CHANNELS, 24, 31, 33, 48, 65)):
        yield Conv((1, 5), out_c, in_c, (1, 2))
        yield Conv((1, 1), out_c, in_c)
    for taps, strides, dilations in product(
        ((1, 1), (1, 3), (3, 2), (5, 5)), ((1, 1), (2, 3)), ((1, 1), (2, 1), (1, 3))
    ):
        for in_c in (1, 2, 3, 6):
            yield Conv((3, 4), 9, in_c, taps, strides, dilations, extra_columns=in_c % 2)
    for group, in_c, out_c in product((2, 3), (1, 2, 3, 8), (1, 2, 8, 17)):
        yield Conv((2, 5), out_c, in_c, (3, 2), (1, 2), group=group, extra_columns=1)
    yield Conv((1, 1), 20, 5, (4, 7))  # a dense layer over an image: one run
    yield Conv((9, 1), 40, 30)  # a product of matrices
    yield Conv((2, 2), 70, 1100)  # more weights than one pass over the pixels takes; more values than a chunk


GEOMETRIES = tuple(_geometries())


def _struct(k: Kernels, conv: Conv, chain: int) -> Any:
    _, columns, channels = conv.in_shape
    runs = runs_of(conv.taps, conv.dilations, columns, channels, conv.group)
    row = columns * channels
    return k.ffi.new(
        "bitc_iconv *",
        {
            "out_w": conv.size[1],
            "out_c": conv.out_c,
            "groups": conv.group,
            "in_c": conv.in_c,
            "in_row": row,
            "in_pixel": channels,
            "step_h": conv.strides[0],
            "step_w": conv.strides[1],
            "runs_h": runs.rows,
            "runs_w": runs.cols,
            "run": runs.length,
            "run_row": conv.dilations[0] * row,
            "run_pixel": conv.dilations[1] * channels,
            "chain": chain,
        },
    )


def _run(k: Kernels, function: str, conv: Conv, x: Array, w: Array, base: Array, at_end: bool, chain: int = 0) -> Array:
    """The output, computed in two bands of rows; the input lies against an inaccessible page."""
    struct = _struct(k, conv, chain)
    kind = {"uint8": "uint8_t *", "int16": "int16_t *"}[x.dtype.name]
    with guarded((*conv.size, conv.channels), np.int32, align=4) as y, fenced(x, at_end) as address:
        for first, last in ((0, 1), (1, conv.size[0])):
            band = k.pointer(y, first * conv.size[1] * conv.channels)
            source = k.ffi.cast(kind, address)
            k.functions[function](struct, source, k.pointer(w), k.pointer(base), band, first, last)
        return y.copy()


def _weights(rng: np.random.Generator, conv: Conv, x: DType, w: DType, extreme: bool) -> Array:
    """Weights whose sums with any activations fit int32."""
    made = values(rng, (conv.channels, conv.in_c, *conv.taps), w, extreme)
    if (x, w) == (DType.I16, DType.I16):
        terms = conv.in_c * conv.taps[0] * conv.taps[1]
        made = (made // max(1, -(-terms // 2) * 2)).astype(np.int16)
        made.flat[0] = 300  # so that the weights are stored as i16
    return made


@pytest.mark.parametrize(
    ("isa", "x_type", "w_type"),
    [*((isa, *types) for isa in ISAS for types in STORAGE), *((isa, DType.U8, DType.I8) for isa in VARIANTS)],
)
def test_iconv(isa: str, x_type: DType, w_type: DType) -> None:
    k, form = kernels(f"iconv_{isa}.h", isa=isa), FORMS[isa]
    function, side = f"bitc_iconv_{x_type}_{w_type}_{isa}", form.side(x_type)
    assert k.constants[f"BITC_ICONV_BLOCK_{isa.upper()}"] == form.block
    rng = np.random.default_rng(3)
    for number, conv in enumerate(GEOMETRIES):
        x = values(rng, conv.in_shape, x_type, number % 2 == 0)
        w = _weights(rng, conv, x_type, w_type, number % 2 == 0)
        base = rng.integers(-1000, 1000, conv.channels).astype(np.int32)
        expected = conv.reference(x, w, base)
        assert np.abs(expected).max() < 2**31
        runs = runs_of(conv.taps, conv.dilations, *conv.in_shape[1:], conv.group)
        packed = pack_integer_weights(w, conv.group, runs, form.block, side)
        if packed.dtype != w_type.numpy:
            assert w_type is DType.I16
            packed = packed.astype(np.int16)
        bases = pack_integer_base(base, conv.group, form.block)
        got = _run(k, function, conv, x, packed, bases, number % 4 < 2)
        np.testing.assert_array_equal(got, expected, str(conv))
        meaning = lookup("k.iconv").evaluate(
            x[np.newaxis], packed, bases, channels=conv.channels, group=conv.group, **conv.attrs
        )
        np.testing.assert_array_equal(np.asarray(meaning)[0], expected, str(conv))


@for_each_isa_or_variant
@pytest.mark.parametrize("highest", [1, 15, 127, 255])
def test_chains_of_sixteen_bits(isa: str, highest: int) -> None:
    """u8 activations up to ``highest`` and weights as large as keep at least one pair within 16 bits: chains of every length."""
    k, form = kernels(f"iconv_{isa}.h", isa=isa), FORMS[isa]
    rng = np.random.default_rng(9)
    for number, conv in enumerate(GEOMETRIES):
        x = rng.choice(np.array([0, highest], np.uint8), conv.in_shape, p=[0.1, 0.9])
        most = min(127, 32767 // highest // 2 >> number % 5)
        w = rng.choice([most, -most], (conv.channels, conv.in_c, *conv.taps), p=[0.9, 0.1])
        base = rng.integers(-1000, 1000, conv.channels).astype(np.int32)
        runs = runs_of(conv.taps, conv.dilations, *conv.in_shape[1:], conv.group)
        packed = pack_integer_weights(w, conv.group, runs, form.block, form.side_u8)
        chain = longest_chain(packed, highest) if form.side_u8 == 4 else 0
        bases = pack_integer_base(base, conv.group, form.block)
        got = _run(k, f"bitc_iconv_u8_i8_{isa}", conv, x, packed, bases, at_end=True, chain=chain)
        np.testing.assert_array_equal(got, conv.reference(x, w, base), str(conv))


@pytest.mark.parametrize("highest", [1, 127, 128, 255])
@pytest.mark.parametrize("extreme", [False, True])
def test_placed_weights(highest: int, extreme: bool) -> None:
    """Every weight of 8 bits beside every activation: entries are split wherever a pair would saturate."""
    if (reason := why_not("avx2")) is not None:
        pytest.skip(reason)
    k, rng = kernels("iconv_placed_avx2.h", isa="avx2"), np.random.default_rng(4)
    for number, conv in enumerate(GEOMETRIES):
        _, columns, channels = conv.in_shape
        runs = runs_of(conv.taps, conv.dilations, columns, channels, conv.group)
        walk = Walk(conv.dilations[0] * columns * channels, conv.dilations[1] * channels)
        if runs.length < SIDE:
            continue
        x = (
            rng.choice([0, highest], conv.in_shape) if extreme else rng.integers(0, highest + 1, conv.in_shape)
        ).astype(np.uint8)
        w = values(rng, (conv.channels, conv.in_c, *conv.taps), DType.I8, extreme)
        w = np.where(rng.random(w.shape) < (number % 5) / 8, 0, w)  # some blocks need fewer entries than others
        w[: number % 40] = 0
        base = pack_integer_base(rng.integers(-1000, 1000, conv.channels).astype(np.int32), conv.group, 16)
        packed, places = place_weights(w, conv.group, runs, walk, 16, highest)
        meaning = lookup("k.iconv_placed").evaluate(
            x[np.newaxis], packed, places, base, channels=conv.channels, group=conv.group, **conv.attrs
        )
        expected = conv.reference(x, w, unpack_integer_base(base, conv.group, conv.channels))
        np.testing.assert_array_equal(np.asarray(meaning)[0], expected)
        constants = k.pointer(packed), k.pointer(places), packed.shape[1], k.pointer(base)
        with guarded((*conv.size, conv.channels), np.int32, align=4) as y, fenced(x, number % 4 < 2) as address:
            for first, last in ((0, 1), (1, conv.size[0])):
                band, source = k.pointer(y, first * conv.size[1] * conv.channels), k.ffi.cast("uint8_t *", address)
                k.functions["bitc_iconv_placed_avx2"](_struct(k, conv, 0), source, *constants, band, first, last)
            np.testing.assert_array_equal(y, expected, str(conv))


@for_each_isa_or_variant
def test_sums_reach_the_ends_of_int32(isa: str) -> None:
    """The largest sums that fit, from a base at the other end: no instruction saturates on the way."""
    k, form = kernels(f"iconv_{isa}.h", isa=isa), FORMS[isa]
    cases = ((DType.U8, 66047, (-127, 127)), (DType.I16, 516, (-127, 127)))
    for x_type, length, (low, high) in cases[: 1 if isa in VARIANTS else 2]:
        conv = replace(Conv((1, 2), 2, 1), in_c=length)
        x = np.full(conv.in_shape, np.iinfo(x_type.numpy).max, x_type.numpy)
        w = np.array([[low], [high]], np.int8).repeat(length, 1)[:, :, np.newaxis, np.newaxis]
        base = np.array([2**31 - 1, -(2**31)], np.int64)
        packed = pack_integer_weights(
            w, 1, runs_of(conv.taps, conv.dilations, *conv.in_shape[1:], 1), form.block, form.side(x_type)
        )
        got = _run(
            k, f"bitc_iconv_{x_type}_i8_{isa}", conv, x, packed, pack_integer_base(base, 1, form.block), at_end=True
        )
        np.testing.assert_array_equal(got, conv.reference(x, w, base), str(conv))


@for_each_isa_or_variant
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings(isa: str, compiler: str) -> None:
    check_compiles(f"iconv_{isa}.h", isa=isa, compiler=compiler)
    if isa == "avx2":
        check_compiles("iconv_placed_avx2.h", isa=isa, compiler=compiler)
