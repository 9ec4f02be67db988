"""What every declaration promises: directions that hold, rules that refuse, and a signature that fits its attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitc.ir import BIPOLAR, Builder, CodeType, DType, InferenceError, OpDecl, TensorType, all_ops
from bitc.ir.nn_elementwise import direction

MONOTONE = sorted(name for name, decl in all_ops().items() if decl.monotone is not None)
GRID = np.asarray([-np.inf, -300, -3, -1.5, -1, -0.5, -0.0, 0, 0.25, 0.5, 1, 2.5, 300, np.inf], np.float32)
E4M3 = {"mantissa_bits": 3, "bias": 7, "max": 448.0, "overflow": 448.0}
ATTRS = {
    "nn.cast": st.fixed_dictionaries({"to": st.sampled_from(list(DType))}),
    "nn.saturate": st.fixed_dictionaries(
        {"to": st.just(DType.I16), "lo": st.integers(-9, -2), "hi": st.integers(-2, 9)}
    ),
    "nn.minifloat": st.sampled_from([E4M3, {"mantissa_bits": 1, "bias": 1, "max": 6.0, "overflow": float("inf")}]),
}


def declared(name: str) -> type[OpDecl]:
    return all_ops()[name]


@pytest.mark.parametrize("name", MONOTONE)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_declared_direction_holds(name: str, data: st.DataObject) -> None:
    """Along an ascending operand the result never moves against the declared direction, at infinities neither."""
    decl = declared(name)
    count = len(decl.operands)
    index = data.draw(st.integers(0, count - 1))
    logical = name in ("nn.and", "nn.or", "nn.not")
    others: list[np.ndarray | None] = [
        np.asarray(data.draw(st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 2.0])), np.float32) for _ in range(count)
    ]
    if logical:
        others = [np.asarray(data.draw(st.booleans())) for _ in range(count)]
    elif name == "nn.where":
        others[0] = np.asarray(data.draw(st.booleans()))
    others[index] = None
    attrs: dict[str, Any] = data.draw(ATTRS[name]) if name in ATTRS else {}
    way = direction(decl, index, tuple(others), attrs)
    if way is None:
        return
    moving = np.asarray([False, True]) if logical or (name == "nn.where" and index == 0) else GRID
    operands = [moving if other is None else other for other in others]
    result = np.broadcast_to(np.asarray(decl.evaluate(*operands, **attrs)).astype(np.float64), moving.shape)
    numbers = result[~np.isnan(result)]
    sign = int(np.sign(way))
    if sign:
        assert (sign * numbers[1:] >= sign * numbers[:-1]).all(), (name, index, others, result)
    else:
        assert (numbers == numbers[:1]).all(), (name, index, others, result)


def test_directions_that_do_not_hold_are_not_declared() -> None:
    zero = np.asarray([2.0, 0.0], np.float32)
    assert direction(declared("nn.div"), 0, (None, zero), {}) is None, "x / 0 is -inf, NaN, inf"
    assert direction(declared("nn.cast"), 0, (None,), {"to": DType.BOOL}) is None, "-1 and 1 are both true"
    assert direction(declared("nn.cast"), 0, (None,), {"to": DType.U8}) is None, "256 wraps to 0"
    assert direction(declared("nn.prelu"), 0, (None, np.asarray(-0.5)), {}) is None


F = TensorType
WINDOW = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


@pytest.mark.parametrize(
    ("name", "types", "attrs", "message"),
    [
        ("q.int_gemm", [F((2, 3), DType.U8), F((3, 4), DType.I16)], {}, "u8 and i8, or both i16"),
        ("q.int_gemm", [F((2, 3), DType.U8), F((4, 4), DType.I8)], {}, "do not multiply"),
        ("q.int_gemm", [F((2, 3), DType.I16), F((3, 4), DType.I16)], {"x_highest": 32768}, "may overflow"),
        ("q.gemm", [CodeType((2, 3), BIPOLAR), F((3, 4))], {}, "needs codes"),
        ("nn.add", [F((2, 3)), F((4,))], {}, r"shapes \[2, 3\] and \[4\] do not broadcast"),
        ("nn.add", [F((2,)), F((2,), DType.I32)], {}, "differ in dtype"),
        ("nn.add", [F((2,))], {}, "takes operands"),
        ("nn.and", [F((2,)), F((2,))], {}, "needs bool"),
        ("nn.not", [F((2,))], {}, "needs bool"),
        ("nn.relu", [CodeType((2,), BIPOLAR)], {}, "needs a tensor of numbers"),
        ("nn.where", [F((2,)), F((2,)), F((2,))], {}, "the condition is f32"),
        ("nn.saturate", [F((2,))], {"to": DType.F32, "lo": 0, "hi": 3}, "saturates to integers"),
        ("nn.saturate", [F((2,))], {"to": DType.I8, "lo": -8, "hi": 128}, "no range of i8"),
        ("nn.saturate", [F((2,))], {"to": DType.U8, "lo": 4, "hi": 3}, "no range of u8"),
        ("nn.saturate", [F((2,))], {"to": DType.I32, "lo": 0, "hi": 2**31 - 1}, "f32 cannot be compared"),
        ("nn.saturate", [F((2,), DType.U8)], {"to": DType.I8, "lo": -8, "hi": -1}, "u8 cannot be compared"),
        ("nn.minifloat", [F((2,), DType.I8)], E4M3, "needs float32"),
        ("nn.bfloat16", [F((2,), DType.I8)], {}, "needs float32"),
        ("nn.minifloat", [F((2,))], {**E4M3, "mantissa_bits": 21}, "no format within float32"),
        ("nn.minifloat", [F((2,))], {**E4M3, "bias": 130}, "no format within float32"),
        ("nn.minifloat", [F((2,))], {**E4M3, "max": 1e38}, "no format within float32"),
        ("nn.minifloat", [F((2,))], {**E4M3, "max": 0.001}, "no format within float32"),
        ("nn.reshape", [F((4, 3))], {"shape": (-1, -12)}, "another number"),
        ("nn.reshape", [F((4, 3))], {"shape": (5, 2)}, "another number"),
        ("nn.transpose", [F((4, 3))], {"perm": (0, 0)}, "no permutation"),
        ("nn.slice", [F((4,))], {"starts": (0,), "stops": (5,), "steps": (1,)}, "not normalised"),
        ("nn.slice", [F((4,))], {"starts": (4,), "stops": (-1,), "steps": (-1,)}, "not normalised"),
        ("nn.slice", [F((4,))], {"starts": (0,), "stops": (4,), "steps": (0,)}, "do not fit"),
        ("nn.gather", [F((4,))], {"indices": np.asarray([4])}, "outside axis 0"),
        ("nn.gather", [F((4,))], {"indices": np.asarray([0.5])}, "not integers"),
        ("nn.pad", [CodeType((4,), BIPOLAR)], {"pads": (1, 1), "value": 0.0}, "no level"),
        ("nn.pad", [CodeType((4,), BIPOLAR)], {"pads": (1, 1), "value": float("inf")}, "no level"),
        ("nn.concat", [], {"axis": 0}, "at least one operand"),
        ("nn.concat", [F((2, 3)), F((2,))], {"axis": 0}, "differ outside the axis"),
        ("nn.softmax", [F((2, 3))], {"axis": 2}, "axis 2 is outside rank 2"),
        ("nn.topk", [F((2, 3))], {"k": 4}, "k 4 is outside axis"),
        ("nn.conv", [F((1, 3, 5, 5)), F((4, 2, 3, 3))], WINDOW, "do not fit"),
        ("nn.conv", [F((1, 3, 2, 2)), F((4, 3, 3, 3))], WINDOW, "larger than the padded image"),
        ("nn.conv", [F((1, 3)), F((4, 3))], WINDOW, "needs an image"),
        ("nn.max_pool", [F((1, 3, 5, 5))], {**WINDOW, "kernel": (3,)}, "2 spatial axes"),
        ("nn.matmul", [F((2, 3)), F((2, 3))], {}, "do not multiply"),
        ("q.encode", [CodeType((2,), BIPOLAR)], {"levels": BIPOLAR}, "needs a tensor of numbers"),
        ("q.matmul", [F((2, 3)), F((3, 2))], {}, "needs codes"),
        ("nn.constant", [], {"value": np.zeros(2, np.complex64)}, "complex64 are not part of the IR"),
    ],
)
def test_rules_refuse_with_their_reason(name: str, types: list[Any], attrs: dict[str, Any], message: str) -> None:
    b = Builder()
    operands = [b.input(f"i{k}", t) for k, t in enumerate(types)]
    with pytest.raises(InferenceError, match=message) as caught:
        b.add_multi(name, *operands, **attrs)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("name", sorted(all_ops()))
def test_attributes_are_the_parameters_of_the_rule(name: str) -> None:
    """``infer`` takes each declared attribute by keyword, so a renamed one cannot go unnoticed."""
    code = declared(name).infer.__code__
    keywords = set(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])
    takes_any = bool(code.co_flags & 0x08)
    attrs = set(declared(name).attrs)
    assert keywords <= attrs
    assert takes_any or keywords == attrs
