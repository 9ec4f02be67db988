"""Peaks are measured once, kept and read again; bounds count what a layer's kernel computes and the weights it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runtime.harness import ARM

from bitc import roofline, toolchain
from bitc.codegen.targets import PORTABLE, TARGETS, supported_here
from bitc.explain import FAMILIES
from bitc.resources import runtime_dir
from bitc.roofline import KINDS, MEMORY_BYTES, Bound, Peaks, arithmetic, bound, measure, peaks_of
from bitc.toolchain import Compiler

SOME = Peaks(dict.fromkeys(KINDS, 100.0), dict.fromkeys(MEMORY_BYTES, 10.0))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, compiler: Compiler) -> list[str]:
    """Names of targets whose peaks were measured; nothing is."""
    asked: list[str] = []

    def measured(target: Any) -> Peaks:
        asked.append(target.name)
        return SOME

    monkeypatch.setattr(roofline, "measure", measured)
    return asked


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.isa not in ARM])
def test_the_probes_are_clean_c_for_every_target_of_this_compiler(
    name: str, compiler: Compiler, tmp_path: Path
) -> None:
    source = Path(roofline.__file__).with_name("roofline.c")
    flags = (*TARGETS[name].cflags, f"-I{runtime_dir()}", *toolchain.STRICT_WARNINGS, "-O1", "-Wno-missing-prototypes")
    assert toolchain.compile_shared(source, tmp_path / "probe.so", flags).is_file()


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if supported_here(target)])
def test_every_peak_and_every_size_of_memory_is_measured(
    name: str, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "_TRY_SECONDS", 0.0)
    monkeypatch.setattr(roofline, "_TRIES", 1)
    monkeypatch.setattr(roofline, "MEMORY_BYTES", MEMORY_BYTES[:2])
    found = measure(TARGETS[name])
    assert tuple(found.gops) == KINDS
    assert tuple(found.read) == MEMORY_BYTES[:2]
    assert min(*found.gops.values(), *found.read.values()) > 0


def test_peaks_are_kept_by_target_and_measured_again_on_demand(counted: list[str], tmp_path: Path) -> None:
    file = tmp_path / "new" / "peaks.json"
    assert peaks_of(PORTABLE, cache=file) == SOME
    assert peaks_of(PORTABLE, cache=file) == SOME
    assert counted == ["portable"]
    peaks_of(TARGETS["avx2"], cache=file)
    peaks_of(PORTABLE, cache=file)
    assert counted == ["portable", "avx2"]
    peaks_of(PORTABLE, fresh=True, cache=file)
    assert counted == ["portable", "avx2", "portable"]


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"gops": {}, "read": {}}}'])
def test_a_file_that_cannot_be_read_is_written_again(text: str, counted: list[str], tmp_path: Path) -> None:
    file = tmp_path / "peaks.json"
    file.write_text(text, encoding="utf-8")
    peaks_of(PORTABLE, cache=file)
    peaks_of(PORTABLE, cache=file)
    assert counted == ["portable"]


def test_a_folder_that_cannot_be_made_does_no_harm(counted: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert peaks_of(PORTABLE, cache=tmp_path / "file" / "peaks.json") == SOME


def test_another_compiler_or_version_is_another_machine(
    counted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "peaks.json"
    for version in ("cc 1", "cc 2", "cc 1"):
        monkeypatch.setattr(roofline, "find_compiler", lambda version=version: Compiler(("cc",), "gcc", version))
        peaks_of(PORTABLE, cache=file)
    monkeypatch.setattr("bitc.__version__", "0.0.0")
    peaks_of(PORTABLE, cache=file)
    assert len(counted) == 3


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert roofline.cache_file() == tmp_path / "bitc" / "peaks.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert roofline.cache_file().parts[-3:] == (".cache", "bitc", "peaks.json")


def layer(op: str, form: str, macs: int = 1000, **more: object) -> dict[str, Any]:
    return {"op": op, "form": form, "macs": macs, "shape": [1, 1, 1, 10], **more}


def test_weights_that_are_zero_are_no_operations() -> None:
    sparse = bound(layer("k.fsparse", "float32, sparse", density=0.25), SOME, 1)
    assert sparse is not None
    assert sparse.operations == 500


def test_every_kernel_that_multiplies_has_an_arithmetic() -> None:
    for op, family in FAMILIES.items():
        form = {"float": "float32", "bits": "1x1 bit", "integers": "int8 x int8", "": "float32"}[family.kind]
        assert arithmetic(layer(op, form)) in KINDS, op


def test_bit_planes_count_each() -> None:
    assert bound(layer("k.bconv_acc", "1x1 bit"), SOME, 0) == Bound(2e-8, "bits", 2000)
    assert bound(layer("k.bconv_bits", "3 planes x 1 bit"), SOME, 0) == Bound(6e-8, "bits", 6000)
    assert bound(layer("k.pair_acc", "2x2 bits by table"), SOME, 0) == Bound(4e-8, "bits", 4000)


def test_weights_that_are_read_once_bound_a_dense_layer() -> None:
    peaks = Peaks(SOME.gops, {1024: 40.0, 1 << 20: 8.0})
    dense = layer("k.iconv", "int8 x int8", 1000, size=[1, 1])
    assert bound(dense, peaks, 1000) == Bound(1000 / 40 / 1e9, "weights", 2000)
    assert bound(dense, peaks, 5000) == Bound(1000 / 40 / 1e9, "weights", 2000)
    assert bound(dense, peaks, 1 << 21) == Bound(1000 / 8 / 1e9, "weights", 2000)
    assert bound(layer("k.iconv", "int8 x int8", 1000, size=[10, 10]), peaks, 1000) == Bound(2e-8, "bytes", 2000)


def test_fewer_multiplications_than_the_model_states_are_counted_as_such() -> None:
    direct, fewer = (
        bound(layer(op, "int16 x int16", 9000, size=[10, 10]), SOME, 0) for op in ("k.iconv", "k.iwinograd")
    )
    assert direct is not None
    assert fewer == Bound(direct.seconds * 4 / 9, "words", 8000)


@pytest.mark.parametrize("form", ["float64", "int32"])
def test_plain_loops_have_no_bound(form: str) -> None:
    assert bound(layer("k.matmul", form), SOME, 0) is None
    assert bound(layer("k.map", "elementwise f32", 0), SOME, 0) is None
