"""Products of two computed tensors of integers: the graph, its kernels and the generated C give the same bits, in any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.crews import COUNTS, identical, pool_of, two_ways
from runtime.harness import COMPILERS, cpu_has, why_not

from bitc.codegen import TARGETS
from bitc.ir import Builder, DType, Graph, TensorType, Value, evaluate

Shape = tuple[int, ...]
BYTES, WORDS = (DType.U8, DType.I8), (DType.I16, DType.I16)


def product(
    x: Shape, y: Shape, storages: tuple[DType, DType] = BYTES, *, turned: tuple[int, ...] = (), left: tuple[int, ...] = (),
    lowest: int = 0, highest: tuple[int, int] = (15, 8),
) -> Graph:  # fmt: skip
    """x @ y of numbers within ``highest``, axes of y, and of x, exchanged before it."""
    b = Builder()
    inputs = [
        b.input(name, TensorType(shape, dtype)) for name, shape, dtype in zip("xy", (x, y), storages, strict=True)
    ]
    sides: list[Value] = list(inputs)
    for index, perm in enumerate((left, turned)):
        if perm:
            sides[index] = b.add("nn.transpose", sides[index], perm=perm)
    z = b.add("q.int_gemm", *sides, lowest=lowest, x_highest=highest[0], y_highest=highest[1])
    return Graph("net", inputs, b.ops, [z])


CASES: dict[str, Callable[[], Graph]] = {
    "one matrix": lambda: product((6, 20), (20, 17)),
    "scores": lambda: product((1, 3, 9, 16), (1, 3, 9, 16), turned=(0, 1, 3, 2), lowest=-8),
    "heads inside": lambda: product((2, 9, 3, 8), (2, 9, 3, 8), left=(0, 2, 1, 3), turned=(0, 2, 3, 1)),
    "a left side that lies by columns": lambda: product((2, 12, 5), (2, 12, 18), left=(0, 2, 1), lowest=3),
    "one right side for all": lambda: product((4, 5, 11), (11, 9)),
    "a right side for each of an inner axis": lambda: product((4, 3, 5, 11), (3, 11, 9)),
    "stacks that no two axes describe": lambda: product((2, 1, 3, 5, 4), (1, 2, 3, 4, 6)),
    "full bytes": lambda: product((3, 7, 40), (3, 40, 33), lowest=-128, highest=(255, 128)),
    "words": lambda: product((3, 7, 21), (3, 21, 33), WORDS, highest=(32767, 255)),
    "a term": lambda: product((5, 4, 1), (5, 1, 4), WORDS, highest=(32767, 32767)),
}


def numbers(graph: Graph) -> list[np.ndarray]:
    """Inputs within what the product is told of them, their ends among them."""
    rng, attrs = np.random.default_rng(9), graph.ops[-1].attrs
    found = []
    for value, most in zip(graph.inputs, (attrs["x_highest"], attrs["y_highest"]), strict=True):
        assert isinstance(value.type, TensorType)
        limits = np.iinfo(value.type.dtype.numpy)
        ends = max(limits.min, -most), min(limits.max, most)
        found.append(np.where(rng.random(value.shape) < 0.3, ends[1], rng.integers(*ends, value.shape, endpoint=True)))
    return [array.astype(v.type.dtype.numpy) for array, v in zip(found, graph.inputs, strict=True)]  # type: ignore[union-attr]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_the_kernels_mean_the_product(case: str, target: str) -> None:
    graph = CASES[case]()
    inputs = numbers(graph)
    k = lowered(graph, TARGETS[target])
    assert {"k.pack_integers", "k.igemm"} <= {op.name for op in k.ops}
    np.testing.assert_array_equal(evaluate(k, inputs)[0], evaluate(graph, inputs)[0])


@pytest.mark.parametrize("target", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("case", CASES)
def test_the_generated_library_gives_the_same_bits(case: str, target: str, tmp_path: Path) -> None:
    if (reason := why_not(target)) is not None:
        pytest.skip(reason)
    graph = CASES[case]()
    inputs = numbers(graph)
    k = lowered(graph, TARGETS[target])
    for compiler in COMPILERS[:1] if case != "scores" or not cpu_has(target) else COMPILERS:
        library = build(generated(k, TARGETS[target], guard_bytes=64), TARGETS[target], tmp_path, compiler)
        np.testing.assert_array_equal(library.run(inputs)[0], evaluate(graph, inputs)[0])
    (layer,) = (entry for entry in library.made.manifest["layers"] if entry["macs"])
    assert layer["form"] == ("int16 x int16" if graph.inputs[0].type.dtype is DType.I16 else "int8 x int8")  # type: ignore[union-attr]
    assert layer["macs"] == layer["shape"][0] * np.prod(layer["shape"][1:]) * graph.ops[-1].operands[0].shape[-1]


@pytest.mark.parametrize("case", ["heads inside", "one right side for all", "a right side for each of an inner axis"])
def test_threads_share_the_stack(case: str, tmp_path: Path) -> None:
    graph = CASES[case]()
    plain, shared = two_ways(lowered(graph, TARGETS["portable"]), "portable", tmp_path)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run(numbers(graph), crew=crew), plain.run(numbers(graph)))
