"""Generated code under the compilers' sanitizers: no report, and the same bits wherever buffers lie and whatever the arena held.

Every buffer and the arena begin or end at a page nobody may touch; those that end there are aligned only as their elements are. The
driver (``driver.c``) runs each network in four ways and compares: both places, the arena filled with 0 and with 0xFF.
"""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from runtime.harness import why_not
from sanitizers.building import ADDRESS, MEMORY, PLAIN, THREAD, Sanitizer, run

from bitc import compile
from bitc.artifact import Artifact
from bitc.fuzz import file_of, networks_of_file
from bitc.fuzz.examine import build_fast

MODELS = sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))
SEED, FUZZED = 11, 10
Feeds = dict[str, np.ndarray]
NATIVE = ("portable", "avx2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Artifact, Feeds, list[np.ndarray]]]:
    """A network, its inputs, and what its ordinary library makes of them; built once."""
    known: dict[tuple[str, str], tuple[Artifact, Feeds, list[np.ndarray]]] = {}

    def make(name: str, target: str) -> tuple[Artifact, Feeds, list[np.ndarray]]:
        if (reason := why_not(target)) is not None:
            pytest.skip(reason)
        if (name, target) not in known:
            folder = tmp_path_factory.mktemp(target)
            path, feeds = _network(name, folder)
            artifact = compile(path, target=target, out=folder / "made", emit=("c",))
            known[name, target] = artifact, feeds, build_fast(artifact, target).run(None, feeds)
        return known[name, target]

    return make


def _network(name: str, folder: Path) -> tuple[Path, Feeds]:
    """One of models/, or a file of fuzzed networks."""
    if name.isdigit():
        networks = [n for n in networks_of_file(SEED, int(name), 2 * FUZZED) if not n.setting.qonnx][:FUZZED]
        path = folder / "fuzzed.onnx"
        path.write_bytes(file_of(networks).SerializeToString(deterministic=True))
        return path, {key: array for network in networks for key, array in network.feeds.items()}
    (path,) = [model for model in MODELS if model.stem == name]
    return path, {"x": np.load(path.with_name(f"{name}_golden.npz"))["x"][:3]}


CASES = [
    *((model.stem, target, ADDRESS) for model, target in zip(MODELS, cycle(NATIVE), strict=False)),
    *(("0", target, ADDRESS) for target in NATIVE),
    *((model.stem, "portable", MEMORY) for model in MODELS[:1]),
    ("0", "portable", MEMORY),
    *((MODELS[0].stem, target, THREAD) for target in NATIVE),
    *(("0", target, PLAIN) for target in NATIVE),
]


@pytest.mark.parametrize(("name", "target", "using"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_nothing_is_reported(
    name: str,
    target: str,
    using: Sanitizer,
    made: Callable[..., tuple[Artifact, Feeds, list[np.ndarray]]],
    tmp_path: Path,
) -> None:
    artifact, feeds, wanted = made(name, target)
    for got, truth in zip(run(artifact, feeds, using, tmp_path), wanted, strict=True):
        np.testing.assert_array_equal(got, truth)


@pytest.mark.parametrize(("target", "using"), [("portable", ADDRESS), ("portable", MEMORY), ("avx2", ADDRESS)])
def test_nothing_is_reported_of_weights_that_are_decoded(target: str, using: Sanitizer, tmp_path: Path) -> None:
    if (reason := why_not(target)) is not None:
        pytest.skip(reason)
    path = MODELS[0].parent / "mst" / "digits_mst_d20.onnx"
    feeds = {"x": np.load(path.with_name(f"{path.stem}_golden.npz"))["x"][:3]}
    artifact = compile(path, target=target, out=tmp_path / "made", emit=("c",), small_weights=9216)
    wanted = build_fast(artifact, target).run(None, feeds)
    for got, truth in zip(run(artifact, feeds, using, tmp_path), wanted, strict=True):
        np.testing.assert_array_equal(got, truth)


def test_a_library_is_loaded_and_unloaded_again_and_again(
    made: Callable[..., tuple[Artifact, Feeds, list[np.ndarray]]], tmp_path: Path
) -> None:
    """Nothing is left behind: fifty rounds map no more memory than one. The file is the test's own, so that no session has it mapped."""
    artifact, _, _ = made(MODELS[0].stem, "portable")

    copy = tmp_path / "library_of_this_test.so"
    copy.write_bytes(artifact.library.read_bytes())

    def mapped() -> int:
        return sum(copy.name in line for line in Path("/proc/self/maps").read_text().splitlines())

    def load() -> int:
        library = ctypes.CDLL(str(copy))
        metadata = getattr(library, f"{artifact.name}_metadata")
        metadata.restype = ctypes.c_char_p
        assert metadata().startswith(b"{")
        while_loaded = mapped()
        _ctypes.dlclose(library._handle)
        return while_loaded

    once = load()
    assert once > 0
    assert [load() for _ in range(50)] == [once] * 50
    assert mapped() == 0
