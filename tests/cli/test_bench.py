"""``bitc bench``: who runs, who is refused and why, and what is said of each; never how long anything took."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitc import bench as bench_module
from bitc import peers, roofline
from bitc.bench import bench, interleaved, pinned
from bitc.cli import main
from bitc.errors import OptionError
from bitc.roofline import KINDS, MEMORY_BYTES, Peaks
from examples.tiny import tiny_model

Capture = pytest.CaptureFixture[str]
SOME = Peaks(dict.fromkeys(KINDS, 100.0), dict.fromkeys(MEMORY_BYTES, 10.0))
QUICK = ("--target", "portable", "--rounds", "2")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model().SerializeToString(deterministic=True))
    return path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(bench_module, "WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(bench_module, "PROFILE_SECONDS", 0.0)
    monkeypatch.setattr(roofline, "peaks_of", lambda target, fresh: SOME)


@pytest.mark.usefixtures("compiler")
def test_a_table_of_runtimes_and_one_of_layers(tiny: Path, capsys: Capture) -> None:
    assert main(["bench", str(tiny), *QUICK, "--against", "onnxruntime", "--per-layer"]) == 0
    text = capsys.readouterr().out
    assert "tiny for portable" in text
    assert "2 interleaved rounds, one thread" in text
    starts = [line.split()[0] for line in text.splitlines() if line]
    assert [name for name in starts if name in ("bitc", "onnxruntime")] == ["bitc", "onnxruntime"]
    assert "of bound" in text
    for node in ("'stem' (Conv)", "'conv' (Conv)", "'scores' (Gemm)"):
        assert node in text


@pytest.mark.usefixtures("compiler")
def test_lines_of_json_are_those_of_the_other_benchmarks(tiny: Path, capsys: Capture) -> None:
    arguments = ["bench", str(tiny), *QUICK, "--against", "onnxruntime", "--per-layer", "--json", "--case", "net_tiny"]
    assert main(arguments) == 0
    mine, theirs, layers = map(json.loads, capsys.readouterr().out.splitlines())
    assert mine.keys() == {"peer", "case", "median_us", "min_us", "gops", "macs", "runs", "note"}
    assert theirs.keys() == {*mine, "bitc_ratio"}
    assert (mine["peer"], theirs["peer"], mine["case"]) == ("bitc-portable", "onnxruntime", "net_tiny")
    assert mine["macs"] == 64 * 8 * 9 + 64 * 8 * 72 + 128 * 3
    assert "median_us" not in layers
    products = layers["layers"]["products"]
    assert [product["macs"] for product in products] == [64 * 8 * 9, 64 * 8 * 72, 128 * 3]
    assert {product["bound"] for product in products} <= {*KINDS, "weights"}


@pytest.mark.usefixtures("compiler")
def test_shares_of_layers_are_the_whole_call(tiny: Path) -> None:
    found = bench(tiny, target="portable", rounds=1, per_layer=True)
    assert found.layers is not None
    shares = [row.share for row in found.layers.products] + [entry.time_share or 0.0 for entry in found.layers.rest]
    assert sum(shares) == pytest.approx(1)
    assert found.rows[0].ratio is None


@pytest.mark.usefixtures("compiler")
def test_a_peer_that_refuses_the_model_is_a_result(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def refuse(model: Path, feed: Mapping[str, np.ndarray], threads: int) -> Callable[[], object]:
        raise RuntimeError("Exception from plugin.cpp:84:\nno kernel for Conv")

    monkeypatch.setitem(peers.PEERS, "onnxruntime", peers.Peer("onnxruntime", refuse))
    assert main(["bench", str(tiny), *QUICK, "--against", "onnxruntime"]) == 0
    assert "refuses the model: no kernel for Conv\n" in capsys.readouterr().out
    (_, line) = bench(tiny, target="portable", rounds=1, against=["onnxruntime"]).lines("bitc")
    assert line == {"peer": "onnxruntime", "case": "tiny", "error": "no kernel for Conv"}


def test_all_peers_that_are_not_there_are_named_with_what_to_do(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["bench", str(tiny), "--against", "openvino, onnxruntime,tvm", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)["error"]["diagnostics"]
    assert [(d["code"], d["title"], d["hint"]) for d in found] == [
        ("O101", "openvino is not installed", "pip install openvino"),
        ("O101", "onnxruntime is not installed", "pip install onnxruntime"),
        ("O100", "there is no peer 'tvm'", "peers: onnxruntime, openvino"),
    ]


def test_more_threads_than_cores_are_refused(tiny: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "usable_cores", lambda: 1)
    assert main(["bench", str(tiny), "--threads", "2"]) == 2
    said = capsys.readouterr().err
    assert "O102" in said
    assert "this process may use one core" in said


@pytest.mark.usefixtures("compiler")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_as_many_cores_as_threads(tiny: Path, capsys: Capture) -> None:
    assert main(["bench", str(tiny), *QUICK, "--threads", "2", "--against", "onnxruntime"]) == 0
    last = sorted(os.sched_getaffinity(0))[-2:]
    assert f"2 interleaved rounds, 2 threads, cores {last[0]}, {last[1]};" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system lets no process choose its core")
def test_the_core_is_chosen_among_those_allowed_and_given_back() -> None:
    allowed = os.sched_getaffinity(0)
    with pinned() as (core, why):
        assert (os.sched_getaffinity(0), why) == (set(core), "")
        assert core == (max(allowed),)
    assert os.sched_getaffinity(0) == allowed
    with pytest.raises(OptionError, match="there is no core 4095"), pinned(4095):
        pass


def test_where_no_core_can_be_chosen_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(process: int, cores: set[int]) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", denied, raising=False)
    with pinned(0) as found:
        assert found == ((), "not pinned: Operation not permitted")
    monkeypatch.delattr(os, "sched_setaffinity")
    with pinned() as found:
        assert found == ((), "not pinned: this system lets no process choose its core")


def test_rounds_take_turns_and_begin_with_another_each() -> None:
    made: list[str] = []

    def call(name: str) -> Callable[[], Any]:
        return lambda: made.append(name)

    times = interleaved({"a": call("a"), "b": call("b")}, 3)
    assert [len(turns) for turns in times.values()] == [3, 3]
    assert [len(turn) for turn in times["a"]] == [1, 1, 1]
    assert "".join(made[4:]) == "aabb" + "bbaa" + "aabb"
