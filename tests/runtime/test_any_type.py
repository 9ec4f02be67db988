"""Reductions, running sums and selections in any type against NumPy."""

from typing import Any

import numpy as np
import pytest

from .harness import guarded, kernels
from .test_plain_products import DTYPES, numbers

SHAPES = ((2, 1, 3), (1, 5, 1), (3, 7, 4))
REDUCTIONS: dict[str, Any] = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
CASES = [(kind, name) for kind in REDUCTIONS for name in DTYPES if name != "f32" or kind == "prod"]
_K = ("reduce.h", "cumsum.h", "select.h")


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_reductions(kind: str, name: str) -> None:
    k = kernels(*_K, isa="portable")
    for shape in SHAPES:
        x = numbers(DTYPES[name], *shape)
        with guarded((shape[0], shape[2]), x.dtype) as y:
            k.functions[f"bitc_reduce_{kind}_{name}"](k.pointer(x), k.pointer(y), *shape)
            np.testing.assert_array_equal(
                y,
                REDUCTIONS[kind](x, axis=1, dtype=x.dtype) if kind in ("sum", "prod") else REDUCTIONS[kind](x, axis=1),
            )


def test_extremes_of_doubles_keep_nan_and_means_divide() -> None:
    k = kernels(*_K, isa="portable")
    x = np.array([[[1.0, 2.0], [np.nan, 4.0], [3.0, 6.0]]])
    for kind, wanted in (("max", [np.nan, 6]), ("min", [np.nan, 2]), ("mean", [np.nan, 4])):
        with guarded((1, 2), np.float64) as y:
            k.functions[f"bitc_reduce_{kind}_f64"](k.pointer(x), k.pointer(y), 1, 3, 2)
            np.testing.assert_array_equal(y[0], wanted)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sums(name: str, exclusive: int, reverse: int) -> None:
    k = kernels(*_K, isa="portable")
    for shape in SHAPES:
        x = numbers(DTYPES[name], *shape)
        seen = x[:, ::-1] if reverse else x
        sums = np.cumsum(seen, axis=1, dtype=x.dtype)
        if exclusive:
            sums = np.concatenate([np.zeros_like(sums[:, :1]), sums[:, :-1]], axis=1)
        with guarded(shape, x.dtype) as y:
            k.functions[f"bitc_cumsum_{name}"](k.pointer(x), k.pointer(y), *shape, exclusive, reverse)
            np.testing.assert_array_equal(y, sums[:, ::-1] if reverse else sums)


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "f32"])
@pytest.mark.parametrize("most", [0, 1])
def test_selections(name: str, most: int) -> None:
    k = kernels(*_K, isa="portable")
    x = np.random.default_rng(0).integers(0, 5, (2, 9, 3)).astype(DTYPES[name])
    for last in (0, 1):
        seen = x[:, ::-1] if last else x
        place = seen.argmax(axis=1) if most else seen.argmin(axis=1)
        with guarded((2, 3), np.int64) as y:
            k.functions[f"bitc_arg_{name}"](k.pointer(x), k.pointer(y), 2, 9, 3, 1 - most, last)
            np.testing.assert_array_equal(y, 8 - place if last else place)
    for count in (1, 4, 9):
        order = np.argsort((-1 if most else 1) * x.astype(np.float64), axis=1, kind="stable")[:, :count]
        with guarded((2, count, 3), x.dtype) as values, guarded((2, count, 3), np.int64) as places:
            pointers = (k.pointer(x), k.pointer(values), k.pointer(places))
            k.functions[f"bitc_topk_{name}"](*pointers, 2, 9, 3, count, most)
            np.testing.assert_array_equal(places, order)
            np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis=1))


def test_places_of_doubles_find_nan() -> None:
    k = kernels(*_K, isa="portable")
    x = np.array([1.0, np.nan, 5.0, np.nan])
    with guarded((1,), np.int64) as y:
        k.bitc_arg_f64(k.pointer(x), k.pointer(y), 1, 4, 1, 0, 0)
        assert y[0] == 1
