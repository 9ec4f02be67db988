"""Codes of few bits: every choice of levels, every width, there and back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitc.ir.coded_weights import WIDTHS, coded, pack_codes_of_weights, unpack_codes_of_weights


@given(st.data(), st.integers(1, 40), st.integers(1, 5), st.sampled_from([1, 8, 16]), st.sampled_from([1, 4]))
def test_weights_come_back(data: st.DataObject, channels: int, entries: int, lanes: int, side: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    step, count = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 16))
    lowest = rng.integers(-128, 128 - step * (count - 1), channels)
    w = lowest[:, np.newaxis] + step * rng.integers(0, count, (channels, entries * side))
    found = coded(w)
    assert found is not None
    assert found.bits == next(bits for bits in WIDTHS if found.codes.max() < 2**bits)
    packed = pack_codes_of_weights(found, lanes, side)
    assert packed.nbytes * 8 == packed.shape[0] * lanes * 8 // found.bits * entries * side * found.bits
    np.testing.assert_array_equal(unpack_codes_of_weights(packed, found.bits, channels), found.codes)
    np.testing.assert_array_equal(found.weights(), w)


def test_what_has_no_codes() -> None:
    assert coded(np.arange(17)[np.newaxis]) is None
    assert coded(np.array([[0, 1], [0, 129]])) is None
    assert coded(np.zeros((3, 0), int)) is None
    constant = coded(np.full((2, 3), -7))
    assert constant is not None
    assert (constant.bits, constant.step, constant.codes.max()) == (2, 1, 0)
