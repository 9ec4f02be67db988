"""Each network three ways: the q graph and the k graph in the interpreter, and the generated C. All bits agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from codegen.agreement import agree, same
from codegen.build import lowered
from codegen.nets import NETS, convolutions, free_batch, grouped, inputs_of, prepared, random_chain
from runtime.harness import COMPILERS

from bitc.codegen import TARGETS
from bitc.ir import Graph, evaluate, parse_graph
from bitc.ir.printer import print_graph

EMULATED = (convolutions, grouped)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_networks(net: Callable[[], Graph], target: str, tmp_path: Path) -> None:
    agree(prepared(net()), target, tmp_path)


@pytest.mark.parametrize("net", EMULATED, ids=lambda net: net.__name__)
def test_networks_avx512(net: Callable[[], Graph], tmp_path: Path) -> None:
    agree(prepared(net()), "avx512", tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_random_chains(seed: int, tmp_path: Path) -> None:
    agree(prepared(random_chain(100 + seed)), "avx2", tmp_path)


@pytest.mark.skipif("clang" not in COMPILERS and "clang-19" not in COMPILERS, reason="no clang here")
def test_clang_gives_the_same_bits(tmp_path: Path) -> None:
    clang = next(name for name in COMPILERS if name.startswith("clang"))
    agree(prepared(convolutions()), "avx2", tmp_path, clang)


def test_items_of_a_free_batch_are_independent(tmp_path: Path) -> None:
    graph = prepared(free_batch())
    library = agree(graph, "portable", tmp_path)
    items = inputs_of(graph, 5, items=4)
    wanted = [evaluate(graph, [x[i : i + 1] for x in items]) for i in range(4)]
    same(library.run(items, items=4), [np.concatenate(parts) for parts in zip(*wanted, strict=True)])


def test_null_pointers_and_misaligned_arenas_are_refused(tmp_path: Path) -> None:
    library = agree(prepared(free_batch()), "portable", tmp_path)
    arena = np.zeros(library.made.arena_bytes + 128, np.uint8)
    start = arena.ctypes.data + -arena.ctypes.data % 64
    io = library.ffi.new("net_io *")
    assert library.lib.net_run(io, library.ffi.cast("void *", start)) == 1
    assert library.lib.net_run(library.ffi.NULL, library.ffi.cast("void *", start)) == 1
    floats = np.zeros(1000, np.float32)
    for port in library.made.manifest["inputs"] + library.made.manifest["outputs"]:
        setattr(io, port["field"], library.ffi.cast("void *", floats.ctypes.data))
    assert library.lib.net_run(io, library.ffi.cast("void *", start)) == 0
    assert library.lib.net_run(io, library.ffi.cast("void *", start + 1)) == 1
    assert library.lib.net_run(io, library.ffi.NULL) == 1


@pytest.mark.parametrize("seed", range(12))
def test_random_chains_in_the_interpreter(seed: int) -> None:
    graph = prepared(random_chain(seed))
    inputs = inputs_of(graph, seed)
    wanted = evaluate(graph, inputs)
    for target in TARGETS.values():
        k = lowered(graph, target)
        same(evaluate(k, inputs), wanted)
        constants: dict[str, np.ndarray] = {}
        text = print_graph(k, constants)
        assert print_graph(parse_graph(text, constants), {}) == text
