"""Networks whose products of bits run along trees, adding or skipping, or by tables: q graph, k graph and C give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from codegen import agreement
from codegen.agreement import same
from codegen.build import lowered
from codegen.nets import NETS, convolutions, grouped, inputs_of, prepared, random_chain
from runtime.harness import COMPILERS

from bitc.codegen import TARGETS
from bitc.ir import Graph, evaluate, parse_graph
from bitc.ir.printer import print_graph
from bitc.passes.mst_reorder import MstReorder


def agree(graph: Graph, target_name: str, folder: Path, compiler: str = "gcc", use: str = "on") -> None:
    """Run ``graph`` all three ways on random inputs, with trees (or ``skipping``, ``tables``) wherever they can be."""
    agreement.agree(
        graph, target_name, folder, compiler, lambda g, target: lowered(MstReorder(target.isa, use).run(g), target)
    )


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("use", ["on", "skipping", "tables"])
def test_networks(net: Callable[[], Graph], target: str, use: str, tmp_path: Path) -> None:
    agree(prepared(net()), target, tmp_path, use=use)


@pytest.mark.parametrize("net", [convolutions, grouped], ids=lambda net: net.__name__)
@pytest.mark.parametrize("use", ["on", "skipping"])
def test_networks_avx512(net: Callable[[], Graph], use: str, tmp_path: Path) -> None:
    agree(prepared(net()), "avx512", tmp_path, use=use)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_random_chains(seed: int, target: str, tmp_path: Path) -> None:
    agree(prepared(random_chain(200 + seed)), target, tmp_path, use="skipping" if seed % 2 else "on")


@pytest.mark.parametrize("compiler", [name for name in COMPILERS if name != "gcc"])
@pytest.mark.parametrize("use", ["on", "skipping"])
def test_clang_gives_the_same_bits(compiler: str, use: str, tmp_path: Path) -> None:
    agree(prepared(convolutions()), "avx2", tmp_path, compiler, use)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("use", ["on", "skipping"])
def test_random_chains_in_the_interpreter(seed: int, use: str) -> None:
    graph = prepared(random_chain(300 + seed))
    inputs = inputs_of(graph, seed)
    wanted = evaluate(graph, inputs)
    for target in TARGETS.values():
        k = lowered(MstReorder(target.isa, use).run(graph), target)
        same(evaluate(k, inputs), wanted)
        constants: dict = {}
        assert print_graph(parse_graph(print_graph(k, constants), constants), {}) == print_graph(k, {})
