"""Networks whose bit weights are stored as differences: the q graph, the k graph and the generated C give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from codegen import agreement
from codegen.agreement import same
from codegen.crews import COUNTS, identical, pool_of, two_ways
from codegen.nets import Net, convolutions, dense, free_batch, inputs_of, prepared, random_chain, shared_accumulators
from runtime.harness import COMPILERS, why_not

from bitc.codegen import TARGETS, Target
from bitc.ir import TERNARY, Graph, evaluate
from bitc.passes import to_kernels
from bitc.passes.pipeline import run_passes
from bitc.passes.store_deltas import MOST_BYTES


@pytest.fixture(autouse=True)
def _bytes_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights are stored as differences, however little there is to gain."""
    monkeypatch.setattr("bitc.passes.store_deltas.LAYER_BYTES", -(10**6))


def several_words() -> Graph:
    """Channels that end inside a word, more of them than a block, on one plane and on two, and one pixel that threads share."""
    n = Net(11)
    h = n.threshold(n.conv(n.threshold(n.input(1, 130, 6, 5)), 70), TERNARY, 0.5)
    h = n.threshold(n.conv(h, 200, pads=(0, 1, 1, 0)))
    y = n.conv(h, 300, (5, 4), pad=0)
    return n.graph(n.floats(y), n.floats(n.conv(n.threshold(y), 130, (1, 1), pad=0)))


NETS = (convolutions, dense, free_batch, shared_accumulators, several_words)


def lowered(graph: Graph, target: Target) -> Graph:
    """The k graph of ``graph`` for ``target``."""
    bits, block = target.bits, target.float_block
    passes = to_kernels(
        bit_block=bits.block, byte_rows=bits.byte_rows, float_block=block, integers=target.isa, small_weights=MOST_BYTES
    )
    k = run_passes(graph, passes)
    assert any(op.name == "k.delta_weights" for op in k.ops)
    return k


agree = partial(agreement.agree, lower=lowered)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2", "avx512"])
def test_networks(net: Callable[[], Graph], target: str, tmp_path: Path) -> None:
    agree(prepared(net()), target, tmp_path)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_random_chains(seed: int, target: str, tmp_path: Path) -> None:
    agree(prepared(random_chain(200 + seed)), target, tmp_path)


@pytest.mark.parametrize("compiler", [name for name in COMPILERS if name != "gcc"])
def test_clang_gives_the_same_bits(compiler: str, tmp_path: Path) -> None:
    agree(prepared(several_words()), "avx2", tmp_path, compiler)


@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_any_number_of_threads_gives_the_same_bits(target: str, tmp_path: Path) -> None:
    """Weights are decoded before their step is shared; parts of its channels find theirs."""
    if (reason := why_not(TARGETS[target].isa)) is not None:
        pytest.skip(reason)
    graph = prepared(several_words())
    plain, shared = two_ways(lowered(graph, TARGETS[target]), target, tmp_path)
    inputs = inputs_of(graph, 7)
    wanted = plain.run(inputs)
    same(wanted, evaluate(graph, inputs))
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run(inputs, None, crew), wanted)
