"""The fuzzer's networks reach the kernels: every k op, in a network that ``reached.json`` names."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fuzz.reached import REACHABLE, SEED, TABLE, kernels

from bitc.fuzz import networks_of_file

REACHED = json.loads(TABLE.read_text())
NOT_REACHED = {
    "k.events",
    "k.fconv_events",
    "k.pick_bits",
    "k.plain_conv",
}
"""They need inputs that are mostly zeros, many channels with few rows of weights, or integers too wide to be codes; they have tests of
their own."""


def test_the_table_has_every_kernel() -> None:
    """A new k op is found by the fuzzer, or said here not to be."""
    assert set(REACHED) | NOT_REACHED == REACHABLE
    assert not set(REACHED) & NOT_REACHED


@pytest.mark.parametrize("kernel", REACHED)
def test_a_network_has_the_kernel(kernel: str) -> None:
    target, index, number = REACHED[kernel]
    with np.errstate(all="ignore"):
        assert kernel in kernels(networks_of_file(SEED, index)[number], target)
