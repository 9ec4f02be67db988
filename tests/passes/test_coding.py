"""``coding``: levels, scales and offsets found in floats again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitc.passes.coding import Blocked, Coding, WeightCoding, coding_of, weight_coding
from bitc.passes.facts import Finite, Integers, Range

F32 = np.float32


def values_of(coding: Coding) -> np.ndarray:
    return coding.offset + coding.scale * coding.levels.values()


@pytest.mark.parametrize(
    ("values", "levels", "scale", "offset"),
    [
        ((-1, 1), "{-1,1}", 1.0, 0),
        ((-0.3, 0.3), "{-1,1}", 0.3, 0),
        ((0, 1), "{0,1}", 1.0, 0),
        ((0, 0.7), "{0,1}", 0.7, 0),
        ((-1, 0, 1), "{-1,0,1}", 1.0, 0),
        ((0, 1 / 3, 2 / 3, 1), "{0,1,2,3}", 1 / 3, 0),
        ((-1.5, -0.5, 0.5, 1.5), "{-3,-1,1,3}", 0.5, 0),
        ((0.5, 1.5), "{1,3}", 0.5, 0),
        ((-2, -1, 0, 1), "{-2,-1,0,1}", 1.0, 0),
        ((-0.5, 0, 1), "{-1,0,1,2}", 0.5, 0),
        ((0, 1, 3), "{0,1,2,3}", 1.0, 0),
        ((1, 4), "{1,4}", 1.0, 0),
        ((0.1, 1.1), "{1,11}", 0.1, 0),
        ((0, 1, 5), "{0..5}", 1.0, 0),
        ((-1, 0.3, 1), "{-10..10}", 0.1, 0),
        ((0.1234, 0.7891), "{-1,1}", 0.33285, 0.45625),
        ((0.1234, 1.1234, 2.1234), "{0,1,2}", 1.0, 0.1234),
        (tuple(2.0**-k for k in range(8, -1, -1)), "{1..256}", 2.0**-8, 0),
    ],
)
def test_codes_of_values(values: tuple[float, ...], levels: str, scale: float, offset: float) -> None:
    floats = np.asarray(values, F32)
    found = coding_of(Finite(tuple(map(float, floats))))
    assert isinstance(found, Coding), found
    assert str(found.levels) == levels
    assert (found.scale, found.offset) == pytest.approx((scale, offset), rel=1e-6)
    assert np.abs(floats[:, np.newaxis] - values_of(found)).min(axis=1).max() < 1e-6
    assert found.same == (offset == 0)


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (None, "not proved to take few values"),
        (Range(0, 1), "not proved to take few values"),
        (Finite((1.0,)), "constant"),
        (Finite((-np.inf, 1.0)), "infinite"),
        (Integers(0, 1 << 17), "more than 16 bits"),
        (Finite((0.0, 1.0, 1.00013)), "not evenly spaced"),
    ],
)
def test_what_are_no_codes(fact: Finite | Integers | Range | None, reason: str) -> None:
    found = coding_of(fact)
    assert isinstance(found, Blocked)
    assert reason in found.reason


def test_sixteen_unsigned_bits_are_codes_around_their_middle() -> None:
    found = coding_of(Integers(0, 65535))
    assert isinstance(found, Coding)
    assert (found.levels.lo, found.levels.hi, found.offset) == (-32768, 32767, 32768)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_quantized_weights_are_found_whatever_the_scale(data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    bits = data.draw(st.integers(2, 8))
    terms = data.draw(st.sampled_from([1, 2, 9, 64, 576]))
    scales = F32(2.0 ** generator.uniform(-20, 8, 5))
    codes = generator.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (5, terms))
    weights = codes.astype(F32) * scales[:, np.newaxis]
    found = weight_coding(weights, 0)
    assert isinstance(found, WeightCoding)
    made = found.codes * found.scales[:, np.newaxis] + found.offsets[:, np.newaxis]
    np.testing.assert_allclose(made, weights, rtol=4e-7, atol=4e-7 * np.abs(weights).max(axis=1).max())
    assert np.abs(found.codes).max() <= np.abs(codes).max()


@pytest.mark.parametrize("seed", range(4))
def test_floats_are_no_codes(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(4, 9)).astype(F32)
    assert isinstance(weight_coding(weights, 0), Blocked)


def test_magnitudes_an_ulp_apart_are_one() -> None:
    ulp = np.nextafter(F32(0.3), F32(1))
    found = weight_coding(np.asarray([[0.3, -ulp, 0.3], [2, -2, 2]], F32), 0)
    assert isinstance(found, WeightCoding)
    assert found.codes.tolist() == [[1, -1, 1], [1, -1, 1]]
    assert found.scales.tolist() == [F32(0.3), 2]
    assert not found.same


def test_zero_channels_and_equal_weights() -> None:
    found = weight_coding(np.asarray([[0, 0], [5, 5], [0, 5]], F32), 0)
    assert isinstance(found, WeightCoding)
    np.testing.assert_array_equal(found.codes * found.scales[:, np.newaxis], [[0, 0], [5, 5], [0, 5]])


def test_two_weights_whose_halves_would_cancel_stay_floats() -> None:
    """0.1 and 2.45 are 1.275 less and more 1.175: the file's sum of few terms rounds less than theirs."""
    few = np.asarray([[-2.4526432, -0.14367816]], F32)
    assert isinstance(weight_coding(few, 0), Blocked)
    assert isinstance(weight_coding(np.tile(few, 20), 0), WeightCoding)


def test_two_neighbouring_floats_have_no_middle_to_be_told_apart_by() -> None:
    low = F32(2.2723951)
    for ulps in (1, 2, 3):
        high = low + ulps * np.spacing(low)
        found = coding_of(Finite((float(low), float(high))))
        if ulps == 1:
            assert isinstance(found, Blocked)
            assert "no middle" in found.reason
        else:
            assert isinstance(found, Coding)
            moved = np.array([low, high], F32) - F32(found.offset)
            assert np.rint(moved / found.scale).tolist() == [-1, 1]
