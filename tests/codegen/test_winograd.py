"""3x3 products of integers by Winograd's algorithm: where it is chosen, and the graph and the generated C give the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from runtime.harness import COMPILERS, why_not

from bitc.codegen import TARGETS
from bitc.ir import Builder, DType, Graph, TensorType, evaluate
from bitc.ir.integer_packing import INTEGER_FORMS

WINOGRAD = tuple(name for name, form in INTEGER_FORMS.items() if form.winograd is not None)
HIGHEST = 255


def product(
    size: tuple[int, int],
    *,
    images: int = 1,
    channels: tuple[int, int] = (32, 16),
    taps: tuple[int, int] = (3, 3),
    requantized: bool = False,
    storage: DType = DType.I16,
    **attrs: object,
) -> Graph:
    """A padded product of integers, and what is often done to it: scaled, rounded, cut to 8 bits."""
    rng, b = np.random.default_rng(3), Builder()
    x = b.input("x", TensorType((images, channels[0], *size), storage))
    w = b.constant(rng.integers(-127, 128, (channels[1], channels[0], *taps)).astype(np.int8))
    base = b.constant(rng.integers(-999, 1000, channels[1]).astype(np.int32))
    geometry = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "highest": HIGHEST, **attrs}
    y = b.add("q.int_conv", x, w, base, **geometry)
    if requantized:
        scale = b.constant(rng.uniform(1e-4, 1e-3, (1, channels[1], 1, 1)).astype(np.float32))
        y = b.add("nn.round", b.add("nn.mul", b.add("nn.cast", y, to=DType.F32), scale))
        y = b.add("nn.saturate", y, to=DType.I8, lo=-128, hi=127)
    return Graph("net", [x], b.ops, [y])


def inside(graph: Graph) -> list[str]:
    """The names of all ops, those in regions by rows included."""
    bodies = [body for op in graph.ops if isinstance(body := op.attrs.get("body"), Graph) and op.name == "k.rows"]
    return [op.name for op in graph.ops] + [name for body in bodies for name in inside(body)]


@pytest.mark.parametrize("target", WINOGRAD)
@pytest.mark.parametrize("requantized", [False, True])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (7, 7), (13, 9), (6, 30)], ids=str)
def test_the_generated_library_gives_the_same_bits(
    size: tuple[int, int], images: int, requantized: bool, target: str, tmp_path: Path
) -> None:
    if (reason := why_not(target)) is not None:
        pytest.skip(reason)
    graph = product(size, images=images, requantized=requantized)
    x = np.random.default_rng(1).choice(np.array([-HIGHEST, HIGHEST, 0], np.int16), graph.inputs[0].shape)
    k = lowered(graph, TARGETS[target])
    assert "k.iwinograd" in inside(k)
    expected = evaluate(graph, [x])[0]
    np.testing.assert_array_equal(evaluate(k, [x])[0], expected)
    for compiler in COMPILERS:
        library = build(generated(k, TARGETS[target], guard_bytes=64), TARGETS[target], tmp_path, compiler)
        np.testing.assert_array_equal(library.run([x])[0], expected)


@pytest.mark.parametrize("target", WINOGRAD)
def test_rows_that_are_transformed_together_are_done_in_one_step(target: str) -> None:
    for size, together in (((8, 60), 2), ((20, 10), 6), ((7, 7), 6)):
        k = lowered(product(size, requantized=True), TARGETS[target])
        (region,) = (op for op in k.ops if op.name == "k.rows")
        (kernel,) = (op for op in region.attrs["body"].ops if op.name == "k.iwinograd")
        assert kernel.attrs["together"] == together
        assert region.attrs["step"] % together == 0 or region.attrs["step"] == size[0]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "graph",
    [
        product((8, 8), highest=8192),  # transformed activations do not fit 16 bits
        product((8, 8), highest=8000, channels=(128, 16)),  # the sums may pass 2^29
        product((8, 8), strides=(2, 2)),
        product((8, 8), dilations=(2, 2)),
        product((8, 8), taps=(3, 1)),
        product((8, 8), storage=DType.U8),
        product((3, 3)),  # few outputs: tiles compute too many that nobody wants
        product((8, 8), channels=(24, 16)),
        product((8, 8), channels=(16, 16)),
        product((4, 4), channels=(512, 528)),  # too many transformed weights
    ],
)
def test_other_products_run_directly(graph: Graph, target: str) -> None:
    names = inside(lowered(graph, TARGETS[target]))
    assert {"k.iconv", "k.iconv_placed"} & set(names)
    assert "k.iwinograd" not in names
