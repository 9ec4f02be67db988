"""Products of stacks of float matrices: packing, and the product, against NumPy in float64."""

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .f32_geometry import load
from .harness import Kernels, for_each_isa, guarded

Array = npt.NDArray[Any]
SHAPES = tuple(product((1, 2, 5, 6, 7, 13), (1, 3, 20), (1, 7, 8, 9, 16, 17, 41)))


def _packed(k: Kernels, b: Array, block: int, transposed: bool) -> Array:
    """``b`` [S, K, N] as the kernels' blocks; ``transposed``: from memory in which its columns lie one after another."""
    count, depth, columns = b.shape
    held = np.ascontiguousarray(b.transpose(0, 2, 1) if transposed else b)
    steps = (1, depth) if transposed else (columns, 1)
    numbers = (1, count, depth, columns, 0, depth * columns, *steps)
    names = ("outer", "inner", "depth", "columns", "outer_step", "inner_step", "depth_step", "column_step")
    struct = k.ffi.new("bitc_fmatrices *", dict(zip(names, numbers, strict=True)))
    with guarded((count, -(-columns // block), depth, block), np.float32) as w:
        k.functions[f"bitc_fpack_matrices_{block}"](struct, k.pointer(held), k.pointer(w))
        return w.copy()


def _unpacked(w: Array, columns: int) -> Array:
    return w.transpose(0, 2, 1, 3).reshape(w.shape[0], w.shape[2], -1)[..., :columns]


@for_each_isa
@pytest.mark.parametrize("transposed", [False, True])
def test_packing(isa: str, transposed: bool) -> None:
    k = load("f32_gemm", isa)
    block = k.constants[f"BITC_FCONV_BLOCK_{isa.upper()}"]
    for depth, columns in product((1, 7, 8, 9), (1, 8, 15, 17)):
        b = np.random.default_rng(columns).standard_normal((3, depth, columns)).astype(np.float32)
        w = _packed(k, b, block, transposed)
        np.testing.assert_array_equal(_unpacked(w, columns), b)
        assert not _unpacked(w, w.shape[1] * block)[..., columns:].any()


@for_each_isa
def test_products(isa: str) -> None:
    """A stack of 2 x 3 products whose right side is shared along the outer axis, rows of the left side apart."""
    k = load("f32_gemm", isa)
    block = k.constants[f"BITC_FCONV_BLOCK_{isa.upper()}"]
    for rows, depth, columns in SHAPES:
        rng = np.random.default_rng(rows)
        a = rng.integers(-9, 10, (2, 3, rows, depth + 2)).astype(np.float32)
        a[..., depth:] = np.nan
        b = rng.integers(-9, 10, (3, depth, columns)).astype(np.float32)
        w = _packed(k, b, block, False)
        conv = {"out_w": rows, "out_c": columns, "in_c": depth, "in_pixel": depth + 2, "step_h": 1, "step_w": 1}
        conv |= {"taps_h": 1, "taps_w": 1, "tap_row": depth, "tap_pixel": depth, "out_pixel": columns}
        row = rows * (depth + 2)
        stack = {"outer": 2, "inner": 3, "a_outer": 3 * row, "a_inner": row, "w_outer": 0, "w_inner": 1}
        structs = k.ffi.new("bitc_fconv *", conv), k.ffi.new("bitc_fstack *", stack)
        with guarded((2, 3, rows, columns), np.float32) as y:
            k.functions[f"bitc_fgemm_{isa}"](*structs, k.pointer(a), k.pointer(w), k.pointer(y))
            np.testing.assert_array_equal(y, a[..., :depth].astype(np.float64) @ b)
