"""Sessions of networks that were compiled for several threads, and what is refused."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from bitc import session as session_module
from bitc.artifact import Artifact
from bitc.compiler import compile
from bitc.errors import OptionError
from bitc.session import Session, load
from examples.tiny import tiny_model

FEED = {"image": np.random.default_rng(1).standard_normal((3, 1, 8, 8)).astype(np.float32)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_model().SerializeToString(deterministic=True))
    return path


@pytest.fixture(scope="module", params=["so", "pyext"])
def artifact(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    out = tmp_path_factory.mktemp("threads") / "tiny"
    return compile(model, target="portable", out=out, emit=("c", request.param), threads=4)


def system_threads() -> int:
    """Threads of this process."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_as_many_as_asked_for_and_the_same_bits(artifact: Artifact) -> None:
    alone = Session(artifact.directory, threads=1)
    wanted = alone.run(None, FEED)
    for threads in (2, 3, 4):
        session = load(artifact.directory, threads=threads)
        assert session.threads == threads
        for got, expected in zip(session.run(None, FEED), wanted, strict=True):
            assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("cores", "used"), [(1, 1), (3, 3), (64, 4)])
def test_zero_is_all_there_are_cores_for(
    artifact: Artifact, cores: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "usable_cores", lambda: cores)
    assert Session(artifact.directory).threads == used


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not list a process' threads")
def test_the_pool_goes_with_the_session(artifact: Artifact) -> None:
    gc.collect()
    before = system_threads()
    session = Session(artifact.directory, threads=4)
    session.run(None, FEED)
    assert system_threads() == before + 3
    del session
    gc.collect()
    assert system_threads() == before


def test_callers_at_the_same_time(artifact: Artifact) -> None:
    session = Session(artifact.directory, threads=2)
    wanted = session.run(None, FEED)[0].tobytes()
    found: list[bytes] = []

    def work() -> None:
        for _ in range(50):
            found.append(session.run(None, FEED)[0].tobytes())

    callers = [threading.Thread(target=work) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 400
    assert set(found) == {wanted}


@pytest.mark.parametrize("threads", [-1, 5])
def test_more_than_compiled_for_are_refused(artifact: Artifact, threads: int) -> None:
    with pytest.raises(OptionError, match=f"tiny cannot run in {threads} threads") as refused:
        Session(artifact.directory, threads=threads)
    assert "compiled for 4" in str(refused.value)


def test_without_a_pool_python_has_one_thread(model: Path, tmp_path: Path) -> None:
    made = compile(model, target="portable", out=tmp_path / "tiny", threads=2, pool="none")
    assert made.session().threads == 1
    with pytest.raises(OptionError, match="without a pool"):
        Session(made.directory, threads=2)
    assert not (made.directory / "tiny_pool.h").exists()


def test_a_network_for_one_thread_stays_as_it_is(model: Path, tmp_path: Path) -> None:
    made = compile(model, target="portable", out=tmp_path / "tiny")
    assert "threads" not in made.manifest
    assert Session(made.directory).threads == 1
    texts = " ".join(path.read_text(encoding="utf-8") for path in made.directory.glob("*.[ch]"))
    assert "parallel" not in texts
    assert "pthread" not in texts


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"threads": 0}, "O026"),
        ({"threads": 65}, "O026"),
        ({"threads": 2, "pool": "tbb"}, "O027"),
        ({"pool": "pthreads"}, "O027"),
        ({"threads": 2, "profile": True}, "O028"),
    ],
)
def test_what_cannot_be_compiled_is_refused(model: Path, tmp_path: Path, options: dict[str, object], code: str) -> None:
    with pytest.raises(OptionError, match=code):
        compile(model, target="portable", out=tmp_path / "tiny", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "tiny").exists()
