"""Constants on pages of 2 MiB: the same numbers from the same addresses, or a clear no."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import numpy as np
import pytest
from networks.onnx_net import Net, build_quickly

from bitc import huge_pages
from bitc.errors import OptionError
from bitc.session import Session, load

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OFF = not SETTING.is_file() or "[never]" in SETTING.read_text(encoding="ascii")
pytestmark = pytest.mark.skipif(OFF, reason="this system has no transparent huge pages")

FEED = {"x": np.random.default_rng(0).standard_normal((2, 1024)).astype(np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 5 MiB of weights."""
    path = tmp_path_factory.mktemp("huge")
    net = Net()
    weights = np.random.default_rng(1).standard_normal((1024, 1280)).astype(np.float32)
    net.output(net.node("MatMul", net.input("x", (2, 1024)), weights))
    return build_quickly(net.save(path / "wide.onnx"), "portable", path).path.parent


def mapped_from_the_file(session: Session) -> int:
    """Bytes of the library that are mapped from its file."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ends = [re.match(r"(\w+)-(\w+) ", line) for line in lines if line.endswith(str(session.path.resolve()))]
    return sum(int(found[2], 16) - int(found[1], 16) for found in ends if found)


def test_the_same_results_from_a_copy(folder: Path) -> None:
    session = load(folder)
    (wanted,) = session.run(None, FEED)
    assert session.huge_page_bytes == 0
    from_file = mapped_from_the_file(session)
    moved = load(folder, huge_pages=True)
    assert moved.huge_page_bytes in (2 << 20, 4 << 20)
    assert mapped_from_the_file(session) == from_file - moved.huge_page_bytes
    for again in (session, moved):  # they share the library
        assert np.array_equal(again.run(None, FEED)[0], wanted)


def test_twice_and_unloaded(folder: Path) -> None:
    first = load(folder, huge_pages=True)
    (wanted,) = first.run(None, FEED)
    second = load(folder, huge_pages=True)
    assert second.huge_page_bytes == first.huge_page_bytes
    assert np.array_equal(second.run(None, FEED)[0], wanted)
    del first, second
    gc.collect()
    assert np.array_equal(load(folder).run(None, FEED)[0], wanted)


def test_nothing_to_move_in_a_small_library(tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("Neg", net.input("x", (2, 3))))
    small = build_quickly(net.save(tmp_path / "small.onnx"), "portable", tmp_path).path.parent
    session = load(small, huge_pages=True)
    assert session.huge_page_bytes == 0
    assert np.array_equal(session.run(None, {"x": np.ones((2, 3), np.float32)})[0], np.full((2, 3), -1, np.float32))


def test_refused_where_they_are_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_setting", lambda: "always madvise [never]")
    with pytest.raises(OptionError, match="huge pages"):
        load(folder, huge_pages=True)


def test_memory_that_is_written_is_left(folder: Path) -> None:
    mine = np.zeros(8 << 20, np.uint8)
    with pytest.raises(OptionError, match="only read"):
        huge_pages.use_huge_pages(mine.ctypes.data)
