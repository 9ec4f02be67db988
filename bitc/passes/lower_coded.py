"""Lowering of dense products of integers whose weights have few levels to kernels on codes of 2 or 4 bits, where that costs less."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.ir import Graph, Op, Value
from bitc.ir.coded_weights import MOST_RUN, Coded, code_chain, coded, pack_codes_of_weights, pack_per_channel
from bitc.ir.integer_packing import Runs, longest_chain, pack_integer_weights, runs_of
from bitc.passes.coded_costs import Dense, best
from bitc.passes.lowering import Lowering

_PRODUCTS = ("q.int_conv", "q.int_matmul", "nn.conv", "nn.matmul", "q.weight_conv", "q.weight_matmul")


def weight_bytes(graph: Graph) -> int:
    """Bytes of the constant weights of all products of numbers in a ``q`` graph, which go by once a call."""
    constants = (op.operands[1].constant for op in graph.ops if op.name in _PRODUCTS)
    return sum(constant.nbytes for constant in constants if constant is not None)


def coded_product(
    op: Op, weights: np.ndarray, base: np.ndarray, x: Value, attrs: dict[str, Any], low: Lowering
) -> Value | None:
    """The sums of a product on u8 activations with ``weights`` [M, C, KH, KW] from codes; None where its geometry or costs forbid.

    Geometry: one group, one run a window, one row of pixels.
    """
    if low.forms.coded is None:
        return None
    form, (_, _, columns, elements) = low.forms.integers, x.shape
    runs = runs_of(weights.shape[2:], attrs["dilations"], columns, elements, 1)
    fits = (runs.rows, runs.cols) == (1, 1) and runs.length <= MOST_RUN and runs.length % form.side_u8 == 0
    if weights.shape[1] != elements or not fits or attrs["size"][0] != 1:
        return None
    found = coded(weights.transpose(0, 2, 3, 1).reshape(weights.shape[0], -1))
    if found is None:
        return None
    layer = Dense(attrs["size"][1], runs.length, weights.shape[0], low.weight_bytes)
    chosen = best(layer, found.bits, low.forms.coded)
    if chosen == "int8":
        return None
    constants = _constants(found, base, low)
    attrs = {**attrs, "channels": weights.shape[0], "bits": found.bits, "step": found.step}
    if chosen == "few":
        return low.add("k.icoded", x, *constants, like=op, chain=code_chain(found, op.attrs["highest"]), **attrs)
    attrs |= {"chain": _chain(weights, runs, op.attrs["highest"], low), "block": form.block}
    made, _ = low.builder.add_multi("k.icoded_rows", x, *constants, loc=op.loc, **attrs)
    return made


def _constants(found: Coded, base: np.ndarray, low: Lowering) -> tuple[Value, Value, Value]:
    form = low.forms.integers
    codes = pack_codes_of_weights(found, form.code_lanes, form.side_u8)
    rows = (pack_per_channel(numbers, found.bits, form.code_lanes) for numbers in (found.lowest, base))
    lowest, bases = map(low.constant, rows)
    return low.constant(codes), lowest, bases


def _chain(weights: np.ndarray, runs: Runs, highest: int, low: Lowering) -> int:
    """What the kernel on expanded weights is to know of them."""
    form = low.forms.integers
    if form.side_u8 != 4:
        return 0
    return longest_chain(pack_integer_weights(weights, 1, runs, form.block, form.side_u8), highest)
