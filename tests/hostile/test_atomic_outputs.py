"""Artefacts are whole whatever happens: killed writers, killed compilers, Ctrl-C, full disks, several writers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from random import Random

import pytest

from bitc.artifact import MANIFEST, Artifact, write_artifact
from bitc.errors import OptionError, ToolchainError
from bitc.folders import write_output, write_whole
from examples.tiny import tiny_model
from tests.conftest import REPOSITORY

VERSIONS = 5
FILES = 12


def texts(version: int) -> dict[str, str]:
    """The files of one version of an artefact; each says which version it is of."""
    made = {MANIFEST: f'{{"bitc": "0", "name": "net", "version": {version}}}'}
    return made | {f"net_{number}.h": f"/* {version} */\n" * 200 for number in range(FILES)}


def is_whole(folder: Path) -> bool:
    """Whether all files are those of one version, and the user's own file is there."""
    version = int(Artifact.read(folder).manifest["version"])
    found = {path.name: path.read_text() for path in folder.iterdir()}
    return found == texts(version) | {"main.c": "int main(void) { return 0; }\n"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An artefact with a file of the user's in it."""
    folder = tmp_path / "place" / "net"
    write_artifact(folder, "net", texts(0), emit=["c"])
    (folder / "main.c").write_text("int main(void) { return 0; }\n")
    assert is_whole(folder)
    return folder


def python(code: str, **options: object) -> subprocess.Popen[bytes]:
    """A program that runs beside this one."""
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "tests")))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment, **options)  # type: ignore[call-overload,no-any-return]


def writer(out: Path, rounds: int, offset: int = 0) -> subprocess.Popen[bytes]:
    """A program that replaces the artefact again and again; it says when it begins."""
    return python(
        f"""
        from pathlib import Path
        from bitc.artifact import write_artifact
        from hostile.test_atomic_outputs import VERSIONS, texts
        print("begins", flush=True)
        for number in range({rounds}):
            write_artifact(Path({str(out)!r}), "net", texts((number + {offset}) % VERSIONS), emit=["c"])
        """,
        stdout=subprocess.PIPE,
    )


def test_killed_writers_leave_one_whole_artefact(out: Path) -> None:
    """Killed at any moment; what they leave beside it is removed by the next one."""
    choose = Random(0)
    for _ in range(8):
        with writer(out, rounds=100_000) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(choose.uniform(0.0, 0.15))
            process.kill()
        assert is_whole(out)
    write_artifact(out, "net", texts(3), emit=["c"])
    assert is_whole(out)
    assert [path.name for path in out.parent.iterdir()] == ["net"]


def test_concurrent_writers_do_not_mix(out: Path) -> None:
    """Four programs write one folder; it is there at every moment, and of one version in the end."""
    processes = [writer(out, rounds=25, offset=offset) for offset in range(4)]
    looks = 0
    while any(process.poll() is None for process in processes):
        assert Artifact.read(out).name == "net"
        looks += 1
    assert [process.wait() for process in processes] == [0] * 4
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    assert looks > 10
    assert is_whole(out)
    assert [path.name for path in out.parent.iterdir()] == ["net"]


