"""Argmax, argmin and top-k against NumPy, with ties and NaN."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .harness import guarded, kernels

Array = npt.NDArray[Any]
SHAPES = tuple((outer, n, inner) for outer in (1, 2) for n in (1, 2, 3, 9, 33) for inner in (1, 3, 64, 65))
F32 = np.float32
SPECIAL = np.array([np.nan, -np.inf, np.inf, 0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45], F32)


def _inputs(shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """Few different values, so that ties abound; and special values."""
    rng = np.random.default_rng(6)
    return rng.integers(-2, 3, shape).astype(F32), rng.choice(SPECIAL, shape)


def _arg(name: str, x: Array, last: bool) -> Array:
    k = kernels("f32_select.h", isa="portable")
    outer, length, inner = x.shape
    with guarded((outer, inner), np.int64) as y:
        k.functions[name](k.pointer(x), k.pointer(y), outer, length, inner, last)
        return y.copy()


@pytest.mark.parametrize(("name", "meaning"), [("bitc_fargmax", np.argmax), ("bitc_fargmin", np.argmin)])
def test_arg_takes_the_first_or_the_last_of_equals(name: str, meaning: Any) -> None:
    for shape in SHAPES:
        for x in _inputs(shape):
            assert np.array_equal(_arg(name, x, last=False), meaning(x, axis=1)), shape
            assert np.array_equal(_arg(name, x, last=True), shape[1] - 1 - meaning(x[:, ::-1], axis=1)), shape


def _topk(x: Array, count: int, largest: bool) -> tuple[Array, Array]:
    k = kernels("f32_select.h", isa="portable")
    outer, length, inner = x.shape
    shape = (outer, count, inner)
    with guarded(shape, F32) as values, guarded(shape, np.int64) as indices:
        k.bitc_ftopk(k.pointer(x), k.pointer(values), k.pointer(indices), outer, length, inner, count, largest)
        return values.copy(), indices.copy()


@pytest.mark.parametrize("largest", [True, False])
def test_topk_is_a_stable_sort(largest: bool) -> None:
    for shape in SHAPES:
        for x in _inputs(shape):
            # NaN counts as the greatest value; a stable sort keeps the lower index first
            keys = np.where(np.isnan(x), np.inf, np.clip(x, -1e9, 1e9)).astype(np.float64)
            order = np.argsort(-keys if largest else keys, axis=1, kind="stable")
            for count in {1, min(2, shape[1]), (shape[1] + 1) // 2, shape[1]}:
                values, indices = _topk(x, count, largest)
                assert np.array_equal(indices, order[:, :count]), (shape, count)
                assert np.array_equal(values.view(np.uint32), np.take_along_axis(x, indices, 1).view(np.uint32))
