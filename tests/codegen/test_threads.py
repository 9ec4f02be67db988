"""Networks in several threads: the bits of the plain library for any number of them, whoever runs the parts and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from codegen.build import Library, build, generated, lowered
from codegen.nets import NETS, convolutions, inputs_of, prepared
from runtime.harness import why_not

from benchmarks.networks import CASES
from bitc.codegen import TARGETS
from bitc.codegen.memory_plan import ALIGN_BYTES
from bitc.codegen.sharing import Share, shares
from bitc.compiler import Options, Trace, lower
from bitc.ir import Graph

MOST = 5
COUNTS = (1, 2, 3, MOST)
NETWORKS = ["birealnet18", "quicknet", "vgg_small", "resnet20", "resnet18_int8", "mobilenetv2_int8", "bert_w1a1", "bert_ternary"]


@contextmanager
def pool_of(library: Library, threads: int) -> Iterator[tuple[Any, ...]]:
    """The last arguments of a run in ``threads`` threads of the library's own pool."""
    pool = library.lib.net_pool_create(threads)
    assert pool != library.ffi.NULL
    try:
        yield threads, library.ffi.addressof(library.lib, "net_pool_parallel"), pool
    finally:
        library.lib.net_pool_destroy(pool)


def identical(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    """The same bits, NaN and the signs of zeros included."""
    for index, (a, b) in enumerate(zip(got, wanted, strict=True)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8), err_msg=f"output {index}")


def two_ways(graph: Graph, target_name: str, folder: Path, pool: str = "pthreads") -> tuple[Library, Library]:
    """The plain library of a k graph, and the one for ``MOST`` threads."""
    target = TARGETS[target_name]
    (folder / "plain").mkdir()
    (folder / "threads").mkdir()
    plain = build(generated(graph, target), target, folder / "plain")
    return plain, build(generated(graph, target, 64, MOST, pool), target, folder / "threads")


def skip_where_missing(target_name: str) -> None:
    """Skip where neither this CPU nor an emulation runs the target."""
    if (reason := why_not(TARGETS[target_name].isa)) is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_any_number_of_threads_gives_the_same_bits(net: Callable[[], Graph], target: str, tmp_path: Path) -> None:
    skip_where_missing(target)
    graph = prepared(net())
    plain, shared = two_ways(lowered(graph, TARGETS[target]), target, tmp_path)
    items = 3 if graph.attrs.get("batch") else None
    inputs = inputs_of(graph, 7, items=items)
    wanted = plain.run(inputs, items)
    identical(shared.run(inputs, items), wanted)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            for _ in range(3):
                identical(shared.run(inputs, items, crew), wanted)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_benchmark_networks_with_any_weights(name: str, target: str, tmp_path: Path) -> None:
    skip_where_missing(target)
    path = tmp_path / "net.onnx"
    onnx.save(CASES[name].model(small=True), path)
    graph = lower(path, TARGETS[target], Options(), Trace())
    plain, shared = two_ways(graph, target, tmp_path)
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal(value.shape).astype(value.type.dtype.numpy) for value in graph.inputs]  # type: ignore[union-attr]
    wanted = plain.run(inputs)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run(inputs, crew=crew), wanted)
