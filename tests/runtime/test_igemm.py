"""Products of stacks of computed integer matrices: packing against its op, the product against int64, on every instruction set."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from bitc.ir import lookup
from bitc.ir.integer_packing import Runs
from bitc.ir.types import DType

from .harness import COMPILERS, ISAS, VARIANTS, Kernels, check_compiles, guarded, kernels
from .integer_geometry import FORMS, Array, fenced

for_each_isa_or_variant = pytest.mark.parametrize("isa", [*ISAS, *VARIANTS])
DEPTHS = (1, 2, 3, 4, 5, 7, 8, 13, 16, 35)
COLUMNS = (1, 3, 7, 8, 9, 15, 16, 17, 36)
ORDERS = ("rows", "columns", "neither")
"""What lies side by side in memory: the columns of a row, the values of a column, or other matrices' values."""


def storages(isa: str) -> tuple[tuple[DType, DType], ...]:
    """The storages of both sides that ``isa`` has a kernel for."""
    both = ((DType.U8, DType.I8), (DType.I16, DType.I16))
    return both[:1] if isa in VARIANTS else both


def full_range(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Array:
    """Numbers of all of ``dtype``, its ends often; i16 whose pairs of products fit int32."""
    limits = np.iinfo(dtype.numpy)
    low, high = (-32767 if dtype is DType.I16 else limits.min), limits.max
    return np.where(
        rng.random(shape) < 0.3, rng.choice([low, high], shape), rng.integers(low, high, shape, endpoint=True)
    ).astype(dtype.numpy)


def in_memory(matrices: Array, order: str) -> tuple[Array, tuple[int, int, int]]:
    """``matrices`` [S, K, N] as an array whose neighbours are as ``order`` says; elements from matrix to matrix, row to row, column to
    column."""
    count, depth, columns = matrices.shape
    if order == "rows":
        return matrices.copy(), (depth * columns, columns, 1)
    if order == "columns":
        return np.ascontiguousarray(matrices.transpose(0, 2, 1)), (depth * columns, 1, depth)
    return np.ascontiguousarray(matrices.transpose(1, 2, 0)), (1, columns * count, count)


def packed(k: Kernels, isa: str, matrices: Array, lowest: int, order: str, at_end: bool = True) -> tuple[Array, Array]:
    """What the kernel makes of ``matrices`` [S, K, N], which lie against an inaccessible page."""
    count, depth, columns = matrices.shape
    form, dtype = FORMS[isa], DType.I8 if matrices.dtype == np.int8 else DType.I16
    side = form.side(DType.U8 if dtype is DType.I8 else DType.I16)
    held, (matrix, row, column) = in_memory(matrices, order)
    names = ("outer", "inner", "depth", "columns", "outer_step", "inner_step", "depth_step", "column_step", "lowest")
    numbers = (1, count, depth, columns, 0, matrix, row, column, lowest)
    struct = k.ffi.new("bitc_imatrices *", dict(zip(names, numbers, strict=True)))
    shape = (count, -(-columns // form.block), Runs(1, 1, depth).entries(side), form.block, side)
    with (
        guarded(shape, dtype.numpy) as w,
        guarded((count, shape[1] * form.block), np.int32) as base,
        fenced(held, at_end) as address,
    ):
        source = k.ffi.cast(f"int{8 * dtype.bytes}_t *", address)
        k.functions[f"bitc_ipack_{dtype}_{isa}"](struct, source, k.pointer(w), k.pointer(base))
        return w.copy(), base.copy()


def meant(isa: str, matrices: Array, lowest: int) -> Any:
    """The same by the op."""
    form, bytes_ = FORMS[isa], matrices.dtype == np.int8
    side = form.side(DType.U8 if bytes_ else DType.I16)
    (count, depth, columns), attrs = matrices.shape, {"block": form.block, "side": side, "lowest": lowest}
    attrs |= {"stack": (1, count), "steps": (0, depth * columns), "size": (depth, columns), "strides": (columns, 1)}  # type: ignore[dict-item]
    return lookup("k.pack_integers").evaluate(matrices, **attrs)


@for_each_isa_or_variant
@pytest.mark.parametrize("order", ORDERS)
def test_packing(isa: str, order: str) -> None:
    k, rng = kernels(f"igemm_{isa}.h", isa=isa), np.random.default_rng(5)
    for (_, dtype), depth, columns in product(storages(isa), DEPTHS, COLUMNS):
        matrices = full_range(rng, dtype, (2, depth, columns))
        lowest, at_end = (-8, 0, 3)[depth % 3], depth % 2 == 0
        for got, wanted in zip(
            packed(k, isa, matrices, lowest, order, at_end), meant(isa, matrices, lowest), strict=True
        ):
            np.testing.assert_array_equal(got, wanted, f"{dtype} {depth}x{columns}")


def check_product(k: Kernels, isa: str, x: Array, y: Array, lowest: int, chain: int, apart: int = 0) -> None:
    """``x`` [2, 3, M, K] by ``y`` [3, K, N], which is shared along the outer axis; rows of x lie ``apart`` further than they are long."""
    outer, inner, rows, depth = x.shape
    columns = y.shape[2]
    w, base = meant(isa, y, lowest)
    wide = np.zeros((outer, inner, rows, depth + apart), x.dtype)
    wide[..., :depth] = x
    conv = {
        "out_w": rows,
        "out_c": columns,
        "groups": 1,
        "in_c": depth,
        "in_pixel": depth + apart,
        "step_h": 1,
        "step_w": 1,
    }
    conv |= {"runs_h": 1, "runs_w": 1, "run": depth, "chain": chain}
    matrix = rows * (depth + apart)
    stack = {"outer": outer, "inner": inner, "x_outer": inner * matrix, "x_inner": matrix, "w_outer": 0, "w_inner": 1}
    structs = k.ffi.new("bitc_iconv *", conv), k.ffi.new("bitc_istack *", stack)
    kinds = (f"{'u' if x.dtype == np.uint8 else 'i'}{8 * x.itemsize}", f"i{8 * y.itemsize}")
    with (
        guarded((outer, inner, rows, columns), np.int32, align=4) as got,
        fenced(wide[..., : depth + apart], True) as at,
    ):
        source = k.ffi.cast(f"{'u' * (x.dtype == np.uint8)}int{8 * x.itemsize}_t *", at)
        k.functions[f"bitc_igemm_{kinds[0]}_{kinds[1]}_{isa}"](
            *structs, source, k.pointer(w), k.pointer(base), k.pointer(got)
        )
        np.testing.assert_array_equal(got, (x.astype(np.int64) + lowest) @ y.astype(np.int64))


@for_each_isa_or_variant
def test_products(isa: str) -> None:
    """Operands of the whole range, which no chain of 16 bits takes; and those of few levels, by the longest chain there is."""
    k, rng = kernels(f"igemm_{isa}.h", isa=isa), np.random.default_rng(6)
    for (left, right), rows, depth, columns in product(
        storages(isa), (1, 2, 5, 6, 9), (1, 3, 4, 16, 21), (1, 8, 15, 17)
    ):
        x = full_range(rng, left, (2, 3, rows, depth))
        y = full_range(rng, right, (3, depth, columns))
        small = y if right is DType.I8 else (y // 64).astype(np.int16)  # 21 products fit int32
        check_product(k, isa, x, small, -128 if left is DType.U8 else 0, chain=0, apart=rows % 2)
        if left is DType.U8:
            check_product(k, isa, x & 15, y.clip(-8, 7), -8, chain=(2**15 - 1) // (2 * 15 * 8), apart=rows % 2)


@for_each_isa_or_variant
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings(isa: str, compiler: str) -> None:
    check_compiles(f"igemm_{isa}.h", isa=isa, compiler=compiler)
