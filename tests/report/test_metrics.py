"""Each measure is its formula."""

from __future__ import annotations

import pytest

from bitc.report.metrics import costs, weight_bytes
from tests.report.making import product

BINARY = product(macs=6400, weights=100)
BYTES = product(macs=10, weights=30, weight_bits=8, activation_bits=8)
FLOAT = product(macs=5, weights=20, weight_bits=32, activation_bits=32)
SPIKES = product(macs=1000, weights=50, weight_bits=32, activation_bits=1, spikes=True, firing=0.25)


def test_macs_by_width_and_what_follows() -> None:
    found = costs([BINARY, BYTES, FLOAT])
    assert found.macs == {"1x1": 6400, "8x8": 10, "32x32": 5}
    assert found.ace == 6400 + 10 * 64 + 5 * 1024
    assert found.linear_ace == 6400 * 4 + 10 * 8 + 5 * 32
    assert (found.bops, found.flops, found.bops_64_flops) == (6400, 15, 115)
    assert found.speed_up == pytest.approx(6415 / 115)
    assert found.compression == pytest.approx(150 / (50 + 100 / 32))
    assert found.energy_pj == pytest.approx(6400 * 0.9 + 15 * 4.6)
    assert found.ns_ace is None


def test_spikes_count_by_how_often_they_fire() -> None:
    found = costs([SPIKES])
    assert (found.s_ace, found.ns_ace) == (32_000, 8_000)
    assert found.energy_pj == pytest.approx(225)


def test_a_product_of_activations_has_no_weights() -> None:
    found = costs([product(macs=8, weights=0, weight_bits=0, other_bits=1, activation_bits=32)])
    assert (found.macs, found.ace, found.compression) == ({"1x32": 8}, 256, 1.0)


def test_nothing_costs_nothing() -> None:
    found = costs([])
    assert (found.macs, found.ace, found.speed_up, found.compression) == ({}, 0, 1.0, 1.0)


def test_weights_are_packed_to_the_bit() -> None:
    found = weight_bytes([BINARY, BYTES, FLOAT, BINARY], other=7)
    assert found.by_bits == {1: 25, 8: 30, 32: 80}
    assert found.total == 142
