"""``bitc explain``: every product has a form, a rule and, if it could do better, a reason and advice; shares add up."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitc.cli import main
from bitc.codegen.work import multiplications
from bitc.compiler import Options
from bitc.errors import OptionError, ToolchainError, UnsupportedError
from bitc.explain import FAMILIES, KINDS, Explanation, explain, explanation
from bitc.profile import Timing
from bitc.toolchain import Compiler
from tests.networks.onnx_net import Net

MODELS = sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))
F32 = np.float32
Capture = pytest.CaptureFixture[str]


def test_every_kernel_that_multiplies_has_a_family() -> None:
    kernels = set(re.findall(r'"(k\.\w+)"', inspect.getsource(multiplications)))
    assert kernels == FAMILIES.keys()
    assert {family.kind for family in FAMILIES.values()} == {*KINDS, ""}


def adds_up(found: Explanation) -> None:
    """Shares of work, and of time where there are some, are all of it; each product says what there is to say."""
    assert found.products
    assert sum(product.macs_share for product in found.products) == pytest.approx(1)
    assert sum(map(found.macs_share, KINDS)) == pytest.approx(1)
    if found.seconds is not None:
        assert sum(map(found.time_share, (*KINDS, None))) == pytest.approx(1)
        assert sum(entry.seconds or 0.0 for entry in (*found.products, *found.rest)) == pytest.approx(found.seconds)
    for product in found.products:
        assert product.rule
        assert product.contract in ("exact", "rounded")
        assert bool(product.hint) == (product.kind != "bits" or bool(product.why)), product


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_the_networks_of_the_repository(model: Path) -> None:
    found = explain(model, target="portable", time=True)
    adds_up(found)
    assert found.seconds is not None
    assert found.not_timed == ""
    assert found.macs_share("bits") > 0.5
    untimed = explain(model, target="portable", time=False)
    assert untimed.seconds is None
    assert untimed.not_timed
    assert [replace(p, seconds=None, time_share=None) for p in found.products] == list(untimed.products)


def signs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).choice([-1, 1], shape).astype(F32)


def product(weights: np.ndarray, *, before: Callable[[Net, str], str] | None = None, size: int = 4) -> Net:
    """A convolution of an image ``x`` if there are four axes of weights, else a dense layer."""
    net = Net()
    x = net.input("x", (1, weights.shape[1], size, size) if weights.ndim == 4 else (1, weights.shape[0]))
    x = before(net, x) if before is not None else x
    net.output(net.node("Conv" if weights.ndim == 4 else "MatMul", x, weights, name="y"))
    return net


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(F32)


def whole_numbers(*shape: int, most: int = 9) -> np.ndarray:
    return np.random.default_rng(2).integers(-most, most + 1, shape).astype(F32)


def infinite(*shape: int) -> np.ndarray:
    weights = signs(*shape)
    weights.flat[0] = np.inf
    return weights


def sign(net: Net, x: str) -> str:
    return net.node("Sign", x)


def maybe_infinite(net: Net, x: str) -> str:
    return net.node("Where", net.node("Greater", x, np.asarray(0, F32)), np.asarray(np.inf, F32), np.asarray(1, F32))


BLOCKED = {
    "weights are any numbers": (product(numbers(4, 8, 3, 3), before=sign), {}, "float"),
    "a weight is infinite": (product(infinite(4, 8, 3, 3), before=sign), {}, "float"),
    "input takes any values": (product(whole_numbers(4, 8, 3, 3)), {}, "float"),
    "input takes any values, weights are signs, many pixels": (product(signs(4, 8, 1, 1)), {}, "float"),
    "input takes any values, weights are signs, read once": (product(signs(8, 4)), {}, "float"),
    "input may be infinite": (product(whole_numbers(4, 8, 3, 3), before=maybe_infinite), {}, "float"),
    "input is not evenly spaced": (product(whole_numbers(8, 4)), {"x": (0.0, 1.0, 3.7213, 5.111)}, "float"),
    "input has more than 16 bits": (product(whole_numbers(8, 4)), {"x": range(-70000, 70001)}, "float"),
    "sums exceed int32": (product(whole_numbers(1200, 4, most=127)), {"x": range(-32767, 32768)}, "float"),
    "weights of several bits": (product(whole_numbers(4, 8, 3, 3)), {"x": (-1.0, 1.0)}, None),
    "input of 8 bits": (product(signs(4, 8, 3, 3)), {"x": range(-128, 128)}, None),
    "input and weights of 8 bits": (product(whole_numbers(8, 4, most=127)), {"x": range(-128, 128)}, None),
    "Sign gives 0": (product(signs(4, 8, 3, 3), before=sign), {}, "bits"),
}


@pytest.mark.parametrize("case", BLOCKED)
def test_what_is_blocked_says_why_and_how_to_export_it_better(case: str, tmp_path: Path) -> None:
    net, values, kind = BLOCKED[case]
    found = explain(net.save(tmp_path / "net.onnx"), target="portable", options=Options(values=values), time=False)
    adds_up(found)
    (only,) = found.products
    assert only.why
    assert only.hint
    assert kind is None or only.kind == kind
    assert only.op_type == net.model().graph.node[-1].op_type
    assert only.name == net.model().graph.node[-1].name


def test_what_runs_at_its_best_needs_no_advice(tmp_path: Path) -> None:
    model = product(signs(4, 8, 3, 3)).save(tmp_path / "net.onnx")
    found = explain(model, target="portable", options=Options(values={"x": (-1.0, 1.0)}), time=False)
    adds_up(found)
    assert [(p.kind, p.form, p.why, p.hint) for p in found.products] == [("bits", "1x1 bit", "", "")]


def layer(op: str, form: str, macs: int, node: str = "node 0 'a' (Conv)") -> dict[str, object]:
    return {"op": op, "form": form, "macs": macs, "node": node, "shape": [1, 2, 2, 4], "kernel": "f"}


def test_bit_planes_of_one_product_count_once() -> None:
    layers = [
        layer("k.bconv_acc", "1x1 bit", 100),
        layer("k.bconv_acc", "1x1 bit", 100),
        layer("k.bconv_acc", "1x1 bit", 1),
        layer("k.fconv", "float32", 200, "node 1 (Conv)"),
        layer("k.matmul", "int32", 100, "node 2 (MatMul)"),
        layer("k.map", "elementwise f32", 0),
        layer("k.fpool", "float32", 0),
    ]
    layers[1]["costs"] = layers[0]["costs"] = ["four planes 1.5 ms, integers 2 ms"]
    manifest = {"name": "n", "target": "t", "arena_bytes": 1, "weight_bytes": 2, "layers": layers}
    found = explanation(manifest, Timing(10.0, (0.5, 2.0, 0.5, 2.0, 1.0, 3.0, 1.0)))
    assert [(p.form, p.name, p.macs, p.seconds) for p in found.products] == [
        ("3 times 1x1 bit", "a", 100, 3.0),
        ("float32", "", 200, 2.0),
        ("int32", "", 100, 1.0),
    ]
    assert [p.kind for p in found.products] == ["bits", "float", "integers"]
    assert found.products[0].costs == ("four planes 1.5 ms, integers 2 ms",)
    assert found.macs_share("bits") == 0.25
    assert [(r.node, r.what, r.time_share) for r in found.rest] == [
        ("node 0 'a' (Conv)", ("elementwise f32", "pool"), 0.4)
    ]


def test_text_names_reasons_and_shares(tmp_path: Path, capsys: Capture) -> None:
    model = product(numbers(4, 8, 3, 3), before=sign).save(tmp_path / "net.onnx")
    assert main(["explain", str(model), "--target", "portable", "--no-time"]) == 0
    text = capsys.readouterr().out
    for part in (
        "net for portable",
        "100.0 % float",
        "not measured",
        "node 1 'node1' (Conv)",
        "because  ",
        "better   ",
    ):
        assert part in text
    assert "\x1b" not in text


@pytest.mark.usefixtures("compiler")
def test_a_network_without_products(tmp_path: Path, capsys: Capture) -> None:
    net = Net()
    net.output(net.node("Relu", net.input("x", ("N", 4)), name="y"))
    assert main(["explain", str(net.save(tmp_path / "net.onnx")), "--target", "portable", "--time"]) == 0
    text = capsys.readouterr().out
    assert "MACs     0\n" in text
    assert "100.0 % the rest" in text


@pytest.mark.usefixtures("compiler")
def test_json_has_the_fields_of_the_page(tmp_path: Path, capsys: Capture) -> None:
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    model = product(numbers(4, 8, 3, 3)).save(tmp_path / "net.onnx")
    assert main(["explain", str(model), "--target", "portable", "--time", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    flat = {key for row in rows for key in row.split("`")[1::2]}
    assert found.keys() <= flat
    assert {key for entry in (*found["products"], *found["rest"], found["macs"]) for key in entry} <= flat
    assert flat <= {*found, *found["macs"], *found["products"][0], *found["rest"][0]}
    assert found["macs"] == {"all": 4 * 8 * 9 * 4, "bits": 0, "integers": 0, "float": 1}
    assert isinstance(found["seconds"], float)


def test_a_refused_model_lists_its_nodes(tmp_path: Path, capsys: Capture) -> None:
    net = Net()
    x = net.input("x", (1, 4))
    net.output(net.node("Det", x, name="a"))
    net.output(net.node("GridSample", x, name="b"))
    path = net.save(tmp_path / "net.onnx")
    assert main(["explain", str(path)]) == 3
    printed = capsys.readouterr()
    assert printed.err.count("error[U001]") == 2
    assert printed.out == ""
    assert main(["explain", str(path), "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["error"]["diagnostics"]) == 2
    with pytest.raises(UnsupportedError):
        explain(path, time=False)


def test_a_target_that_does_not_run_here_is_explained_without_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: Compiler
) -> None:
    monkeypatch.setattr("bitc.codegen.targets.cpu_features", lambda: frozenset())
    model = product(numbers(4, 8, 3, 3)).save(tmp_path / "net.onnx")
    assert "this CPU" in explain(model, target="avx2").not_timed
    with pytest.raises(OptionError, match="this CPU cannot run target avx2"):
        explain(model, target="avx2", time=True)
    monkeypatch.setenv("CC", "absent-cc")
    assert "C compiler" in explain(model, target="portable").not_timed


def test_a_system_without_clock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("time.clock_gettime")
    model = product(numbers(4, 8, 3, 3)).save(tmp_path / "net.onnx")
    assert "cannot be timed" in explain(model, target="portable").not_timed
    with pytest.raises(ToolchainError, match="T006"):
        explain(model, target="portable", time=True)
