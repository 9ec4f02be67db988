"""``runtime/base.h`` against Python integers, and every header under every compiler's strict warnings."""

import random

import pytest

from .harness import COMPILERS, FLAGS, RUNTIME, check_compiles, kernels


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


def _isa_of(header: str) -> str:
    return next((isa for isa in FLAGS if header.endswith(f"_{isa}.h")), "portable")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("header", sorted(path.name for path in RUNTIME.glob("*.h")))
def test_header_is_clean_under_strict_flags(header: str, compiler: str) -> None:
    check_compiles(header, isa=_isa_of(header), compiler=compiler)
