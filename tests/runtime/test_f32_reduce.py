"""Float reductions, softmax and the exponential against NumPy in float64."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .harness import Kernels, guarded, kernels

Array = npt.NDArray[Any]
SHAPES = tuple((outer, n, inner) for outer in (1, 2) for n in (1, 2, 3, 4, 5, 63, 130) for inner in (1, 2, 63, 64, 65))
F32 = np.float32
U = 2.0**-24


def _load() -> Kernels:
    return kernels("f32_softmax.h", isa="portable")


def _reduce(name: str, x: Array) -> Array:
    k = _load()
    outer, length, inner = x.shape
    with guarded((outer, inner), F32) as y:
        k.functions[f"bitc_freduce_{name}"](k.pointer(x), k.pointer(y), outer, length, inner)
        return y.copy()


def _softmax(name: str, x: Array) -> Array:
    k = _load()
    with guarded(x.shape, F32) as y:
        k.functions[name](k.pointer(x), k.pointer(y), *x.shape)
        in_place = x.copy()
        k.functions[name](k.pointer(in_place), k.pointer(in_place), *x.shape)
        np.testing.assert_array_equal(in_place, y)
        return y.copy()


@pytest.mark.parametrize(("name", "meaning"), [("sum", np.sum), ("mean", np.mean), ("max", np.max), ("min", np.min)])
def test_integers_are_exact(name: str, meaning: Any) -> None:
    for shape in SHAPES:
        x = np.random.default_rng(1).integers(-99, 100, shape).astype(F32)
        assert np.array_equal(_reduce(name, x), meaning(x.astype(np.float64), axis=1).astype(F32)), shape


def test_sum_is_within_the_summation_bound() -> None:
    for shape in SHAPES:
        x = np.random.default_rng(2).standard_normal(shape).astype(F32)
        error = np.abs(_reduce("sum", x) - x.astype(np.float64).sum(1))
        assert (error <= shape[1] * U * 1.01 * np.abs(x).astype(np.float64).sum(1)).all(), shape


@pytest.mark.parametrize(("name", "worst"), [("max", -np.inf), ("min", np.inf)])
def test_max_and_min_of_special_values(name: str, worst: float) -> None:
    for inner in (1, 3):
        for length in (1, 4, 7):
            assert (_reduce(name, np.full((1, length, inner), worst, F32)) == worst).all()
            for position in range(length):
                x = np.ones((1, length, inner), F32)
                x[0, position] = np.nan
                assert np.isnan(_reduce(name, x)).all(), (length, position)


def test_softmax_is_within_its_bound() -> None:
    """Relative: the rounding of x - max (times its size), 1 ULP each of exp, sum and division."""
    for shape, offset in itertools.product(SHAPES, (0, 500)):  # e^500 is beyond float32
        x = (5 * np.random.default_rng(3).standard_normal(shape) + offset).astype(F32)
        exact = x.astype(np.float64) - x.max(1, keepdims=True)
        expected = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
        bound = (2 * np.abs(exact).max() + shape[1] + 6) * U * expected
        assert (np.abs(_softmax("bitc_fsoftmax", x) - expected) <= bound).all(), shape
        log_bound = (2 * np.abs(exact).max() + shape[1] + 12) * U
        error = np.abs(_softmax("bitc_flog_softmax", x) - np.log(expected))
        assert (error <= log_bound).all(), shape


def test_softmax_of_special_values() -> None:
    far = np.array([0, -200, -np.inf, 0], F32).reshape(1, 4, 1)
    assert _softmax("bitc_fsoftmax", far).ravel().tolist() == [0.5, 0, 0, 0.5]
    huge = np.array([3e38, 3e38, -3e38], F32).reshape(1, 3, 1)
    assert _softmax("bitc_fsoftmax", huge).ravel().tolist() == [0.5, 0.5, 0]
    for poison in (np.nan, np.inf):
        x = np.zeros((1, 5, 3), F32)
        x[0, 2, 1] = poison
        poisoned = np.isnan(_softmax("bitc_fsoftmax", x))
        assert poisoned[:, :, 1].all()
        assert not poisoned[:, :, (0, 2)].any()


def test_exponential_is_within_one_ulp() -> None:
    """A softmax over [0, x] hides it, so the row's numerators are read: with max 0 and a sum of 1, y = exp(x)."""
    values = np.concatenate([np.linspace(-103, 0, 200001), -np.logspace(-9, 0, 10000)]).astype(F32)
    quotients = _softmax("bitc_fsoftmax", np.stack([np.zeros_like(values), values])[None])[0]
    numerators = np.exp(values.astype(np.float64))
    ulp = np.maximum(np.spacing(numerators.astype(F32)).astype(np.float64), 2.0**-149)
    bound = 1.01 * ulp + 2 * U * numerators + 2.0**-149  # exp, sum and division
    assert (np.abs(quotients[1] - numerators / (1 + numerators)) <= bound).all()


def test_a_nan_anywhere_makes_the_row_nan() -> None:
    for length in (1, 15, 16, 17, 40, 300):
        for at in {0, length // 2, length - 1}:
            x = np.zeros((1, length, 1), F32)
            x[0, at] = np.nan
            for function in ("bitc_fsoftmax", "bitc_flog_softmax"):
                assert np.isnan(_softmax(function, x)).all(), (function, length, at)
