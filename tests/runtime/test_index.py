"""Reads and writes at computed places against NumPy; indices outside read the nearest element and write nothing."""

from typing import Any

import numpy as np
import pytest

from .harness import Kernels, guarded, kernels
from .test_plain_products import DTYPES, numbers

INDEX_TYPES = (np.int32, np.int64)
HOW = {"set": 0, "add": 1, "mul": 2, "max": 3, "min": 4}


@pytest.fixture(scope="module")
def k() -> Kernels:
    return kernels("index.h", isa="portable")


def _along(k: Kernels, shape: tuple[int, ...], places: tuple[int, ...], axis: int) -> Any:
    steps = np.cumprod([1, *shape[:0:-1]])[::-1].tolist()
    fields = {"rank": len(shape), "axis": axis, "length": shape[axis], "shape": list(places), "step": steps}
    return k.ffi.new("bitc_along *", fields)


@pytest.mark.parametrize("kind", INDEX_TYPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int64])
def test_take(k: Kernels, kind: type, dtype: type) -> None:
    x = numbers(np.dtype(dtype), 2, 4, 3)
    indices = np.array([-9, -4, -1, 0, 2, 3, 4, 99], kind)
    with guarded((2, 8, 3), dtype) as y:
        numbers_ = (2, 4, 8, 3 * x.itemsize, indices.itemsize)
        k.bitc_take(k.pointer(x), k.pointer(indices), k.pointer(y), *numbers_)
        np.testing.assert_array_equal(y, x[:, [0, 0, 3, 0, 2, 3, 3, 3]])


@pytest.mark.parametrize("kind", INDEX_TYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take_along(k: Kernels, kind: type, axis: int) -> None:
    x = numbers(np.dtype(np.float32), 3, 4, 5)
    indices = np.random.default_rng(0).integers(-9, 9, (2, 3, 4)).astype(kind)
    inside = np.where((indices < 0) & (indices >= -x.shape[axis]), indices + x.shape[axis], indices).clip(
        0, x.shape[axis] - 1
    )
    cut: list[Any] = [slice(0, n) for n in indices.shape]
    cut[axis] = slice(None)
    with guarded(indices.shape, np.float32) as y:
        struct = _along(k, x.shape, indices.shape, axis)
        k.bitc_take_along(struct, k.pointer(x), k.pointer(indices), k.pointer(y), indices.size, 4, indices.itemsize)
        np.testing.assert_array_equal(y, np.take_along_axis(x[tuple(cut)], inside, axis=axis))


def _tuples(k: Kernels, batch: int, tuples: int, lengths: tuple[int, ...], run: int) -> Any:
    steps = (np.cumprod([1, *lengths[:0:-1]])[::-1] * run).tolist()
    fields = {"batch": batch, "tuples": tuples, "depth": len(lengths), "run": run, "part": int(np.prod(lengths)) * run}
    return k.ffi.new("bitc_tuples *", fields | {"length": list(lengths), "step": steps})


def test_take_nd(k: Kernels) -> None:
    x = numbers(np.dtype(np.int16), 2, 3, 4, 5)
    indices = np.array([[[0, 1], [-1, -1], [7, -9]], [[2, 3], [1, 0], [-3, 4]]], np.int64)
    found = np.array([[[0, 1], [2, 3], [2, 0]], [[2, 3], [1, 0], [0, 3]]])
    with guarded((2, 3, 5), np.int16) as y:
        k.bitc_take_nd(_tuples(k, 2, 3, (3, 4), 5), k.pointer(x), k.pointer(indices), k.pointer(y), 2, 8)
        wanted = [[x[b, i, j] for i, j in found[b]] for b in range(2)]
        np.testing.assert_array_equal(y, wanted)


def _combined(old: Any, update: Any, how: str) -> Any:
    with np.errstate(all="ignore"):
        return {
            "set": update,
            "add": old + update,
            "mul": old * update,
            "max": max(old, update),
            "min": min(old, update),
        }[how]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("how", HOW)
def test_scatter_along(k: Kernels, name: str, how: str) -> None:
    x, updates = numbers(DTYPES[name], 4, 5), numbers(DTYPES[name], 3, 6)
    indices = np.random.default_rng(1).integers(-7, 7, (3, 6)).astype(np.int32)
    wanted = x.copy()
    for place in np.ndindex(3, 6):
        at = int(indices[place])
        if -5 <= at < 5:
            wanted[place[0], at] = _combined(wanted[place[0], at], updates[place], how)
    with guarded(x.shape, x.dtype) as y:
        y[...] = x
        struct = _along(k, x.shape, indices.shape, 1)
        arguments = (k.pointer(indices), k.pointer(updates), k.pointer(y), indices.size, 4, HOW[how])
        k.functions[f"bitc_scatter_along_{name}"](struct, *arguments)
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("how", HOW)
def test_scatter_nd(k: Kernels, name: str, how: str) -> None:
    x, updates = numbers(DTYPES[name], 3, 4, 2), numbers(DTYPES[name], 6, 2)
    indices = np.array([[0, 1], [-1, -1], [0, 1], [3, 0], [1, -5], [2, 3]], np.int64)
    wanted = x.copy()
    for (i, j), update in zip(indices, updates, strict=True):
        if -3 <= i < 3 and -4 <= j < 4:
            wanted[i, j] = [_combined(a, b, how) for a, b in zip(wanted[i, j], update, strict=True)]
    with guarded(x.shape, x.dtype) as y:
        y[...] = x
        arguments = (k.pointer(indices), k.pointer(updates), k.pointer(y), 8, HOW[how])
        k.functions[f"bitc_scatter_nd_{name}"](_tuples(k, 1, 6, (3, 4), 2), *arguments)
        np.testing.assert_array_equal(y, wanted)
