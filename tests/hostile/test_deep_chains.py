"""Chains of many nodes: no step of the compiler recurses along the graph, and groups of ops grow in linear time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from frontend.oracle import model, node

from bitc.compiler import compile
from bitc.errors import ModelError
from bitc.frontend import import_model
from bitc.frontend.load import load
from bitc.ir import Builder, Op, TensorType, parse_graph
from bitc.ir.printer import print_graph
from bitc.limits import Limits
from bitc.passes import cones
from bitc.passes.regions import Partition
from bitc.passes.value_sets import ValueSets

F = np.float32
LENGTH = 1500
"""More than Python's recursion limit, 1000."""

W = np.asarray([[1, -1], [-1, -1]], F)
LINKS = {
    "elementwise": ["Neg", "Relu", "Sigmoid"],
    "signs": ["Sign", "Neg"],
    "rounding": ["Round", "Neg", "Floor", "Abs"],
    "moves": ["Transpose", "Identity"],
    "sums": ["Add"],
    "products": ["MatMul"],
    "binarized products": ["Sign", "MatMul"],
    "normalised": ["Softmax"],
    "doubled": ["Concat", "Slice"],
}
CONSTANTS = {"w": W, "s": np.asarray([0]), "e": np.asarray([2]), "a": np.asarray([0])}


def chain(kinds: list[str], length: int) -> onnx.ModelProto:
    """``length`` nodes, each of which reads the one before."""
    names = ["x", *(f"t{i}" for i in range(length - 1)), "y"]
    nodes = []
    for i in range(length):
        kind, x, y = kinds[i % len(kinds)], names[i], names[i + 1]
        operands = {"MatMul": f"{x} w", "Add": f"{x} {x}", "Concat": f"{x} {x}", "Slice": f"{x} s e a"}.get(kind, x)
        nodes.append(node(kind, operands, y, **({"axis": 0} if kind == "Concat" else {})))
    return model(nodes, {"x": (F, [2, 2])}, CONSTANTS)


@pytest.mark.parametrize("kind", LINKS)
def test_chains_longer_than_the_recursion_limit(kind: str, tmp_path: Path) -> None:
    """From the file to C, and as text and back."""
    path = tmp_path / "chain.onnx"
    path.write_bytes(chain(LINKS[kind], LENGTH).SerializeToString())
    artifact = compile(path, target="portable", out=tmp_path / "out", emit=["c"])
    assert artifact.source.is_file()
    graph = import_model(path)
    constants: dict[str, np.ndarray] = {}
    text = print_graph(graph, constants)
    assert print_graph(parse_graph(text, constants)) == text


def test_a_hundred_thousand_nodes_are_refused_or_read() -> None:
    """By default they are beyond the limit; with a higher one they are read and put in order."""
    proto = chain(["Neg"], 100_000)
    with pytest.raises(ModelError, match=r"nodes: at most 20000\n  here:  100000"):
        load(proto)
    source = load(proto, limits=Limits(nodes=100_000))
    assert [index for index, _ in source.nodes] == list(range(100_000))


def test_groups_of_a_long_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ops join one group, and each step looks at no more of it than its ends."""
    graph = import_model(chain(["Neg", "Sigmoid"], LENGTH))
    partition = Partition(graph)
    looks = 0
    reaches = Partition._reaches_around

    def counted(self: Partition, start: object, goal: object) -> bool:
        nonlocal looks
        looks += len(start.readers)  # type: ignore[attr-defined]
        return reaches(self, start, goal)  # type: ignore[arg-type]

    monkeypatch.setattr(Partition, "_reaches_around", counted)
    for op in graph.ops[1:]:
        assert partition.merge(op.operands[0].producer, op)  # type: ignore[arg-type]
    assert [len(group) for group in partition.ordered()] == [LENGTH]
    assert looks <= 3 * LENGTH


@pytest.mark.parametrize("kind", ["rounding", "sums", "elementwise"])
def test_roots_of_a_long_chain(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a value is computed from is known from its operands: nothing walks down the chain for each of its values."""
    graph = import_model(chain(LINKS[kind], LENGTH))
    walked = 0
    walk = cones.cone

    def counted(*arguments: Any, **options: Any) -> list[Op]:
        nonlocal walked
        found = walk(*arguments, **options)
        walked += len(found)
        return found

    monkeypatch.setattr(cones, "cone", counted)
    sets = ValueSets()
    for op in graph.ops:
        sets.of(op.result)
        assert sets.integer_root(op.result) is None
    assert walked <= LENGTH


def test_a_root_farther_than_the_longest_cone_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a value behind thousands of ops is not tabulated through all of them."""
    monkeypatch.setattr(cones, "LONGEST", 8)
    b = Builder()
    x = b.input("x", TensorType((1, 2)))
    value = sums = b.add("nn.matmul", b.add("nn.assume", x, values=(-1.0, 1.0)), b.constant(W))
    roots = []
    for _ in range(12):
        value = b.add("nn.round", b.add("nn.neg", value))
        found = ValueSets().integer_root(value)
        roots.append(None if found is None else found[0])
    assert roots == [sums] * 4 + [None] * 8
