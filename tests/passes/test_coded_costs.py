"""When codes of few bits are worth their instructions: by pixels, by bits, by where the weights come from."""

from __future__ import annotations

import pytest

from bitc.passes.coded_costs import CODED_COSTS, CodedCosts, Dense, best

on_each_target = pytest.mark.parametrize("costs", CODED_COSTS.values(), ids=CODED_COSTS)


@on_each_target
@pytest.mark.parametrize("bits", [2, 4])
def test_weights_from_afar_are_codes(costs: CodedCosts, bits: int) -> None:
    assert best(Dense(1, 4096, 11008, 1 << 28), bits, costs) == "few"


@on_each_target
def test_four_bits_at_hand_are_bytes(costs: CodedCosts) -> None:
    assert {best(Dense(pixels, 256, 256, 65536), 4, costs) for pixels in (1, 4)} == {"int8"}


@on_each_target
@pytest.mark.parametrize("bits", [2, 4])
def test_many_pixels_take_the_smaller_form(costs: CodedCosts, bits: int) -> None:
    assert best(Dense(128, 256, 256, 65536), bits, costs) in ("few", "rows")


@on_each_target
def test_a_block_that_is_mostly_empty_is_no_block(costs: CodedCosts) -> None:
    """One channel: codes compute a whole block of four vectors for it, bytes one vector."""
    assert best(Dense(1, 4096, 1, 4096), 2, costs) == "int8"
