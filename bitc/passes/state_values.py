"""Which states take few values in every step, proved by induction: the first step finds one of them, and each gives one of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitc.ir import Builder, DType, Graph, Op, TensorType, Value, drop_dead
from bitc.passes.assume import assume_values
from bitc.passes.coding import Coding, coding_of
from bitc.passes.facts import MAX_FINITE, Finite
from bitc.passes.minifloats import RecogniseMinifloats
from bitc.passes.straight_through import StraightThrough
from bitc.passes.value_sets import ValueSets
from bitc.state_codes import MOST_CODE, Bits, Bytes, StateCodes

_ROUNDS = 4
_MOST_WEIGHTS = 1 << 20
"""What a product with more weights gives is taken to be unknown: looking at them all would take longer than it is worth."""

_PRODUCTS = ("nn.conv", "nn.matmul")
_Sets = dict[str, tuple[float, ...]]


def codes_of_states(graph: Graph) -> dict[str, StateCodes]:
    """By input, how to keep the float32 states of an imported ``graph`` that take few values; a zero may lose its sign.

    Of the sets S with: the initial values are in S, and if every state is in its S before a step then also behind it, the least one,
    if a few rounds find it. Two values are bits, multiples of one float32 number bytes.
    """
    pairs = {given: (made, initial) for given, made, initial in graph.attrs.get("states", ())}
    floats = {v.name for v in graph.inputs if isinstance(v.type, TensorType) and v.type.dtype is DType.F32}
    sets: _Sets = {name: _initial(array) for name, (_, array) in pairs.items() if name in floats}
    sets = {name: values for name, values in sets.items() if values}
    cut = _sliced(graph, {made for made, _ in pairs.values()})
    for _ in range(_ROUNDS):
        if not sets:
            return {}
        grown = _behind_a_step(cut, sets, {name: pairs[name][0] for name in sets})
        if grown == sets:
            found = {name: _codes(values) for name, values in sets.items()}
            return {name: codes for name, codes in found.items() if codes is not None}
        sets = grown
    return {}


def _initial(array: np.ndarray | None) -> tuple[float, ...]:
    """The values a sequence begins with; none where they are too many, or one is no number."""
    values = np.zeros(1) if array is None else np.unique(array)
    few = values.size <= MAX_FINITE and np.isfinite(values).all()
    return tuple(float(v) + 0.0 for v in values) if few else ()


def _behind_a_step(graph: Graph, before: Mapping[str, tuple[float, ...]], carried: Mapping[str, str]) -> _Sets:
    """``before`` and what a step adds to it; without the states whose values are not known to be few."""
    assumed = assume_values(graph, before)
    for step in (StraightThrough(), RecogniseMinifloats()):
        assumed = step.run(assumed)
    made = {old.name: new for old, new in zip(graph.outputs, assumed.outputs, strict=True)}
    sets, found = ValueSets(), _Sets()
    for name, values in before.items():
        added = sets.values(made[carried[name]])
        if added is not None and np.isfinite(added).all():
            together = tuple(sorted({*values, *(v + 0.0 for v in added)}))
            if len(together) <= MAX_FINITE:
                found[name] = together
    return found


def _codes(values: tuple[float, ...]) -> StateCodes | None:
    if len(values) == 2:
        return Bits(*values)
    coding = coding_of(Finite(values))
    if not isinstance(coding, Coding) or coding.offset or not coding.same or coding.scale != np.float32(coding.scale):
        return None
    lowest, highest = coding.levels.lo, coding.levels.hi
    return Bytes(coding.scale, lowest, highest - lowest) if highest - lowest <= MOST_CODE else None


def _sliced(graph: Graph, wanted: set[str]) -> Graph:
    """What computes the outputs ``wanted``; products with many weights, and what only they read, become inputs."""
    b = Builder()
    mapping: dict[Value, Value] = {}
    for value in graph.inputs:
        b.fresh_name(value.name)
        mapping[value] = value
    added: list[Value] = []
    for op in graph.ops:
        if _is_large(op):
            mapping[op.result] = b.input(f"{op.result.name}_made", op.result.type)
            added.append(mapping[op.result])
            continue
        for old, new in zip(op.results, b.clone(op, [mapping[o] for o in op.operands]), strict=True):
            mapping[old] = new
    outputs = [mapping[o] for o in graph.outputs if o.name in wanted]
    return drop_dead(Graph(graph.name, [*graph.inputs, *added], b.ops, outputs))


def _is_large(op: Op) -> bool:
    return op.name in _PRODUCTS and any(o.constant is not None and o.constant.size > _MOST_WEIGHTS for o in op.operands)
