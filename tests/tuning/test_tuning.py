"""Tuning: each form of each layer that has several is built and timed once, and the file of times makes the same choices again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import bitc
from bitc import tuning
from bitc.cli import main
from bitc.codegen.targets import TARGETS
from bitc.errors import OptionError
from bitc.ir import Builder, Graph, Levels, TensorType, evaluate
from bitc.passes.measured import Measured, layer_key
from bitc.passes.split_planes import forms_of
from bitc.toolchain import find_compiler

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find_compiler()
    monkeypatch.setattr(tuning, "ROUNDS", 1)
    monkeypatch.setattr(tuning, "TURN_SECONDS", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def model(folder: Path) -> Path:
    """Two equal convolutions of 2-bit activations by ternary weights, then a dense layer of them: three layers, two to measure."""
    rng = np.random.default_rng(0)
    nodes, constants, x = [], [], "x"

    def constant(name: str, array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    constant("zero", np.zeros(()))
    constant("three", np.full((), 3))
    for index in range(2):
        weights = constant(f"w{index}", rng.integers(-1, 2, (8, 8, 3, 3)))
        nodes += [
            helper.make_node("Clip", [x, "zero", "three"], [f"c{index}"]),
            helper.make_node("Round", [f"c{index}"], [f"q{index}"]),
            helper.make_node("Conv", [f"q{index}", weights], [f"y{index}"], pads=[1, 1, 1, 1], name=f"conv{index}"),
        ]
        x = f"y{index}"
    nodes += [
        helper.make_node("Clip", [x, "zero", "three"], ["c2"]),
        helper.make_node("Round", ["c2"], ["q2"]),
        helper.make_node("Flatten", ["q2"], ["flat"]),
        helper.make_node("MatMul", ["flat", constant("w2", rng.integers(-1, 2, (8 * 25, 6)))], ["y"], name="dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6])],
        constants,
    )
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_network_without_layers_to_measure_leaves_a_file_too(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    path, times = tmp_path / "relu.onnx", tmp_path / "times.json"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    for _ in range(2):
        bitc.compile(path, target="portable", out=tmp_path / "a", emit=("c",), tune=True, tuning=times)
        assert Measured.parse(str(times)).layers == {}


def test_layers_are_measured_once_and_the_file_repeats_the_choices(tmp_path: Path) -> None:
    seen: list[str] = []

    def progress(what: str, index: int, total: int) -> None:
        if what.startswith("measuring"):
            seen.append(f"{what} {index}/{total}")

    path, times = model(tmp_path), tmp_path / "times.json"
    first = bitc.compile(
        path, target="portable", out=tmp_path / "a", emit=("c",), tune=True, tuning=times, trace=bitc_trace(progress)
    )
    assert len(seen) == 2
    assert "conv0" in seen[0]
    assert "dense" in seen[1]
    found = Measured.parse(str(times))
    assert all(len(forms) > 1 and min(forms.values()) > 0 for forms in found.layers.values())
    again = bitc.compile(
        path, target="portable", out=tmp_path / "b", emit=("c",), tune=True, tuning=times, trace=bitc_trace(progress)
    )
    only = bitc.compile(path, target="portable", out=tmp_path / "c", emit=("c",), tuning=times)
    assert len(seen) == 2
    for other in (again, only):
        assert other.source.read_bytes() == first.source.read_bytes()
        assert other.manifest == first.manifest
    assert f"tuning={found.fingerprint()}" in first.source.read_text()
    machine = json.loads(times.read_text())["tuning"]["machine"]
    assert machine == tuning.machine_of(TARGETS["portable"])


def bitc_trace(progress: object) -> object:
    from bitc.passes.pipeline import Trace

    return Trace(progress=progress)  # type: ignore[arg-type]


def test_tuned_networks_give_the_same_bits(tmp_path: Path) -> None:
    path, x = model(tmp_path), np.random.default_rng(1).normal(1, 2, (1, 8, 5, 5)).astype(np.float32)
    plain = bitc.compile(path, target="portable", out=tmp_path / "plain").session()
    tuned = bitc.compile(path, target="portable", out=tmp_path / "tuned", tune=True).session()
    np.testing.assert_array_equal(tuned.run(None, {"x": x})[0], plain.run(None, {"x": x})[0])
    assert tuning.tuning_file(TARGETS["portable"]).is_relative_to(tmp_path / "cache")
    assert tuning.tuning_file(TARGETS["portable"]).is_file()


@pytest.mark.parametrize("x", [Levels(0, 1, 4), Levels(-3, 2, 4), Levels(-8, 1, 16)], ids=str)
def test_a_layer_alone_computes_what_it_computes_in_a_network(x: Levels) -> None:
    rng, b = np.random.default_rng(2), Builder()
    weights = rng.integers(-1, 2, (6, 4, 3, 3)).astype(np.float32)
    source = b.input("x", TensorType((1, 4, 5, 5)))
    codes, w = b.add("q.encode", source, levels=x), b.add("q.encode", b.constant(weights), levels=Levels(-1, 1, 3))
    attrs = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "pad_level": x.lo, "group": 1}
    y = b.add("q.conv", codes, w, **attrs)
    whole, made = Graph("net", [source], b.ops, [y]), tuning.alone(y.producer)  # type: ignore[arg-type]
    levels = rng.choice(x.values(), source.shape).astype(np.float32)
    scale = np.linspace(0.5, 1.5, 6, dtype=np.float32).reshape(1, -1, 1, 1)
    wanted = evaluate(whole, [levels])[0].astype(np.float32) * scale
    np.testing.assert_array_equal(evaluate(made, [levels])[0], wanted)
    (product,) = (op for op in made.ops if op.name == "q.conv")
    assert layer_key(product) == layer_key(y.producer)  # type: ignore[arg-type]
    assert len(forms_of(product, "avx2")) > 1


def test_the_command_line_measures_too(tmp_path: Path, capsys: Capture) -> None:
    path, times = model(tmp_path), tmp_path / "deep" / "times.json"
    common = ["compile", str(path), "--target", "portable", "--emit", "c", "-o", str(tmp_path / "out")]
    assert main([*common, "--tune", "--tuning", str(times)]) == 0
    assert times.is_file()
    assert main([*common, "--tuning", str(tmp_path / "none.json")]) == 2
    assert "O029" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"file/times\.json cannot be written"):
        bitc.compile(
            model(tmp_path), target="portable", out=tmp_path / "out", tune=True, tuning=tmp_path / "file" / "times.json"
        )
    assert not (tmp_path / "out").exists()
