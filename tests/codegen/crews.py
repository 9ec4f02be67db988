"""Libraries for several threads beside those for one, and pools to run them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from codegen.build import Library, build, generated

from bitc.codegen import TARGETS
from bitc.ir import Graph

MOST = 5
COUNTS = (1, 2, 3, MOST)


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
