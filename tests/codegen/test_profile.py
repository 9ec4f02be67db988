"""Profiling builds: the ordinary library holds nothing of them, they compute the same, and count every call of every layer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from codegen.build import lowered
from codegen.nets import NETS, convolutions, free_batch, prepared
from runtime.harness import COMPILERS

import bitc
from bitc.codegen import TARGETS, generate
from bitc.codegen.generate import Generated
from bitc.errors import OptionError
from bitc.profile import ProfilingSession, profile, random_feed, time_layers, without_clock
from bitc.toolchain import STRICT_WARNINGS
from tests.networks.onnx_net import Net

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_w1a1_residual.onnx"


def made(net: object, target: str = "portable", profile: bool = True) -> Generated:
    assert callable(net)
    graph = lowered(prepared(net()), TARGETS[target])
    return generate(graph, name="net", target=TARGETS[target], options={}, profile=profile)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_the_ordinary_library_holds_nothing_of_it(net: object) -> None:
    plain, timed = made(net, profile=False), made(net)
    text = "".join(plain.files.values())
    assert not any(word in text for word in ("clock", "profile", "time.h", "_lap"))
    assert "profile" not in plain.manifest
    assert {key: value for key, value in timed.manifest.items() if key != "profile"} == plain.manifest
    same = {"net_kernels.h", "net_weights.h", "CMakeLists.txt"}
    assert {name for name, text in plain.files.items() if timed.files[name] == text} == same
    assert "profiling build" in timed.files["README.md"]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("net", [convolutions, free_batch], ids=lambda net: net.__name__)
def test_clean_under_strict_warnings(compiler: str, net: object, tmp_path: Path) -> None:
    for name, text in made(net).files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    flags = ["-std=c99", "-fsyntax-only", *STRICT_WARNINGS, str(tmp_path / "net.c")]
    done = subprocess.run([compiler, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_laps_are_the_calls_of_a_layer_times_its_bands_of_rows(net: object) -> None:
    generated = made(net)
    laps = generated.manifest["profile"]["laps"]
    calls = [f"_lap(ns + {layer}, lap)" for layer in range(len(laps))]
    counts = [generated.files["net.c"].count(call) for call in calls]
    assert all(lap >= count and (count > 0) == (lap > 0) for lap, count in zip(laps, counts, strict=True))
    assert len(laps) == len(generated.manifest["layers"])


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One network, as it is used and as a profiling build."""
    folder = tmp_path_factory.mktemp("profile")
    for name in ("plain", "timed"):
        bitc.compile(MODEL, target="portable", out=folder / name, profile=name == "timed")
    return folder / "plain", folder / "timed"


@pytest.mark.usefixtures("compiler")
def test_outputs_are_the_same_and_each_call_counts_anew(builds: tuple[Path, Path]) -> None:
    plain, timed = bitc.load(builds[0]), ProfilingSession(builds[1])
    feed = {"x": np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)}
    assert np.array_equal(plain.run(None, feed)[0], timed.run(None, feed)[0])
    assert np.array_equal(plain.run(None, feed)[0], bitc.load(builds[1]).run(None, feed)[0])
    spent = timed.nanoseconds(feed)
    assert spent.shape == (len(timed.metadata["layers"]) + 1,)
    assert spent[-1] > 0
    assert spent[:-1].sum() > 0
    assert min(timed.metadata["profile"]["laps"]) > 0


@pytest.mark.usefixtures("compiler")
def test_layers_add_up_to_an_undisturbed_call(builds: tuple[Path, Path]) -> None:
    artifact = bitc.Artifact.read(builds[1])
    timing = time_layers(artifact, random_feed(MODEL), seconds=0.0)
    assert len(timing.layers) == len(artifact.manifest["layers"])
    assert sum(timing.layers) == pytest.approx(timing.total)
    assert min(timing.layers) >= 0.0


@pytest.mark.usefixtures("compiler")
def test_other_builds_are_refused(builds: tuple[Path, Path]) -> None:
    with pytest.raises(OptionError, match="not a profiling build"):
        ProfilingSession(builds[0])


@pytest.mark.usefixtures("compiler")
def test_profile_of_a_model(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", ("N", 4))
    net.output(net.node("Relu", net.node("MatMul", x, np.eye(4, 3, dtype=np.float32)), name="y"))
    layers = profile(net.save(tmp_path / "net.onnx"), target="portable")
    assert [entry["kernel"] for entry, _ in layers] == [
        entry["kernel"] for entry in _layers(tmp_path / "net.onnx", tmp_path)
    ]
    assert all(seconds >= 0 for _, seconds in layers)


def _layers(model: Path, folder: Path) -> list[dict[str, object]]:
    layers = bitc.compile(model, target="portable", out=folder / "net", emit=("c",)).manifest["layers"]
    assert isinstance(layers, list)
    return layers


def test_the_clock_is_taken_off_by_how_often_it_was_read() -> None:
    timing = without_clock(np.array([300.0, 130.0, 70.0, 320.0]), np.array([10, 5, 3]))
    assert timing.total == 320e-9
    assert timing.layers == pytest.approx((200e-9, 80e-9, 40e-9))


def test_no_layer_takes_less_than_no_time() -> None:
    timing = without_clock(np.array([100.0, 5.0, 60.0]), np.array([1, 1]))
    assert timing.layers == pytest.approx((60e-9, 0.0))
    faster = without_clock(np.array([30.0, 10.0, 80.0]), np.array([1, 1]))
    assert faster.layers == pytest.approx((60e-9, 20e-9))