def test_first_writers_may_meet(tmp_path: Path) -> None:
    """Where there is no folder yet, two writers do not refuse one another."""
    fresh = tmp_path / "net"
    processes = [writer(fresh, rounds=5, offset=offset) for offset in range(3)]
    assert [process.communicate() and process.returncode for process in processes] == [0] * 3
    assert int(Artifact.read(fresh).manifest["version"]) in range(VERSIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_another_program_of_the_name_is_not_swept_away(out: Path) -> None:
    """Only what a writer made, and what nobody holds a lock on, is removed as left over."""
    beside = out.parent / ".net-backup00"
    beside.mkdir()
    (beside / "new").mkdir()
    write_artifact(out, "net", texts(1), emit=["c"])
    assert beside.is_dir()


def script(folder: Path, text: str) -> str:
    """A C compiler of our own."""
    path = folder / "cc"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo gcc && exit 0\n{text}\n')
    path.chmod(0o755)
    return str(path)


def test_a_killed_compiler(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The out-of-memory killer takes the C compiler: an error of the toolchain, the old artefact, nothing beside it."""
    monkeypatch.setenv("CC", script(tmp_path, "kill -9 $$"))
    with pytest.raises(ToolchainError, match="T002"):
        write_artifact(out, "net", texts(1) | {"net.c": ""}, emit=["c", "so"])
    assert is_whole(out)
    assert [path.name for path in out.parent.iterdir()] == ["net"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_the_compiler_runs(stop: signal.Signals, out: Path, tmp_path: Path) -> None:
    """Ctrl-C, and a request to end: the old artefact stays whole."""
    model = tmp_path / "net.onnx"
    model.write_bytes(tiny_model().SerializeToString())
    begun = tmp_path / "begun"
    compiler = script(tmp_path, f"touch {begun}\nexec sleep 60")
    command = [sys.executable, "-m", "bitc", "compile", str(model), "-o", str(out), "--target", "portable"]
    environment = {**os.environ, "CC": compiler, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
    ) as process:
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, stop)
        assert process.wait(30) != 0
    assert is_whole(out)
    write_artifact(out, "net", texts(2), emit=["c"])
    assert [path.name for path in out.parent.iterdir()] == ["net"]


def test_a_full_disk(out: Path) -> None:
    """No file may become larger than 1000 bytes: an error that says so, the old artefact, nothing beside it."""
    process = python(
        f"""
        import resource
        from pathlib import Path
        from bitc.artifact import write_artifact
        from bitc.errors import OptionError
        from hostile.test_atomic_outputs import texts
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_artifact(Path({str(out)!r}), "net", texts(1), emit=["c"])
        except OptionError as error:
            raise SystemExit(0 if error.diagnostics[0].code == "O043" else 2)
        raise SystemExit(1)
        """
    )
    assert process.wait() == 0
    assert is_whole(out)
    assert [path.name for path in out.parent.iterdir()] == ["net"]


def test_a_full_file_system(tmp_path: Path) -> None:
    """The same on a file system with no room: a small tmpfs in a mount namespace of its own, where this is allowed."""
    place = tmp_path / "small"
    place.mkdir()
    code = f"""
from pathlib import Path
from bitc.artifact import write_artifact
from bitc.errors import OptionError
from hostile.test_atomic_outputs import texts
out = Path({str(place)!r}) / "net"
write_artifact(out, "net", texts(0), emit=["c"])
before = {{path.name: path.read_text() for path in out.iterdir()}}
try:
    write_artifact(out, "net", texts(1), emit=["c"])
except OptionError as error:
    assert "No space left" in str(error), error
else:
    raise SystemExit("it had room")
assert before == {{path.name: path.read_text() for path in out.iterdir()}} == texts(0)
assert [path.name for path in out.parent.iterdir()] == ["net"]
"""
    inside = f'mount -t tmpfs -o size=100k none {place} || exit 77; exec "$0" -c "$1"'
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "tests")))
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", inside, sys.executable, code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 77 or "unshare" in result.stderr:
        pytest.skip(f"no file system can be mounted here: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Arrays and caches: the old content or the new one."""
    path = tmp_path / "file"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Below a file there is no folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="O043"):
        write_artifact(tmp_path / "file" / "net", "net", texts(0), emit=["c"])


def dumped(folder: Path) -> set[str]:
    """The passes of a folder of IR, each of whose files is whole."""
    files = list(folder.glob("*.ir"))
    assert all(path.read_text().endswith("}\n") for path in files)
    return {path.stem.split("-", 1)[1] for path in files}


def compile_tiny(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``bitc compile`` of a small network, to C alone."""
    model = tmp_path / "net.onnx"
    model.write_bytes(tiny_model().SerializeToString())
    command = [
        sys.executable,
        "-m",
        "bitc",
        "compile",
        str(model),
        "-o",
        str(tmp_path / "net"),
        "--emit",
        "c",
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_folder_of_ir_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Passes of the last run are not left among those of this one; what bitc did not write stays."""
    dump = tmp_path / "dump"
    assert compile_tiny(tmp_path, "--dump-ir", str(dump)).returncode == 0
    assert {"import", "lower"} <= dumped(dump)
    (dump / "notes.txt").write_text("mine")
    failed = compile_tiny(tmp_path, "--dump-ir", str(dump), "--pipeline", "canonicalise")
    assert failed.returncode != 0  # nothing was lowered
    assert dumped(dump) == {"import", "canonicalise"}
    assert (dump / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dump", "net", "net.onnx"]


def test_each_target_of_several_has_its_ir(tmp_path: Path) -> None:
    """All passes of each, and none of them beside those of one target alone."""
    dump, passes = tmp_path / "dump", {}
    for options in (("--target", "auto_x86"), ("--target", "portable")):
        assert compile_tiny(tmp_path, "--dump-ir", str(dump), *options).returncode == 0
        passes[options[1]] = {path.name for path in dump.glob("*.ir")}
    names = ("portable", "avx2", "avx512")
    assert passes["auto_x86"] == {f"{name}-{file}" for name in names for file in passes["portable"]}
    assert dumped(dump) >= {"import", "lower"}


def test_a_folder_of_ir_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("mine")
    found = compile_tiny(tmp_path, "--dump-ir", str(tmp_path / "dump"))
    assert found.returncode == 2
    assert "O043" in found.stderr
    assert (tmp_path / "dump").read_text() == "mine"


def test_a_killed_compiler_leaves_the_old_ir(tmp_path: Path) -> None:
    """Killed while the passes run: the folder of the run before, whole."""
    dump = tmp_path / "dump"
    assert compile_tiny(tmp_path, "--dump-ir", str(dump)).returncode == 0
    before = {path.name: path.read_bytes() for path in dump.iterdir()}
    process = python(
        f"""
        import os, signal
        from pathlib import Path
        from bitc.cli.build import _ir_folder
        with _ir_folder(Path({str(dump)!r})) as made:
            (made / "00-import.ir").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert process.wait() == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in dump.iterdir()} == before
    assert compile_tiny(tmp_path, "--dump-ir", str(dump)).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dump", "net", "net.onnx"]


@pytest.mark.parametrize("name", ["page.html", "arrays.npz", "array.npy"])
def test_files_that_were_asked_for_are_whole_or_as_before(name: str, tmp_path: Path) -> None:
    """No file may become larger than 100 bytes: the error says so, and the old file stays."""
    path = tmp_path / name
    path.write_bytes(b"old")
    writes = {
        ".html": "write_output(path, b'x' * 200)",
        ".npz": "write_arrays(path, {'a': np.zeros(99), 'b': np.zeros(99)})",
        ".npy": "write_arrays(path, {'a': np.zeros(99)})",
    }
    process = python(
        f"""
        import resource
        from pathlib import Path
        import numpy as np
        from bitc.cli.running import write_arrays
        from bitc.errors import OptionError
        from bitc.folders import write_output
        path = Path({str(path)!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            {writes[path.suffix]}
        except OptionError as error:
            raise SystemExit(0 if error.diagnostics[0].code == "O043" else 2)
        raise SystemExit(1)
        """
    )
    assert process.wait() == 0
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        write_output(pipe, b"page")
        assert reader.communicate()[0] == b"page"
    assert pipe.is_fifo()
