"""``runtime/base.h`` against Python integers, and every header under every compiler's strict warnings."""

import random

import pytest

from .harness import ARM, COMPILERS, FLAGS, RUNTIME, check_compiles, kernels, why_not


def test_popcount64_counts_one_bits() -> None:
    k = kernels("base.h", isa="portable")
    rng = random.Random(1)
    values = [0, 1, 2**63, 2**64 - 1, *(1 << i for i in range(64)), *(rng.getrandbits(64) for _ in range(1000))]
    assert [k.bitc_popcount64(v) for v in values] == [v.bit_count() for v in values]


def test_word_mask_covers_exactly_the_channels() -> None:
    k = kernels("base.h", isa="portable")
    for channels in range(1, 200):
        words = k.bitc_words(channels)
        joined = sum(k.bitc_word_mask(channels, i) << (64 * i) for i in range(words))
        assert joined == (1 << channels) - 1


def _headers(isa: str) -> list[str]:
    """All headers of one instruction set; those without a suffix are portable."""
    suffixed = {name: [p.name for p in RUNTIME.glob(f"*_{name}.h")] for name in FLAGS}
    others = {p.name for p in RUNTIME.glob("*.h")} - {name for names in suffixed.values() for name in names}
    return sorted([*suffixed[isa], *(others if isa == "portable" else ())])


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("target", FLAGS)
def test_headers_are_clean_under_strict_flags(target: str, compiler: str) -> None:
    if target in ARM and (reason := why_not(target)) is not None:
        pytest.skip(reason)
    check_compiles(*_headers(target), isa=target, compiler=compiler)
