"""Strided copies against NumPy views: permutations, slices, flips, expansions, writes into a larger buffer."""

from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .harness import guarded, kernels

Array = npt.NDArray[Any]
DTYPES = (np.uint8, np.uint16, np.uint32, np.uint64)


def _copy(source: Array, target: Array) -> None:
    """``target[...] = source`` for two views of one shape, by the kernel for their element size."""
    k = kernels("copy.h", isa="portable")
    size = source.itemsize
    views = {
        "rank": source.ndim,
        "shape": source.shape,
        "from": [stride // size for stride in source.strides],
        "to": [stride // size for stride in target.strides],
    }
    x, y = (k.ffi.cast("char *", view.__array_interface__["data"][0]) for view in (source, target))
    k.functions[f"bitc_copy_{size}"](k.ffi.new("bitc_copy *", views), x, y)


def _check(view: Array) -> None:
    with guarded(view.shape, view.dtype) as y:
        _copy(view, y)
        assert np.array_equal(y, view), (view.shape, view.strides)


def _numbers(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    return np.random.default_rng(8).integers(0, 255, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_permutation(dtype: npt.DTypeLike) -> None:
    for shape in (
        (),
        (5,),
        (3, 4),
        (17, 33),
        (1, 7),
        (2, 3, 4),
        (3, 1, 18),
        (2, 17, 16),
        (2, 3, 4, 5),
        (2, 1, 3, 2, 3),
    ):
        x = _numbers(shape, dtype)
        for axes in permutations(range(len(shape))):
            _check(x.transpose(axes))


@pytest.mark.parametrize("dtype", DTYPES)
def test_eight_dimensions(dtype: npt.DTypeLike) -> None:
    x = _numbers((2, 3, 2, 1, 3, 2, 2, 3), dtype)
    rng = np.random.default_rng(1)
    for _ in range(40):
        _check(x.transpose(rng.permutation(8)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_slices_flips_and_expansions(dtype: npt.DTypeLike) -> None:
    x = _numbers((4, 6, 5), dtype)
    for view in (x[1:3, ::2], x[::-1], x[:, ::-1, 1:4], x[..., ::-1], x[::-1, ::-2, ::-1].transpose(2, 0, 1)):
        _check(view)
    _check(np.broadcast_to(x[:, :1], (3, 4, 7, 5)))
    _check(np.broadcast_to(x[0, 0, 0], (4, 4)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_target_may_be_part_of_a_larger_buffer(dtype: npt.DTypeLike) -> None:
    """NCHW into an NHWC buffer with a halo: only the interior is written."""
    x = _numbers((3, 5, 7), dtype)
    with guarded((7, 9, 4), dtype) as y:
        expected = y.copy()
        expected[1:-1, 1:-1, :3] = x.transpose(1, 2, 0)
        _copy(x.transpose(1, 2, 0), y[1:-1, 1:-1, :3])
        assert np.array_equal(y, expected)


def test_no_elements() -> None:
    with guarded((0, 3), np.uint32) as y:
        _copy(np.empty((0, 3), np.uint32), y)
