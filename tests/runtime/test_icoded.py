"""Products with weights stored as codes of 2 and 4 bits, and the meaning of their ops, against int64 NumPy on every instruction set."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.coded_weights import (
    MOST_RUN,
    PASS_BYTES,
    Coded,
    code_chain,
    pack_codes_of_weights,
    pack_per_channel,
    scratch_bytes,
)
from bitc.ir.integer_packing import longest_chain, pack_integer_weights, runs_of

from .harness import COMPILERS, Kernels, check_compiles, guarded, kernels
from .integer_geometry import FORMS, Array, Conv, fenced

LANES = {isa: form.code_lanes for isa, form in FORMS.items() if form.code_lanes}

for_each_isa = pytest.mark.parametrize("isa", LANES)
BITS = (2, 4)
for_both_widths = pytest.mark.parametrize("bits", BITS)


def _geometries() -> Iterator[Conv]:
    for depth in range(4, 72, 4):
        yield Conv((1, 1), 17, depth)
    for out_c in (*range(1, 19), 31, 32, 33, 47, 63, 64, 65, 130):
        yield Conv((1, 1), out_c, 12)
    for columns, out_c in product(range(2, 19), (5, 16, 33)):
        yield Conv((1, columns), out_c, 20)
    yield Conv((1, 5), 40, 8, strides=(1, 3), extra_columns=2)
    yield Conv((1, 1), 20, 4, (3, 7))  # a dense layer over an image: one run
    yield Conv((3, 5), 33, 16)  # a 1x1 convolution
    yield Conv((1, 6), 70, 4400)  # more int8 weights than a pass takes


GEOMETRIES = tuple(_geometries())


def _header(isa: str, rows: bool) -> str:
    return f"icoded_rows_{isa}.h" if rows and isa != "portable" else f"icoded_{isa}.h"


def _fields(conv: Conv, chain: int) -> dict[str, int]:
    _, columns, channels = conv.in_shape
    runs = runs_of(conv.taps, conv.dilations, columns, channels, 1)
    assert (runs.rows, runs.cols) == (1, 1)
    image = {"out_w": conv.size[1], "in_row": columns * channels, "in_pixel": channels}
    steps = {"step_h": conv.strides[0], "step_w": conv.strides[1]}
    return {
        **image,
        **steps,
        "out_c": conv.out_c,
        "groups": 1,
        "runs_h": 1,
        "runs_w": 1,
        "run": runs.length,
        "chain": chain,
    }


def _run(
    k: Kernels, function: str, conv: Conv, x: Array, constants: tuple[Any, ...], chain: int, scratch: int
) -> Array:
    """The output, in bands of rows; input and codes lie against inaccessible pages, sums and scratch between guards."""
    codes, lowest, base, step = constants
    g = k.ffi.new("bitc_iconv *", _fields(conv, chain))
    outputs = guarded((*conv.size, conv.out_c), np.int32, align=4), guarded((max(scratch, 1),), np.int8, align=1)
    with outputs[0] as y, outputs[1] as held, fenced(x, True) as at_x, fenced(codes, True) as at_w:
        source, weights = k.ffi.cast("uint8_t *", at_x), k.ffi.cast("uint8_t *", at_w)
        extra = (k.pointer(held),) if scratch else ()
        for first, last in ((0, 1), (1, conv.size[0])):
            band = k.pointer(y, first * conv.size[1] * conv.out_c)
            taken = (g, source, weights, k.pointer(lowest), k.pointer(base), step, *extra, band, first, last)
            k.functions[function](*taken)
        return y.copy()


def _weights(rng: np.random.Generator, conv: Conv, bits: int, step: int, low: int) -> Coded:
    depth = conv.in_c * conv.taps[0] * conv.taps[1]
    ends = rng.integers(0, 2, (conv.out_c, depth)) * (2**bits - 1)
    codes = np.where(rng.integers(0, 2, ends.shape), ends, rng.integers(0, 2**bits, ends.shape))
    return Coded(bits, codes.astype(np.uint8), rng.integers(low, low + 3, conv.out_c), step)


def _kernel(found: Coded, conv: Conv) -> Array:
    """[M, C, KH, KW]"""
    return found.weights().reshape(conv.out_c, *conv.taps, conv.in_c).transpose(0, 3, 1, 2)


@for_each_isa
@for_both_widths
@pytest.mark.parametrize("highest", [255, 3])
def test_icoded(isa: str, bits: int, highest: int) -> None:
    k, lanes, side = kernels(_header(isa, False), isa=isa), LANES[isa], FORMS[isa].side_u8
    assert k.constants[f"BITC_ICODED_LANES_{isa.upper()}"] == lanes
    assert k.constants["BITC_ICODED_RUN"] == MOST_RUN
    rng = np.random.default_rng(11)
    for number, conv in enumerate(GEOMETRIES):
        step, low = (1, 2, 5)[number % 3], (-9, 0, -128, 100)[number % 4]
        found = _weights(rng, conv, bits, step, low)
        x = rng.choice(np.array([0, highest, highest, 1], np.uint8), conv.in_shape)
        base = rng.integers(-1000, 1000, conv.out_c)
        expected = conv.reference(x, _kernel(found, conv), base)
        codes, chain = pack_codes_of_weights(found, lanes, side), code_chain(found, highest)
        lowest, bases = pack_per_channel(found.lowest, bits, lanes), pack_per_channel(base, bits, lanes)
        got = _run(k, f"bitc_icoded{bits}_{isa}", conv, x, (codes, lowest, bases, step), chain, 0)
        np.testing.assert_array_equal(got, expected, str(conv))
        attrs = {"channels": conv.out_c, "bits": bits, "step": step, "chain": chain, **conv.attrs}
        meaning = np.asarray(lookup("k.icoded").evaluate(x[np.newaxis], codes, lowest, bases, **attrs))
        np.testing.assert_array_equal(meaning[0], expected, str(conv))


@for_each_isa
@for_both_widths
def test_icoded_rows(isa: str, bits: int) -> None:
    k, form, lanes = kernels(_header(isa, True), isa=isa), FORMS[isa], LANES[isa]
    assert k.constants["BITC_ICONV_PASS"] == PASS_BYTES
    rng = np.random.default_rng(12)
    for number, conv in enumerate(GEOMETRIES):
        step, low = (1, 2, 8)[number % 3], (-3, -121, 0)[number % 3]
        found, highest = _weights(rng, conv, bits, step, low), (255, 15)[number % 2]
        w = _kernel(found, conv)
        x = rng.choice(np.array([0, highest, highest, 1], np.uint8), conv.in_shape)
        base = rng.integers(-1000, 1000, conv.out_c)
        expected = conv.reference(x, w, base)
        codes = pack_codes_of_weights(found, lanes, form.side_u8)
        lowest, bases = pack_per_channel(found.lowest, bits, lanes), pack_per_channel(base, bits, lanes)
        runs = runs_of(conv.taps, conv.dilations, *conv.in_shape[1:], 1)
        packed = pack_integer_weights(w, 1, runs, form.block, form.side_u8)
        chain = longest_chain(packed, highest) if form.side_u8 == 4 else 0
        scratch = scratch_bytes(runs.length, conv.out_c, form.block)
        got = _run(k, f"bitc_icoded{bits}_rows_{isa}", conv, x, (codes, lowest, bases, step), chain, scratch)
        np.testing.assert_array_equal(got, expected, str(conv))
        if conv.size[0] == 1:
            attrs = {
                "channels": conv.out_c,
                "bits": bits,
                "step": step,
                "chain": chain,
                "block": form.block,
                **conv.attrs,
            }
            meaning, held = lookup("k.icoded_rows").evaluate(x[np.newaxis], codes, lowest, bases, **attrs)
            np.testing.assert_array_equal(meaning[0], expected, str(conv))
            assert held.size == scratch


@for_each_isa
@for_both_widths
def test_the_longest_run_fits(isa: str, bits: int) -> None:
    """The highest code and activation everywhere: no field's sums leave int32 before they are brought down, no chain 16 bits."""
    k, lanes = kernels(_header(isa, False), isa=isa), LANES[isa]
    conv = Conv((1, 1), lanes * 8 // bits, MOST_RUN)
    x = np.full(conv.in_shape, 255, np.uint8)
    for code in (2**bits - 1, 2 ** (bits - 1), 0):
        found = Coded(bits, np.full((conv.out_c, MOST_RUN), code, np.uint8), np.full(conv.out_c, -1 - code), 1)
        codes = pack_codes_of_weights(found, lanes, FORMS[isa].side_u8)
        lowest, base = pack_per_channel(found.lowest, bits, lanes), pack_per_channel(np.zeros(conv.out_c), bits, lanes)
        chain = code_chain(found, 255)
        got = _run(k, f"bitc_icoded{bits}_{isa}", conv, x, (codes, lowest, base, 1), chain, 0)
        np.testing.assert_array_equal(got, np.full(got.shape, -255 * MOST_RUN))


@for_both_widths
def test_chains_reach_sixteen_bits(bits: int) -> None:
    """The bound is the largest that fits: one sum more would not."""
    for highest, code in product((255, 127, 15, 1), range(1, 2**bits)):
        chain = code_chain(Coded(bits, np.full((1, 4), code, np.uint8), np.zeros(1), 1), highest)
        pair = 2 * highest * code * (4 if bits == 2 else 1)
        assert chain >= 4
        assert chain * pair <= 2**15 - 1 < (chain + 1) * pair


@for_each_isa
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("rows", [False, True])
def test_compiles_without_warnings(isa: str, compiler: str, rows: bool) -> None:
    check_compiles(_header(isa, rows), isa=isa, compiler=compiler)
