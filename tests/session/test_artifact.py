"""Artefact folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from session import abi

from bitc.artifact import Artifact, check_emit, default_name, write_artifact
from bitc.errors import OptionError, ToolchainError
from bitc.toolchain import Compiler


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_sources_only_need_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    artifact = write_artifact(tmp_path / "deep" / "toy", "toy", abi.texts(), emit=["c"], binaries={"toy.ir.npz": b"PK"})
    assert names(artifact.directory) == {*abi.texts(), "toy.ir.npz"}
    assert artifact.source.read_text() == abi.texts()["toy.c"]
    assert names(tmp_path / "deep") == {"toy"}


def test_a_failing_compiler_leaves_the_old_artefact(tmp_path: Path, compiler: Compiler) -> None:
    out = tmp_path / "toy"
    write_artifact(out, "toy", abi.texts(), emit=["c", "so"])
    before = {entry.name: entry.read_bytes() for entry in out.iterdir()}
    with pytest.raises(ToolchainError, match=r"the C compiler failed on toy\.c"):
        write_artifact(out, "toy", abi.texts() | {"toy.c": "int broken(void) { return missing; }\n"}, emit=["so"])
    assert {entry.name: entry.read_bytes() for entry in out.iterdir()} == before
    assert names(tmp_path) == {"toy"}


def test_a_failing_compiler_leaves_nothing_new(tmp_path: Path, compiler: Compiler) -> None:
    with pytest.raises(ToolchainError):
        write_artifact(tmp_path / "toy", "toy", abi.texts() | {"toy.c": "#error no\n"}, emit=["so"])
    assert names(tmp_path) == set()


def test_replacing_keeps_the_users_files_and_drops_stale_ones(tmp_path: Path, compiler: Compiler) -> None:
    out = tmp_path / "toy"
    write_artifact(out, "toy", abi.texts(), emit=["c", "so"])
    (out / "main.c").write_text("int main(void) { return 0; }\n")
    (out / "build").mkdir()
    write_artifact(out, "toy", abi.texts(), emit=["c"])
    assert names(out) == {*abi.texts(), "main.c", "build"}


def test_other_folders_and_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(OptionError, match="a folder with other files"):
        write_artifact(tmp_path / "photos", "toy", abi.texts(), emit=["c"])
    with pytest.raises(OptionError, match="it is a file"):
        write_artifact(tmp_path / "photos" / "cat.jpg", "toy", abi.texts(), emit=["c"])
    assert names(tmp_path / "photos") == {"cat.jpg"}


def test_read(tmp_path: Path) -> None:
    written = write_artifact(tmp_path / "toy", "toy", abi.texts(), emit=["c"])
    assert Artifact.read(written.directory) == written
    with pytest.raises(OptionError, match="not an artefact folder"):
        Artifact.read(tmp_path)


def test_emit_is_checked() -> None:
    assert check_emit(["so", "c"]) == ("c", "so")
    with pytest.raises(OptionError, match="cannot emit 'exe'"):
        check_emit(["exe"])


@pytest.mark.parametrize(
    ("file", "name"), [("a.b.onnx", "a_b"), ("Ünet.onnx", "net"), ("….onnx", "net"), ("x__y.onnx", "x_y")]
)
def test_default_name_is_an_identifier(file: str, name: str) -> None:
    assert default_name(file) == name
