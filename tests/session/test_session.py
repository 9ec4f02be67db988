"""Sessions on a hand-written library that follows the ABI of generated code."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from session import abi

import bitc
from bitc.artifact import Artifact, write_artifact
from bitc.errors import OptionError
from bitc.session import Session
from bitc.toolchain import Compiler


@pytest.fixture(scope="module", params=["so", "pyext"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, compiler: Compiler) -> Session:
    """The toy network as a shared library and as an extension module."""
    folder = tmp_path_factory.mktemp("toy") / "out"
    return write_artifact(folder, "toy", abi.texts(), emit=["c", request.param]).session()


def feed(batch: int) -> dict[str, np.ndarray]:
    return {"x": np.arange(3 * batch, dtype=np.float32).reshape(batch, 3), "b.0": np.array([10], np.int8)}


def test_describes_itself_as_onnxruntime_does(session: Session) -> None:
    assert [(arg.name, arg.shape, arg.type) for arg in session.get_inputs()] == [
        ("x", ("N", 3), "tensor(float)"),
        ("b.0", (1,), "tensor(int8)"),
    ]
    assert [(arg.name, arg.shape, arg.type) for arg in session.get_outputs()] == [
        ("y", ("N",), "tensor(float)"),
        ("z", ("N",), "tensor(int32)"),
    ]
    assert session.metadata["arena_bytes"] == 128
    assert "x: float32[N,3]" in repr(session)


@pytest.mark.parametrize("batch", [0, 1, 2, 7])
def test_free_batch(session: Session, batch: int) -> None:
    y, z = session.run(None, feed(batch))
    np.testing.assert_array_equal(y, np.array([9 * n + 13 for n in range(batch)], np.float32))
    np.testing.assert_array_equal(z, np.arange(0, 3 * batch, 3, dtype=np.int32))


def test_outputs_come_in_the_order_asked_for(session: Session) -> None:
    z, y = session.run(["z", "y"], feed(2))
    assert (z.dtype, y.dtype) == (np.int32, np.float32)
    assert [output.tolist() for output in session.run(["z"], feed(2))] == [[0, 3]]


def test_strided_and_unaligned_inputs_are_copied(session: Session) -> None:
    expected = session.run(None, feed(4))[0]
    wide = np.zeros((4, 6), np.float32)
    wide[:, ::2] = feed(4)["x"]
    np.testing.assert_array_equal(session.run(None, feed(4) | {"x": wide[:, ::2]})[0], expected)
    shifted = np.frombuffer(b"\0" + feed(4)["x"].tobytes(), np.float32, offset=1).reshape(4, 3)
    assert not shifted.flags.aligned
    np.testing.assert_array_equal(session.run(None, feed(4) | {"x": shifted})[0], expected)


def test_read_only_inputs_are_accepted(session: Session) -> None:
    inputs = feed(1)
    inputs["x"].flags.writeable = False
    assert session.run(["y"], inputs)[0].tolist() == [13.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((2, 3))}, "got float64[2,3]"),
        ({"x": np.zeros((2, 4), np.float32)}, "expected x: float32[N,3]"),
        ({"x": np.zeros(3, np.float32)}, "got float32[3]"),
        ({"x": np.zeros((2, 3), ">f4")}, "expected x: float32[N,3]"),
        ({"q": np.zeros(3)}, "there is no input 'q'"),
    ],
)
def test_wrong_inputs_name_what_is_expected(session: Session, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        session.run(None, feed(2) | change)
    assert message in str(caught.value)


def test_missing_input_and_unknown_output_are_named(session: Session) -> None:
    with pytest.raises(OptionError, match=r"input 'b\.0' is missing"):
        session.run(None, {"x": feed(1)["x"]})
    with pytest.raises(OptionError, match="there is no output 'w'"):
        session.run(["w"], feed(1))


def test_threads_share_a_session(session: Session) -> None:
    """The toy keeps its sum in the arena: threads that shared one would see each other's."""
    batch = 20_000
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.full((batch, 3), seed, np.float32)
        for _ in range(10):
            y = session.run(["y"], {"x": x, "b.0": np.zeros(1, np.int8)})[0]
            if (y != 3 * seed).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("emit", ["so", "pyext"])
def test_a_rebuilt_library_is_really_reloaded(tmp_path: Path, compiler: Compiler, emit: str) -> None:
    for extra in (0.0, 0.5, 1.0):
        write_artifact(tmp_path / "toy", "toy", abi.texts(extra), emit=["c", emit])
        assert bitc.load(tmp_path / "toy").run(["y"], feed(1))[0].tolist() == [13.0 + extra]


def test_load_takes_the_library_itself(tmp_path: Path, compiler: Compiler) -> None:
    artifact = write_artifact(tmp_path / "toy", "toy", abi.texts(), emit=["c", "so", "pyext"])
    for path in (artifact.library, artifact.extension):
        assert bitc.load(path).run(["y"], feed(1))[0].tolist() == [13.0]
    assert Artifact.read(artifact.directory).session().path == artifact.extension


def test_load_refuses_what_is_not_a_network(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"holds no lib<name>\.so"):
        bitc.load(tmp_path)
    with pytest.raises(OptionError, match=r"libnone\.so does not exist"):
        bitc.load(tmp_path / "libnone.so")
    (tmp_path / "libbad.so").write_bytes(b"not an ELF file")
    with pytest.raises(OptionError, match=r"header bad\.h is not beside it"):
        bitc.load(tmp_path / "libbad.so")
    (tmp_path / "bad.h").write_text(abi.HEADER)
    with pytest.raises(OptionError, match="is not a built network"):
        bitc.load(tmp_path / "libbad.so")


def test_loading_a_network_does_not_import_the_compiler() -> None:
    code = "import bitc, sys; bitc.load; print(sorted(m for m in sys.modules if m in {'onnx', 'onnxruntime', 'typer', 'jinja2'}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
