"""Finding the compiler, and what is said when it is missing or fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from session import abi

from bitc import toolchain
from bitc.errors import ToolchainError
from bitc.toolchain import Compiler


def test_no_compiler_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError) as caught:
        toolchain.find_compiler()
    assert "there is no C compiler" in str(caught.value)
    assert "apt-get install gcc" in str(caught.value)


def test_cc_wins_and_may_have_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "fakecc"
    fake.write_text("#!/bin/sh\necho 'fake clang version 99'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CC", "fakecc --quiet")
    assert toolchain.find_compiler() == Compiler(("fakecc", "--quiet"), "clang", "fake clang version 99")
    monkeypatch.setenv("CC", "absent-cc")
    with pytest.raises(ToolchainError, match="absent-cc"):
        toolchain.find_compiler()


def test_builds_under_strict_warnings(tmp_path: Path, compiler: Compiler) -> None:
    library = toolchain.compile_shared(abi.write(tmp_path), tmp_path / "libtoy.so", extra=toolchain.STRICT_WARNINGS)
    sizes = toolchain.section_sizes(library)
    assert sizes is not None
    assert sizes.text_bytes > 0
    assert sizes.rodata_bytes > len(abi.texts()["manifest.json"]) / 2


def test_a_failure_names_the_command_and_the_first_error(tmp_path: Path, compiler: Compiler) -> None:
    source = tmp_path / "bad.c"
    source.write_text("int f(void) { return missing_name; }\n")
    with pytest.raises(ToolchainError) as caught:
        toolchain.compile_shared(source, tmp_path / "bad.so", ["-DX=1"])
    text = str(caught.value)
    assert "-ffp-contract=off" in text
    assert "-DX=1" in text
    assert "missing_name" in text
