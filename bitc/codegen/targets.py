"""Targets as data: which kernels of ``runtime/``, which compiler flags, which orders of constants, which CPU features."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from difflib import get_close_matches

from bitc.cpu import cpu_features
from bitc.errors import Diagnostic, OptionError
from bitc.ir.packing import WeightForm


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of CPU. ``isa`` ends the names of its kernels, ``features`` are named as in Linux's /proc/cpuinfo.

    ``bits`` is the order of bit weights in its convolutions, ``float_block`` the channels in a block of float weights;
    ``little_endian``: the lowest byte of a number surely comes first. Where there is no kernel of ``isa``, one of ``lesser`` serves,
    the first that there is; they take the same orders of constants.
    """

    name: str
    description: str
    isa: str
    bits: WeightForm
    float_block: int
    cflags: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    little_endian: bool = False
    lesser: tuple[str, ...] = ()


PORTABLE = Target("portable", "C99, any CPU", "portable", WeightForm(8), 8)
AVX2 = Target(
    "avx2",
    "x86-64 with AVX2 and FMA (2013 and later)",
    "avx2",
    WeightForm(32, byte_rows=True),
    8,
    ("-mavx2", "-mfma", "-mpopcnt"),
    frozenset({"avx2", "fma", "popcnt"}),
    little_endian=True,
)
AVX512 = Target(
    "avx512",
    "x86-64 with AVX-512, VPOPCNTDQ and VNNI (Ice Lake, Zen 4 and later)",
    "avx512",
    WeightForm(32),
    16,
    (
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vpopcntdq", "-mavx512vnni"),
        *("-mfma", "-mpopcnt"),
    ),
    frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vpopcntdq", "avx512_vnni", "fma", "popcnt"}),
    little_endian=True,
)
NEON = Target(
    "neon",
    "AArch64 (64-bit ARM, little endian), any",
    "neon",
    WeightForm(8),
    8,
    ("-march=armv8-a",),
    frozenset({"asimd"}),
    little_endian=True,
    lesser=("portable",),
)
NEON_DOT = Target(
    "neon_dot",
    "AArch64 with dot products of bytes (Cortex-A55, A76, Neoverse N1 and later)",
    "neon_dot",
    WeightForm(8),
    8,
    ("-march=armv8.2-a+dotprod",),
    frozenset({"asimd", "asimddp"}),
    little_endian=True,
    lesser=("neon", "portable"),
)
NEON_I8MM = Target(
    "neon_i8mm",
    "AArch64 with matrix products of bytes (Cortex-A510, A710, Neoverse V1, N2 and later)",
    "neon_i8mm",
    WeightForm(8),
    8,
    ("-march=armv8.2-a+dotprod+i8mm",),
    frozenset({"asimd", "asimddp", "i8mm"}),
    little_endian=True,
    lesser=("neon", "portable"),
)
TARGETS: dict[str, Target] = {t.name: t for t in (PORTABLE, AVX2, AVX512, NEON, NEON_DOT, NEON_I8MM)}
"""All targets by name, the plainest first; ``native`` names the last of them that runs here."""


@dataclass(frozen=True, slots=True)
class Family:
    """Targets that one library holds, the plainest first, which every machine of the kind runs; ``machines`` are what the system calls
    that kind."""

    name: str
    description: str
    targets: tuple[Target, ...]
    machines: tuple[str, ...]


FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family(
            "auto_x86", "x86-64: AVX-512, AVX2 or C99, whichever runs", (PORTABLE, AVX2, AVX512), ("x86_64", "amd64")
        ),
        Family(
            "auto_arm",
            "AArch64: NEON with matrix or dot products of bytes, NEON, or C99, whichever runs",
            (PORTABLE, NEON, NEON_DOT, NEON_I8MM),
            ("aarch64", "arm64"),
        ),
    )
}
"""Libraries of several targets by name; ``auto`` is that of this machine."""


def family(name: str) -> Family | None:
    """The family called ``name``, ``auto`` being that of this machine; None where there is none of that name.

    >>> [t.name for t in family("auto_x86").targets]
    ['portable', 'avx2', 'avx512']
    """
    if name == "auto":
        here = platform.machine().lower()
        return next((f for f in FAMILIES.values() if here in f.machines), None)
    return FAMILIES.get(name)


def target(name: str) -> Target:
    """The target called ``name``; ``native`` is the best one for this machine, the name of a family that one of its targets which this
    machine would take. Raises :class:`OptionError` with near misses.

    >>> target("avx2").isa
    'avx2'
    """
    if name == "native":
        return native()
    if (several := family(name)) is not None:
        return [t for t in several.targets if t is PORTABLE or supported_here(t)][-1]
    if name not in TARGETS:
        known = [*TARGETS, "native", "auto", *FAMILIES]
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "targets: " + ", ".join(known)
        raise OptionError(Diagnostic("O035", f"there is no target {name!r}", hint=hint))
    return TARGETS[name]


def native() -> Target:
    """The last target of :data:`TARGETS` that this machine runs."""
    return [t for t in TARGETS.values() if supported_here(t)][-1]


def supported_here(t: Target) -> bool:
    """Whether this machine executes what ``t`` is compiled to."""
    return t.features <= cpu_features()
