"""Products and convolutions in any type against NumPy, which wraps integers round as well."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .f32_geometry import Conv
from .harness import guarded, kernels

Array = npt.NDArray[Any]
INTEGERS = {
    f"{'i' if s else 'u'}{b}": np.dtype(f"{'' if s else 'u'}int{b}") for s in (True, False) for b in (8, 16, 32, 64)
}
DTYPES = INTEGERS | {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}


def numbers(dtype: np.dtype[Any], *shape: int) -> Array:
    """All values of an integer type, small integers as floats."""
    rng = np.random.default_rng(len(shape))
    if dtype.kind == "f":
        return rng.integers(-9, 10, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_matmul(name: str, transposed: bool) -> None:
    k = kernels("matmul.h", isa="portable")
    a, b = numbers(DTYPES[name], 2, 3, 4, 5), numbers(DTYPES[name], 3, 5, 7)
    held = np.ascontiguousarray(b.transpose(0, 2, 1)) if transposed else b
    fields = {"outer": 2, "inner": 3, "m": 4, "k": 5, "n": 7, "a_outer": 60, "a_inner": 20, "a_row": 5, "a_column": 1}
    fields |= {"b_outer": 0, "b_inner": 35, "b_row": 1 if transposed else 7, "b_column": 5 if transposed else 1}
    with guarded((2, 3, 4, 7), DTYPES[name]) as y:
        struct = k.ffi.new("bitc_matmul *", fields)
        k.functions[f"bitc_matmul_{name}"](struct, k.pointer(a), k.pointer(held), k.pointer(y))
        np.testing.assert_array_equal(y, a @ b)


@pytest.mark.parametrize("order", ["rows", "columns", "neither"])
def test_float_products_of_few_rows(order: str) -> None:
    """Whole and broken chunks of both orders, and a left side that lies in columns."""
    kernel = kernels("f32_matmul.h", isa="portable")
    for m, k, n in itertools.product((1, 3), (1, 31, 32, 100), (1, 63, 64, 150)):
        a, b = numbers(np.dtype(np.float32), 2, m, k), numbers(np.dtype(np.float32), 2, k, n)
        held = b if order == "rows" else np.ascontiguousarray(b.transpose(0, 2, 1))
        left = np.ascontiguousarray(a.transpose(0, 2, 1)) if order == "neither" else a
        fields = {"outer": 1, "inner": 2, "m": m, "k": k, "n": n, "a_inner": m * k, "b_inner": k * n}
        fields |= {"a_row": 1, "a_column": m} if order == "neither" else {"a_row": k, "a_column": 1}
        fields |= {"b_row": n, "b_column": 1} if order == "rows" else {"b_row": 1, "b_column": k}
        with guarded((2, m, n), np.dtype(np.float32)) as y:
            struct = kernel.ffi.new("bitc_matmul *", fields)
            kernel.functions["bitc_fmatmul"](struct, kernel.pointer(left), kernel.pointer(held), kernel.pointer(y))
            np.testing.assert_array_equal(y, a @ b)


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "f32"])
@pytest.mark.parametrize("groups", [1, 3])
def test_convolution(name: str, groups: int) -> None:
    k = kernels("plain_conv.h", "f32_conv.h", isa="portable")
    dtype = DTYPES[name]
    conv = Conv(3, 4, 2, 3, (2, 3), (2, 1), (1, 2), groups=groups, gap=1)
    x, w = numbers(dtype, *conv.in_shape), numbers(dtype, *conv.weight_shape)
    shape = conv.struct(k)
    names = (
        "out_w",
        "out_c",
        "in_c",
        "in_row",
        "in_pixel",
        "step_h",
        "step_w",
        "taps_h",
        "taps_w",
        "tap_row",
        "tap_pixel",
    )
    fields = {field: getattr(shape, field) for field in (*names, "out_row", "out_pixel")}
    struct = k.ffi.new("bitc_plain_conv *", fields | {"groups": groups})
    expected = np.zeros((3, 4, groups, 2), dtype)
    grouped = w.reshape(groups, 2, 2, 3, 3)
    for r in range(2):
        for c in range(3):
            expected += np.einsum("hwgi,goi->hwgo", conv.tap(x, r, c), grouped[:, :, r, c]).astype(dtype)
    with guarded(conv.out_shape, dtype) as y:
        for first, last in ((0, 1), (1, 3)):
            band = k.pointer(y, first * shape.out_row)
            k.functions[f"bitc_plain_conv_{name}"](struct, k.pointer(x), k.pointer(w), band, first, last)
        np.testing.assert_array_equal(y[..., : groups * 2], expected.reshape(3, 4, -1))
