"""Exactness: what is claimed exact has the same bits in any order of summation; what follows a rounded sum is rounded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from passes.harness import one_of

from bitc.ir import BIPOLAR, Builder, DType, Graph, TensorType, Value, evaluate
from bitc.passes.contracts import StateContracts
from bitc.passes.exactness import exactness, rounds_exactly
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.value_sets import ValueSets

F32 = np.float32
ONES = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
SIGNS = (-1.0, 1.0)
THIRDS = tuple(float(F32(i / 3)) for i in range(4))


def claim(
    name: str, values: Sequence[float] | None, shape: tuple[int, ...] = (2, 3, 5, 5), **attrs: object
) -> tuple[bool, Graph]:
    """Whether op ``name`` of inputs that take ``values`` is claimed exact, and its graph."""
    b = Builder()
    x = b.input("x", TensorType(shape))
    y = b.add(name, b.add("nn.assume", x, values=tuple(values)) if values else x, **attrs)
    assert y.producer is not None
    return rounds_exactly(y.producer, ValueSets()), Graph("g", [x], b.ops, [y])


def pool(kernel: tuple[int, int], pads: int = 0, **more: bool) -> dict[str, object]:
    return {"kernel": kernel, "strides": (2, 2), "pads": (pads,) * 4, "dilations": (1, 1), **more}


@pytest.mark.parametrize(
    ("values", "attrs", "exact"),
    [
        (SIGNS, pool((2, 2)), True),
        (SIGNS, pool((4, 4)), True),
        (SIGNS, pool((3, 3)), False),  # a ninth is rounded, by a division or by a product with 1/9
        (SIGNS, pool((2, 2), 1), True),  # one, two or four count
        (SIGNS, pool((4, 4), 1), False),  # three in a corner
        (SIGNS, pool((4, 4), 1, count_pad=True), True),
        (SIGNS, pool((4, 4), ceil=True), False),
        (THIRDS, pool((2, 2)), False),
        (None, pool((2, 2)), False),
    ],
)
def test_average_pools(values: Sequence[float] | None, attrs: dict[str, object], exact: bool) -> None:
    claimed, graph = claim("nn.avg_pool", values, **attrs)
    assert claimed == exact
    if claimed:
        (means,) = evaluate(graph, [one_of(values or ())(np.random.default_rng(1), graph.inputs[0])])
        assert (means * 16 == np.rint(means * 16)).all()


@pytest.mark.parametrize(
    ("name", "values", "shape", "exact"),
    [
        ("nn.reduce_mean", SIGNS, (2, 3, 4, 4), True),
        ("nn.reduce_mean", SIGNS, (2, 3, 7, 7), False),
        ("nn.reduce_sum", SIGNS, (2, 3, 7, 7), True),
        ("nn.reduce_sum", THIRDS, (2, 3, 7, 7), False),
        ("nn.reduce_sum", (0.0, float(2**23)), (1, 1, 1, 3), True),  # in units of 2^23
        ("nn.reduce_sum", (1.0, float(2**23)), (1, 1, 1, 3), False),  # 1 + 2^23 + 2^23 has 25 bits
        ("nn.reduce_mean", (1.0, float(2**23)), (1, 1, 1, 4), False),
        ("nn.reduce_max", None, (2, 3, 4, 4), True),
    ],
)
def test_reductions(name: str, values: Sequence[float] | None, shape: tuple[int, ...], exact: bool) -> None:
    claimed, _ = claim(name, values, shape, axes=(2, 3), keepdims=False)
    assert claimed == exact


@pytest.mark.parametrize(
    "name", ["nn.exp", "nn.tanh", "nn.sigmoid", "nn.erf", "nn.log", "nn.log1p", "nn.sin", "nn.atan"]
)
def test_functions_of_a_libm_are_rounded(name: str) -> None:
    assert not claim(name, None)[0]


@pytest.mark.parametrize("name", ["nn.sqrt", "nn.reciprocal", "nn.floor", "nn.relu", "nn.neg", "nn.sign"])
def test_functions_that_round_once_are_exact(name: str) -> None:
    assert claim(name, None)[0]


def products(values: Sequence[float] | None, magnitude: float, terms: int = 9) -> tuple[Graph, Value]:
    b = Builder()
    x = b.input("x", TensorType((1, terms)))
    weights = np.resize([1, -1, -1], (terms, 4)).astype(F32) * F32(magnitude)
    source = b.add("nn.assume", x, values=tuple(values)) if values else x
    y = b.add("nn.sign", b.add("nn.matmul", source, b.constant(weights)))
    return Graph("g", [x], b.ops, [y]), y


@pytest.mark.parametrize(
    ("values", "magnitude", "exact"),
    [(SIGNS, 1.0, True), (SIGNS, 0.1, False), (THIRDS, 1.0, False), (None, 1.0, False)],
)
def test_products_before_and_after_they_are_codes(
    values: Sequence[float] | None, magnitude: float, exact: bool
) -> None:
    graph, y = products(values, magnitude)
    assert exactness(graph).exact(y) == exact
    after = RecogniseCodes().run(graph)
    assert exactness(after).exact(after.outputs[0]) == exact


def test_the_first_rounded_product_is_named_on_everything_behind_it() -> None:
    b = Builder()
    x = b.input("x", TensorType((1, 4)))
    weights = b.constant(np.resize([1, -1], (4, 4)).astype(F32))
    first = b.add("nn.matmul", x, weights, loc="first")
    signs = b.add("nn.sign", first)
    second = b.add("nn.matmul", signs, weights, loc="second")
    beside = b.add("nn.relu", x)
    found = exactness(Graph("g", [x], b.ops, [second, beside]))
    assert found.exact(x)
    assert found.exact(beside)
    assert [found.rounded[value].loc for value in (first, signs, second)] == ["first"] * 3


def test_a_product_of_computed_codes_has_a_contract_too() -> None:
    """Signs times signs behind something rounded: sums of 4 products of 1 bound what is promised."""
    b = Builder()
    x = b.input("x", TensorType((6, 4)))
    codes = b.add("q.encode", b.add("nn.assume", x, values=SIGNS), levels=BIPOLAR, scale=1.0)
    sums = b.add("nn.cast", b.add("q.dots", codes, codes, stack=1, exact=False), to=DType.F32)
    after = StateContracts().run(Graph("g", [x], b.ops, [sums]))
    ((_, exact, ulps, magnitude),) = after.attrs["output_contracts"]
    assert not exact
    assert magnitude == 4.0
    assert ulps == 16 + 2 * 4  # of 4 terms, not of 6 rows


def scaled_signs(scale: np.ndarray, shift: float) -> tuple[Graph, Value, Value]:
    """Signs of an exact sum times the mean of ``scale``, which is folded, and a shift; also the sum itself, scaled."""
    b = Builder(fold=True)
    x = b.input("x", TensorType((1, 9)))
    weights = b.constant(np.resize([1, -1, -1], (9, 4)).astype(F32))
    sums = b.add("nn.matmul", b.add("nn.assume", x, values=SIGNS), weights)
    mean = b.add("nn.reduce_mean", b.constant(scale.astype(F32)), axes=(0,), keepdims=True)
    scaled = b.add("nn.mul", sums, mean)
    signs = b.add("nn.sign", b.add("nn.sub", scaled, b.constant(np.asarray(shift, F32))))
    return Graph("g", [x], b.ops, [scaled, signs]), scaled, signs


@pytest.mark.parametrize(
    ("scale", "shift", "of_sums", "of_signs"),
    [
        (np.asarray([0.1, 0.7, 0.3]), 0.0, False, True),  # a positive scale keeps every sign
        (np.asarray([0.1, 0.7, 0.3]), 0.5, False, True),  # no sum times 0.37 comes near 0.5
        (np.asarray([0.1, 0.7, 0.3]), 3 * np.mean(F32([0.1, 0.7, 0.3])), False, False),  # a sum of 3 does
        (np.asarray([0.5, 0.25]), 0.75, True, True),  # 0.375 is no rounded mean
    ],
)
def test_a_scale_folded_from_rounded_sums(scale: np.ndarray, shift: float, of_sums: bool, of_signs: bool) -> None:
    graph, scaled, signs = scaled_signs(scale, shift)
    found = exactness(graph)
    assert (found.exact(scaled), found.exact(signs)) == (of_sums, of_signs)
    after = RecogniseCodes().run(graph)
    found = exactness(after)
    assert tuple(map(found.exact, after.outputs)) == (of_sums, of_signs)


def test_a_product_with_weights_folded_from_rounded_sums_is_rounded() -> None:
    """Signs of deviations from a mean: where one lies on it, so may be the other sign."""
    b = Builder(fold=True)
    x = b.input("x", TensorType((1, 3)))
    numbers = b.constant(F32([[0.1, 0.7, 0.3], [0.1, 0.7, 0.7]]).T)
    mean = b.add("nn.reduce_mean", numbers, axes=(0,), keepdims=True)
    clear = b.add("nn.sign", b.add("nn.sub", numbers, mean))
    close = b.add("nn.sign", b.add("nn.sub", b.add("nn.expand", mean, shape=(3, 2)), mean))
    source = b.add("nn.assume", x, values=SIGNS)
    products = [b.add("nn.matmul", source, w, loc=loc) for w, loc in ((clear, "clear"), (close, "close"))]
    after = StateContracts().run(RecogniseCodes().run(Graph("g", [x], b.ops, products)))
    assert dict(after.attrs["layer_contracts"]) == {"clear": "exact", "close": "rounded"}
    assert [exact for _, exact, _, _ in after.attrs["output_contracts"]] == [True, False]
    assert all(value.ends is None for value in after.values())


def test_the_ulps_of_an_output_count_how_far_a_folded_scale_may_be_off() -> None:
    graph, scaled, _ = scaled_signs(np.linspace(0.1, 0.9, 4095), 0.0)
    after = StateContracts().run(Graph("g", graph.inputs, graph.ops, [scaled]))
    ((_, exact, ulps, _),) = after.attrs["output_contracts"]
    assert not exact
    assert ulps > 4095  # of each such mean, u times the number of its terms
