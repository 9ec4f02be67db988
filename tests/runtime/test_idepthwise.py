"""Integer depthwise convolution kernels and the meaning of their op against int64 NumPy, bit for bit."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.integer_packing import pack_depthwise_weights
from bitc.ir.types import DType

from .harness import COMPILERS, check_compiles, for_each_isa, guarded, kernels
from .integer_geometry import FORMS, Conv, fenced, values

CHANNELS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65)


def _geometries() -> Iterator[Conv]:
    for channels in CHANNELS:
        yield Conv((2, 5), 1, 1, (3, 3), group=channels, extra_columns=channels % 2)
        yield Conv((1, 2), 1, 1, (1, 2), group=channels)
    for width in range(1, 10):
        yield Conv((2, width), 1, 1, (3, 3), group=35)
    for taps, strides, dilations in product(((1, 1), (2, 3), (5, 5)), ((1, 1), (2, 3)), ((1, 1), (3, 2))):
        yield Conv((3, 3), 1, 1, taps, strides, dilations, group=20)


@for_each_isa
@pytest.mark.parametrize("x_type", [DType.U8, DType.I16])
def test_idepthwise(isa: str, x_type: DType) -> None:
    k, form = kernels(f"idepthwise_{isa}.h", isa=isa), FORMS[isa]
    assert k.constants[f"BITC_IDEPTHWISE_BLOCK_{isa.upper()}"] == form.depthwise_block
    assert k.constants[f"BITC_IDEPTHWISE_SIDE_{isa.upper()}"] == form.depthwise_side
    kind = {DType.U8: "uint8_t *", DType.I16: "int16_t *"}[x_type]
    rng = np.random.default_rng(4)
    for number, conv in enumerate(_geometries()):
        x = values(rng, conv.in_shape, x_type, number % 2 == 0)
        limit = min(32767, (2**31 - 2000) // (conv.taps[0] * conv.taps[1] * 32768))
        w = rng.choice([-limit, -1, 0, 1, limit, limit // 2], (conv.group, 1, *conv.taps))
        base = rng.integers(-1000, 1000, conv.group).astype(np.int32)
        packed = pack_depthwise_weights(w[:, 0].transpose(1, 2, 0), form.depthwise_block, form.depthwise_side)
        expected = conv.reference(x, w, base)
        row = conv.in_shape[1] * conv.group
        struct = k.ffi.new(
            "bitc_idepthwise *",
            {
                "out_w": conv.size[1],
                "channels": conv.group,
                "in_row": row,
                "in_pixel": conv.group,
                "step_h": conv.strides[0],
                "step_w": conv.strides[1],
                "taps_h": conv.taps[0],
                "taps_w": conv.taps[1],
                "tap_row": conv.dilations[0] * row,
                "tap_pixel": conv.dilations[1] * conv.group,
            },
        )
        with (
            guarded((*conv.size, conv.group), np.int32, align=4) as y,
            fenced(x, number % 4 < 2) as x_at,
            fenced(base, at_end=True) as base_at,
        ):
            for first, last in ((0, 1), (1, conv.size[0])):
                k.functions[f"bitc_idepthwise_{x_type}_{isa}"](
                    struct,
                    k.ffi.cast(kind, x_at),
                    k.pointer(packed),
                    k.ffi.cast("int32_t *", base_at),
                    k.pointer(y, first * conv.size[1] * conv.group),
                    first,
                    last,
                )
            np.testing.assert_array_equal(y, expected, str(conv))
        meaning = lookup("k.idepthwise").evaluate(x[np.newaxis], packed, base, by_row=False, **conv.attrs)
        np.testing.assert_array_equal(np.asarray(meaning)[0], expected, str(conv))


@for_each_isa
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings(isa: str, compiler: str) -> None:
    check_compiles(f"idepthwise_{isa}.h", isa=isa, compiler=compiler)
