"""float16 in C against NumPy: every one of them, and rounding at every edge between two."""

import numpy as np

from .harness import kernels

ALL = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)


def test_every_half_is_read_and_written() -> None:
    k = kernels("half.h", isa="portable").functions
    read = np.array([k["bitc_from_f16"](bits) for bits in ALL.tolist()], np.float32)
    wanted = ALL.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(read, wanted)
    np.testing.assert_array_equal(np.signbit(read), np.signbit(wanted))
    numbers = ~np.isnan(wanted)
    written = np.array([k["bitc_to_f16"](number) for number in wanted[numbers].tolist()], np.uint16)
    np.testing.assert_array_equal(written, ALL[numbers])
    assert all(np.isnan(np.uint16(k["bitc_to_f16"](number)).view(np.float16)) for number in wanted[~numbers].tolist())


def test_numbers_between_two_halves_are_rounded() -> None:
    """Half-way between neighbours, and one double beside that; beyond the largest; specials."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middle = (halves[1:] + halves[:-1]) / 2
    edges = np.concatenate([halves, middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf)])
    edges = np.concatenate([edges, [65519.999, 65520.0, 65536.0, 1e9, 1e300, np.inf, 5e-324, 1e-30]])
    k = kernels("half.h", isa="portable").functions
    for numbers in (edges, -edges):
        found = np.array([k["bitc_round_f16"](number) for number in numbers.tolist()])
        with np.errstate(over="ignore"):
            wanted = numbers.astype(np.float16).astype(np.float64)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
    assert np.isnan(k["bitc_round_f16"](float("nan")))
