"""Constants as strings: the same numbers, whatever their type, under strict warnings of both compilers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.crews import identical
from codegen.nets import NETS, inputs_of, prepared
from runtime.harness import COMPILERS, cpu_has

from bitc.codegen import TARGETS, assembly
from bitc.ir import Builder, DType, Graph, TensorType, evaluate


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_the_bits_are_those_of_numbers(
    net: Callable[[], Graph], target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All constants as strings; as numbers, ``test_bit_exact`` builds the same networks."""
    if not cpu_has(TARGETS[target].isa):
        pytest.skip(f"no {target} here")
    graph = prepared(net())
    items = 3 if graph.attrs.get("batch") else None
    inputs = inputs_of(graph, 3, items=items)
    monkeypatch.setattr(assembly, "TEXT_BYTES", 1)
    k = lowered(graph, TARGETS[target])
    rows = [evaluate(k, [x[i : i + 1] for x in inputs]) for i in range(items)] if items else [evaluate(k, inputs)]
    wanted = [np.ascontiguousarray(np.concatenate(parts)) for parts in zip(*rows, strict=True)]
    made = generated(k, TARGETS[target])
    for compiler in COMPILERS:
        identical(build(made, TARGETS[target], tmp_path, compiler).run(inputs, items), wanted)


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
