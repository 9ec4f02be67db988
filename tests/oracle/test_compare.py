"""ULP distances and contracts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitc.compare import Contract, first_difference, ulp_distance

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.floats(width=32, min_value=2**-100, max_value=2**100), st.integers(0, 3))
def test_steps_to_the_next_float_are_counted(value: float, steps: int) -> None:
    start = np.float32(value)
    stepped = start
    for _ in range(steps):
        stepped = np.nextafter(stepped, np.float32(0))
    distance = ulp_distance(np.array([start]), np.array([stepped]))[0]
    # Below a power of two the floats lie twice as close as above it.
    assert steps / 2 <= distance <= steps


@given(FINITE, FINITE)
@example(float(np.finfo(np.float32).max), 0.0)
def test_zero_distance_means_equal(a: float, b: float) -> None:
    x, y = np.float32([a]), np.float32([b])
    assert (ulp_distance(x, y)[0] == 0) == (x[0] == y[0])


def test_special_values() -> None:
    inf, nan = np.inf, np.nan
    expected = np.float32([inf, -inf, inf, nan, 1, nan, 0])
    got = np.float32([inf, inf, 1, nan, nan, 1, -0.0])
    assert ulp_distance(expected, got).tolist() == [0, inf, inf, 0, inf, inf, 0]


def test_integers_are_counted_in_ones_without_wrapping() -> None:
    assert ulp_distance(np.array([-128, 5], np.int8), np.array([127, 5], np.int8)).tolist() == [255, 0]
    assert ulp_distance(np.array([True]), np.array([False])).tolist() == [1]


def test_the_floor_measures_what_cancelled() -> None:
    expected, got = np.float32([1e-9]), np.float32([6e-8])
    assert ulp_distance(expected, got)[0] > 1e6
    assert ulp_distance(expected, got, floor=1.0)[0] < 1


def test_first_difference_names_index_values_and_count() -> None:
    expected = np.zeros((2, 3), np.float32) + 1
    got = expected.copy()
    got[0, 1] += 2 * np.spacing(np.float32(1))
    got[1, 2] = 5
    strict = first_difference("y", expected, got, Contract())
    assert strict is not None
    assert (strict.index, strict.wrong, strict.total, strict.ulp) == ((0, 1), 2, 6, 2.0)
    loose = first_difference("y", expected, got, Contract(exact=False, ulp=2))
    assert loose is not None
    assert loose.index == (1, 2)
    assert str(loose).startswith("y[1,2]: expected 1.0, got 5.0 (")
    assert first_difference("y", expected, expected, Contract()) is None


def test_shapes_and_dtypes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"float64\[2\] is compared with float32\[2\]"):
        first_difference("y", np.zeros(2, np.float32), np.zeros(2), Contract())


def test_contract_from_a_manifest() -> None:
    assert Contract.of({"name": "y"}) == Contract(exact=True)
    assert Contract.of({"contract": {"exact": False, "ulp": 4}}) == Contract(exact=False, ulp=4.0)
