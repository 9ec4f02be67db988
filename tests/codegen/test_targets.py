"""Targets: found by name, near misses named, kernels for every one of them, features as the kernel reports them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bitc.codegen import TARGETS, Target, native, supported_here, target
from bitc.codegen.runtime_files import available, files_defining
from bitc.codegen.targets import cpu_features
from bitc.errors import OptionError
from bitc.resources import runtime_dir

FAMILIES = (
    "bconv_acc", "bconv_bits", "bconv_grouped_acc", "bconv_grouped_bits", "pack_f32", "unpack_f32", "fconv", "fconv_grouped",
    "fconv_w1", "fdepthwise",
)  # fmt: skip


def test_near_misses_are_named() -> None:
    with pytest.raises(OptionError, match="did you mean avx2"):
        target("avx")
    with pytest.raises(OptionError, match="targets: portable, avx2, avx512, neon, neon_dot, neon_i8mm, native"):
        target("quantum")


def test_native_is_the_last_target_that_runs_here() -> None:
    assert supported_here(native())
    later = list(TARGETS.values())[list(TARGETS.values()).index(native()) + 1 :]
    assert not any(map(supported_here, later))
    assert target("native") is native()
    assert supported_here(target("portable"))


@pytest.mark.parametrize("t", TARGETS.values(), ids=lambda t: t.name)
def test_every_target_has_every_kernel(t: Target) -> None:
    for family in FAMILIES:
        assert files_defining([available(f"bitc_{family}_{t.isa}", t.isa, t.lesser)])


@pytest.mark.parametrize("t", TARGETS.values(), ids=lambda t: t.name)
def test_blocks_are_those_of_the_kernels(t: Target) -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in runtime_dir().glob("*.h"))
    for macro, block in (("BITC_BCONV_BLOCK", t.bits.block), ("BITC_FCONV_BLOCK", t.float_block)):
        found = re.findall(rf"#define ({macro}_\w+) (\d+)\n", texts)
        own = [dict(found).get(f"{macro}_{isa.upper()}") for isa in (t.isa, *t.lesser)]
        assert next(number for number in own if number) == str(block)
        assert not t.lesser or own[-1] == str(block), "portable kernels serve where there are no others"


def test_features_are_read_from_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor : 0\nflags\t\t: fpu avx2 fma\n\nprocessor : 1\nflags : fpu\n", encoding="ascii")
    assert cpu_features(listing) == {"fpu", "avx2", "fma"}
    assert cpu_features(tmp_path / "absent") == frozenset()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    cpu_features.cache_clear()
    assert cpu_features(listing) == frozenset()
    arm = tmp_path / "arm"
    arm.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n", encoding="ascii")
    assert cpu_features(arm) == {"fp", "asimd", "asimddp"}
    cpu_features.cache_clear()
