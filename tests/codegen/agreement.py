"""Whether a network gives the same bits three ways: as a q graph and as a k graph in the interpreter, and as generated C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from codegen.build import Library, build, generated, lowered
from codegen.nets import inputs_of
from runtime.harness import why_not

from bitc.codegen import TARGETS, Target
from bitc.ir import Graph, evaluate


def same(got: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """Equal shapes, dtypes and values."""
    for index, (a, b) in enumerate(zip(got, wanted, strict=True)):
        assert a.dtype == b.dtype, index
        np.testing.assert_array_equal(a, b, err_msg=f"output {index}")


def agree(
    graph: Graph,
    target_name: str,
    folder: Path,
    compiler: str = "gcc",
    lower: Callable[[Graph, Target], Graph] = lowered,
) -> Library:
    """Run ``graph`` all three ways on random inputs."""
    if (reason := why_not(TARGETS[target_name].isa)) is not None:
        pytest.skip(reason)
    target = TARGETS[target_name]
    k = lower(graph, target)
    library = build(generated(k, target, guard_bytes=64), target, folder, compiler)
    for seed in range(2):
        inputs = inputs_of(graph, seed)
        wanted = evaluate(graph, inputs)
        same(evaluate(k, inputs), wanted)
        items = 1 if graph.attrs.get("batch") else None
        same(library.run(inputs, items), wanted)
    return library
