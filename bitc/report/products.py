"""The products of a model as the metrics count them: how many multiply-accumulates, of how many bits by how many.

Bit widths are found by value sets, not read from a dialect, so five spellings of one network count alike. A ``Sign`` counts as one
bit, as all papers count it, though ONNX's Sign(0) is 0: a report says what a network is, ``bitc explain`` what executing it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from pathlib import Path

import numpy as np

from bitc.compiler import Options
from bitc.frontend import import_model
from bitc.ir import BIPOLAR, Graph, Op, TensorType, Value
from bitc.ir.interpreter import evaluate
from bitc.oracle import ModelInput, split_cases
from bitc.passes import to_codes
from bitc.passes.assume import assume_values
from bitc.passes.coding import Blocked, WeightCoding, coding_of, weight_coding
from bitc.passes.pipeline import run_passes
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.value_sets import ValueSets

PRODUCTS = ("nn.conv", "nn.matmul")


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A convolution or matrix product of one call on one item.

    ``macs``: padding counts, as it does in papers. ``weight_bits`` is 0 where both factors are computed at run time (then
    ``activation_bits`` is the left one's, ``other_bits`` the right one's). ``rows`` are weights of one bit as bool [groups, C, n],
    True for the lower value, tap by tap with a tap's ``tap_bits`` input channels side by side; None for all others. ``spikes``: the
    activation is 0 or one other value. ``firing``: the share of it that is not 0 on the inputs given, else None.
    """

    node: str
    op_type: str
    macs: int
    pixels: int
    channels: int
    taps: int
    activation_bits: int
    weight_bits: int
    other_bits: int
    weights: int
    rows: np.ndarray | None
    tap_bits: int
    spikes: bool
    firing: float | None

    @property
    def bits(self) -> tuple[int, int]:
        """Bits of the two factors, those of the weights (or of the right factor) first."""
        return self.weight_bits or self.other_bits, self.activation_bits

    @property
    def is_binary(self) -> bool:
        """One bit by one bit, with constant weights."""
        return self.rows is not None and self.activation_bits == 1

    @property
    def is_counted(self) -> bool:
        """Whether the published bit-op totals count it: a binary convolution of more than one tap."""
        return self.is_binary and self.op_type.endswith("Conv") and self.taps > 1


def products(
    model: str | Path, options: Options | None = None, inputs: Mapping[str, np.ndarray] | None = None
) -> tuple[tuple[Product, ...], int]:
    """The products of ``model`` in order, and the bytes of all constants that are no product's weights.

    ``inputs``, samples by name, are run through the network to measure firing; raises :class:`bitc.errors.OptionError` if they do not fit.
    """
    graph = counting_graph(model, options or Options())
    firing = _firing(graph, split_cases(_graph_inputs(graph), inputs)) if inputs is not None else {}
    found = tuple(_products(graph, firing))
    weights = {op.operands[1] for op in graph.ops if op.name in PRODUCTS}
    others = [v for v in graph.values() if v.constant is not None and v not in weights]
    return found, sum(v.constant.nbytes for v in others if v.constant is not None)


def counting_graph(model: str | Path, options: Options) -> Graph:
    """The imported graph, tidied and its constants folded, before anything of it becomes codes."""
    graph = assume_values(import_model(model, dims=options.dims, limits=options.limits), options.values)
    return run_passes(graph, tuple(takewhile(lambda step: not isinstance(step, RecogniseCodes), to_codes("plus"))))


def _products(graph: Graph, firing: Mapping[Value, float]) -> Iterator[Product]:
    sets = ValueSets()
    for op in graph.ops:
        if op.name not in PRODUCTS:
            continue
        x, w = op.operands
        coded = _weight_coding(op)
        terms = prod(w.shape[1:]) if op.name == "nn.conv" else x.shape[-1]
        constant = w.constant is not None
        channels = op.result.shape[1] if op.name == "nn.conv" else op.result.shape[-1]
        yield Product(
            node=op.loc,
            op_type=op.loc.rpartition("(")[2].rstrip(")") if "(" in op.loc else op.name,
            macs=prod(op.result.shape) * terms,
            pixels=prod(op.result.shape) // channels,
            channels=channels,
            taps=prod(w.shape[2:]) if op.name == "nn.conv" else 1,
            activation_bits=_bits(x, sets),
            weight_bits=_weight_bits(w, coded) if constant else 0,
            other_bits=0 if constant else _bits(w, sets),
            weights=prod(w.shape) if constant else 0,
            rows=_rows(op, coded) if isinstance(coded, WeightCoding) and coded.levels == BIPOLAR else None,
            tap_bits=w.shape[1] if op.name == "nn.conv" else x.shape[-1],
            spikes=_spikes(x, sets),
            firing=firing.get(x),
        )


def _weight_coding(op: Op) -> WeightCoding | Blocked:
    w = op.operands[1].constant
    if w is None or (op.name == "nn.matmul" and w.ndim != 2):
        return Blocked("no constant matrix")
    return weight_coding(w, 0 if op.name == "nn.conv" else 1)


def _weight_bits(w: Value, coded: WeightCoding | Blocked) -> int:
    return coded.levels.bits if isinstance(coded, WeightCoding) else _type_bits(w)


def _bits(x: Value, sets: ValueSets) -> int:
    coding = coding_of(sets.of(x))
    return _type_bits(x) if isinstance(coding, Blocked) else coding.levels.bits


def _type_bits(x: Value) -> int:
    assert isinstance(x.type, TensorType)
    return 8 * x.type.dtype.bytes


def _spikes(x: Value, sets: ValueSets) -> bool:
    values = sets.values(x)
    return values is not None and len(values) == 2 and 0 in values


def _rows(op: Op, coded: WeightCoding) -> np.ndarray:
    """bool [groups, C, n]."""
    if op.name == "nn.matmul":
        return np.ascontiguousarray(coded.codes.T < 0)[np.newaxis]
    codes = np.moveaxis(coded.codes, 1, -1).reshape(op.attrs["group"], -1, prod(coded.codes.shape[1:]))
    return np.ascontiguousarray(codes < 0)


def _graph_inputs(graph: Graph) -> list[ModelInput]:
    types = [(value.origin or value.name, value.type) for value in graph.inputs]
    return [ModelInput(name, t.dtype.numpy, t.shape) for name, t in types if isinstance(t, TensorType)]


def _firing(graph: Graph, cases: Sequence[Mapping[str, np.ndarray]]) -> dict[Value, float]:
    """The mean share of nonzero elements of each activation."""
    wanted = {op.operands[0] for op in graph.ops if op.name in PRODUCTS}
    found: dict[Value, float] = dict.fromkeys(wanted, 0.0)

    def observe(value: Value, array: np.ndarray) -> None:
        if value in wanted:
            found[value] += float(np.count_nonzero(array)) / max(array.size, 1) / len(cases)

    for case in cases:
        evaluate(graph, [case[value.origin or value.name] for value in graph.inputs], observe)
    return found
