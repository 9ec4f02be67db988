"""Constants as strings: the same numbers, whatever their type, under strict warnings of both compilers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.nets import NETS, inputs_of, prepared
from runtime.harness import COMPILERS, cpu_has

from bitc.codegen import TARGETS, assembly
from bitc.ir import Builder, DType, Graph, TensorType, evaluate


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_the_size_changes_no_bits(
    net: Callable[[], Graph], target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cpu_has(TARGETS[target].isa):
        pytest.skip(f"no {target} here")
    graph = prepared(net())
    items = 3 if graph.attrs.get("batch") else None
    inputs = inputs_of(graph, 3, items=items)
    k, found = lowered(graph, TARGETS[target]), []
    for text_bytes, folder in ((1, tmp_path / "text"), (1 << 40, tmp_path / "numbers")):
        monkeypatch.setattr(assembly, "TEXT_BYTES", text_bytes)
        folder.mkdir()
        for compiler in COMPILERS:
            found.append(build(generated(k, TARGETS[target]), TARGETS[target], folder, compiler).run(inputs, items))
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            assert a.tobytes() == b.tobytes()


def large() -> Graph:
    """A dense layer of i8 weights."""
    rng, b = np.random.default_rng(2), Builder()
    x = b.input("x", TensorType((2, 300), DType.U8))
    w = b.constant(rng.integers(-128, 128, (300, 200)).astype(np.int8))
    y = b.add("q.int_matmul", x, w, b.constant(np.arange(200, dtype=np.int32)), highest=255)
    return Graph("net", [x], b.ops, [y])


def test_only_bytes_whose_order_is_known_are_strings(tmp_path: Path) -> None:
    graph, x = large(), np.random.default_rng(1).integers(0, 256, (2, 300)).astype(np.uint8)
    for name in ("portable", "avx2"):
        made = generated(lowered(graph, TARGETS[name]), TARGETS[name])
        header = made.files["net_weights.h"]
        assert len(re.findall(r'^    "', header, re.MULTILINE)) > 1000
        if cpu_has(TARGETS[name].isa):
            (tmp_path / name).mkdir()
            (got,) = build(made, TARGETS[name], tmp_path / name).run([x])
            np.testing.assert_array_equal(got, evaluate(graph, [x])[0])
    wide = generated(lowered(floats(), TARGETS["portable"]), TARGETS["portable"])
    assert '"' not in wide.files["net_weights.h"].partition("#define")[2]
    assert "elements[" in generated(lowered(floats(), TARGETS["avx2"]), TARGETS["avx2"]).files["net_weights.h"]


def floats() -> Graph:
    """A dense layer of as many floats."""
    rng, b = np.random.default_rng(2), Builder()
    x = b.input("x", TensorType((2, 300), DType.F32))
    w = b.constant(rng.standard_normal((300, 200)).astype(np.float32))
    return prepared(Graph("net", [x], b.ops, [b.add("nn.matmul", x, w)]))


def test_text_of_weights_is_digits() -> None:
    """A model's bytes are no words in a C file."""
    made = generated(lowered(large(), TARGETS["avx2"]), TARGETS["avx2"])
    strings = re.findall(r'^    "(.*)"$', made.files["net_weights.h"], re.MULTILINE)
    assert all(re.fullmatch(r"(\\[0-7]{1,3})+", text) for text in strings)
