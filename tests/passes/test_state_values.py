"""Which states are proved to take few values, and how they are kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitc.ir import Builder, DType, Graph, TensorType, Value
from bitc.passes import state_values
from bitc.passes.state_values import codes_of_states
from bitc.state_codes import Bits, Bytes, StateCodes, state_codes

F32 = np.float32
Step = Callable[[Builder, Value, Value], Value]


def number(b: Builder, value: float) -> Value:
    return b.constant(np.asarray(value, F32))


def stepping(step: Step, initial: np.ndarray | None = None, dtype: DType = DType.F32) -> Graph:
    """h' = step(h, x)."""
    b = Builder()
    h, x = b.input("h", TensorType((2, 5), dtype)), b.input("x", TensorType((2, 5)))
    made = b.add("nn.reshape", step(b, h, x), shape=(2, 5), name="h_out")
    return Graph("g", [h, x], b.ops, [made], {"states": (("h", "h_out", initial),)})


def where(b: Builder, x: Value, high: float, low: float) -> Value:
    return b.add("nn.where", b.add("nn.greater", x, number(b, 0)), number(b, high), number(b, low))


def quantized(b: Builder, x: Value, scale: float, lo: float, hi: float) -> Value:
    whole = b.add("nn.round", b.add("nn.div", x, number(b, scale)))
    bounded = b.add("nn.min", b.add("nn.max", whole, number(b, lo)), number(b, hi))
    return b.add("nn.mul", bounded, number(b, scale))


def kept_or_fresh(b: Builder, h: Value, x: Value) -> Value:
    """Some elements stay, some are quantized anew: few values only because h has few."""
    return b.add("nn.where", b.add("nn.less", x, number(b, 1)), h, quantized(b, x, 0.5, -3, 3))


STEPS: dict[str, tuple[Step, StateCodes | None]] = {
    "spikes": (lambda b, h, x: where(b, b.add("nn.add", h, x), 1, 0), Bits(0, 1)),
    "unlike": (lambda b, h, x: where(b, x, 0, -0.3), Bits(float(F32(-0.3)), 0)),
    "signs from zero": (lambda b, h, x: where(b, x, 1, -1), Bytes(1, -1, 2)),
    "scaled": (lambda b, h, x: quantized(b, x, float(F32(0.1)), -128, 127), Bytes(float(F32(0.1)), -128, 255)),
    "kept": (kept_or_fresh, Bytes(0.5, -3, 6)),
    "counted": (lambda b, h, x: b.add("nn.add", h, number(b, 1)), None),
    "any": (lambda b, h, x: b.add("nn.add", h, x), None),
    "nine bits": (lambda b, h, x: quantized(b, x, 0.5, -200, 200), None),
    "no multiples": (lambda b, h, x: b.add("nn.add", where(b, x, 1, 0), where(b, h, np.pi, np.sqrt(2))), None),
    "infinite": (lambda b, h, x: where(b, x, np.inf, 0), None),
}


@pytest.mark.parametrize("name", STEPS)
def test_states_of_few_values(name: str) -> None:
    step, wanted = STEPS[name]
    assert codes_of_states(stepping(step)) == ({"h": wanted} if wanted is not None else {})


def test_what_a_sequence_begins_with_counts() -> None:
    spikes = STEPS["spikes"][0]
    assert codes_of_states(stepping(spikes, np.ones((2, 5), F32))) == {"h": Bits(0, 1)}
    assert codes_of_states(stepping(spikes, np.full((2, 5), 2, F32))) == {"h": Bytes(1, 0, 2)}
    assert codes_of_states(stepping(spikes, np.full((2, 5), np.nan, F32))) == {}


def test_integers_are_kept_as_they_are() -> None:
    graph = stepping(lambda b, h, x: b.add("nn.cast", where(b, x, 1, 0), to=DType.I64), None, DType.I64)
    assert codes_of_states(graph) == {}


def test_one_state_made_from_another() -> None:
    """h' are signs of v', and v' = h: both take ±1 and the zeros of the beginning."""
    b = Builder()
    h, v, x = (b.input(name, TensorType((4,))) for name in "hvx")
    made = where(b, b.add("nn.add", v, x), 1, -1)
    outputs = [b.add("nn.reshape", made, shape=(4,), name="h_out"), b.add("nn.mul", h, number(b, 2), name="v_out")]
    attrs = {"states": (("h", "h_out", None), ("v", "v_out", None))}
    found = codes_of_states(Graph("g", [h, v, x], b.ops, outputs, attrs))
    assert found == {"h": Bytes(1, -1, 2), "v": Bytes(2, -1, 2)}


def test_large_products_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """sign of a sum of an odd number of signs is never 0, where the sum's weights are looked at."""

    def step(b: Builder, h: Value, x: Value) -> Value:
        weights = b.constant(np.ones((5, 5), F32))
        return b.add("nn.sign", b.add("nn.matmul", where(b, x, 1, -1), weights))

    begin = np.ones((2, 5), F32)
    assert codes_of_states(stepping(step, begin)) == {"h": Bits(-1, 1)}
    monkeypatch.setattr(state_values, "_MOST_WEIGHTS", 24)
    assert codes_of_states(stepping(step, begin)) == {"h": Bytes(1, -1, 2)}


@pytest.mark.parametrize("codes", [Bits(-0.3, 7.5), Bits(0, 1), Bytes(0.25, -128, 255), Bytes(3, 0, 9)], ids=str)
def test_codes_there_and_back(codes: StateCodes) -> None:
    rng = np.random.default_rng(0)
    kept = rng.integers(0, 256, codes.bytes_of(43)).astype(np.uint8)
    elements = codes.decoded(kept if isinstance(codes, Bits) else np.minimum(kept, codes.most), (43,))
    again = codes.decoded(codes.encoded(elements), (43,))
    assert (again.dtype, again.tolist()) == (np.float32, elements.tolist())
    assert len(set(elements.tolist())) > 1
    assert state_codes({"input": "h", **codes.as_dict()}) == codes
    lowest = codes.decoded(np.zeros(1, np.uint8), (1,))
    assert codes.decoded(codes.encoded(np.array([np.nan], F32)), (1,)) == lowest
