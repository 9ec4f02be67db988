"""A library of several targets (``--target auto``): which kernels run, what BITC_ISA changes, sizes, symbols, threads, extensions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bitc
from bitc.artifact import Artifact
from bitc.codegen.targets import FAMILIES, TARGETS, family, native, supported_here, target
from bitc.errors import OptionError
from bitc.toolchain import STRICT_WARNINGS
from tests.machines.machines import driver
from tests.runtime.harness import COMPILERS

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits_mixed_w8_w1.onnx"
HERE = family("auto")

pytestmark = [
    pytest.mark.usefixtures("compiler"),
    pytest.mark.skipif(HERE is not FAMILIES["auto_x86"], reason=f"no family of x86 targets on {platform.machine()}"),
]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    with np.load(MODEL.with_name("digits_test.npz")) as data:
        return np.asarray(data["x"][:5])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return bitc.compile(MODEL, target="auto", out=tmp_path_factory.mktemp("auto") / "made")


def test_the_best_target_runs(made: Artifact, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITC_ISA", raising=False)
    session = made.session()
    assert session.isa == native().name == target("auto").name
    alone = bitc.compile(MODEL, target="native", out=tmp_path / "alone").session()
    assert np.array_equal(session.run(None, {"x": x})[0], alone.run(None, {"x": x})[0])


@pytest.mark.parametrize("name", [t.name for t in FAMILIES["auto_x86"].targets])
def test_bitc_isa_forces_one(
    name: str, made: Artifact, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITC_ISA", name)
    if not supported_here(TARGETS[name]):
        with pytest.raises(OptionError, match=f"has no kernels for BITC_ISA='{name}' that this CPU runs"):
            made.session()
        return
    alone = bitc.compile(MODEL, target=name, out=tmp_path / "alone").session()
    session = made.session()
    assert session.isa == name
    assert np.array_equal(session.run(None, {"x": x})[0], alone.run(None, {"x": x})[0])


def test_a_target_that_is_not_held(made: Artifact, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITC_ISA", raising=False)
    session = made.session()
    monkeypatch.setenv("BITC_ISA", "neon")
    with pytest.raises(OptionError, match="it holds"):
        made.session()
    with pytest.raises(OptionError, match="BITC_ISA='neon'"):
        session.run(None, {"x": x})


def test_sizes_are_those_of_the_parts(made: Artifact) -> None:
    manifest, parts = made.manifest, made.manifest["variants"]
    assert manifest["target"] == "auto_x86"
    assert set(parts) == {"portable", "avx2", "avx512"}
    assert manifest["arena_bytes"] == max(part["arena_bytes"] for part in parts.values())
    assert manifest["weight_bytes"] == sum(part["weight_bytes"] for part in parts.values())
    header = made.header.read_text(encoding="utf-8")
    assert f"_ARENA_BYTES {manifest['arena_bytes']}\n" in header
    kernels = {layer["kernel"] for name, part in parts.items() for layer in part["layers"] if layer["macs"]}
    assert all(any(kernel.endswith(f"_{name}") for kernel in kernels) for name in parts), kernels


def test_three_symbols_and_no_state(made: Artifact, tmp_path: Path) -> None:
    elf = pytest.importorskip("elftools.elf.elffile")
    with made.library.open("rb") as stream:
        symbols = elf.ELFFile(stream).get_section_by_name(".dynsym").iter_symbols()
        defined = {s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF" and s["st_info"]["bind"] == "STB_GLOBAL"}
    name = made.name
    assert {s for s in defined if s.startswith(name)} == {f"{name}_run", f"{name}_isa", f"{name}_metadata"}
    compiled = tmp_path / "dispatcher.o"
    subprocess.run(["gcc", "-std=c99", "-O2", "-c", "-o", str(compiled), str(made.source)], check=True)
    with compiled.open("rb") as stream:
        sections = {s.name: s["sh_size"] for s in elf.ELFFile(stream).iter_sections()}
    assert sections.get(".data", 0) == sections.get(".bss", 0) == 0


@pytest.mark.parametrize("compiler_name", COMPILERS)
def test_clean_under_strict_warnings(made: Artifact, compiler_name: str) -> None:
    sources = [(made.source, []), *(
        (made.directory / f"{part['part']}.c", part["cflags"]) for part in made.manifest["variants"].values()
    )]  # fmt: skip
    for source, flags in sources:
        command = [compiler_name, "-std=c99", "-fsyntax-only", "-O1", *STRICT_WARNINGS, *flags, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]


def test_threads_and_an_extension(x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITC_ISA", raising=False)
    built = bitc.compile(MODEL, target="auto", out=tmp_path / "made", threads=2, emit=("c", "pyext"))
    alone = bitc.compile(MODEL, target="native", out=tmp_path / "alone").session()
    for threads in (1, 2):
        session = bitc.load(built.directory, threads=threads)
        assert np.array_equal(session.run(None, {"x": x})[0], alone.run(None, {"x": x})[0])


def test_the_same_bytes_twice(made: Artifact, tmp_path: Path) -> None:
    again = bitc.compile(MODEL, target="auto_x86", out=tmp_path / "again", emit=("c",))
    for path in again.directory.iterdir():
        assert path.read_bytes() == (made.directory / path.name).read_bytes(), path.name


def test_layers_of_several_targets_are_not_timed(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be timed") as refused:
        bitc.compile(MODEL, target="auto", out=tmp_path / "made", profile=True)
    assert refused.value.diagnostics[0].code == "O044"


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake here")
def test_a_project_of_cmake_takes_the_folder(
    made: Artifact, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is compiled with its own flags, and what runs is the session's, to the bit."""
    name = made.name
    (tmp_path / "main.c").write_text(driver(made.manifest, len(x)))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(main C)\n"
        f'add_subdirectory("{made.directory}" made)\nadd_executable(main main.c)\ntarget_link_libraries(main PRIVATE {name})\n'
    )
    for step in (["-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Release"], ["--build", "build"]):
        done = subprocess.run(["cmake", *step], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for isa in (t.name for t in FAMILIES["auto_x86"].targets if supported_here(t)):
        monkeypatch.setenv("BITC_ISA", isa)
        (wanted,) = made.session().run(None, {"x": x})
        run = subprocess.run([tmp_path / "build" / "main"], input=x.tobytes(), capture_output=True, check=True)
        assert run.stdout == wanted.tobytes(), isa
    refused = subprocess.run(
        [tmp_path / "build" / "main"], input=x.tobytes(), env={**os.environ, "BITC_ISA": "neon"}, check=False
    )
    assert refused.returncode == 1
