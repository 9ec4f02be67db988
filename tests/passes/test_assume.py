"""Promises of the caller: values of inputs, and the sign of zero."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import leaves, one_of, parse, plain_text, same_meaning, transforms

from bitc.errors import OptionError
from bitc.ir import evaluate
from bitc.passes.assume import DropAssumptions, SignOfZero, assume_values
from bitc.passes.facts import Finite
from bitc.passes.value_sets import ValueSets

TWO_INPUTS = """
    graph @g(%x: f32[1,2], %y: f32[1,2]) -> (%z, %x) {
      %z = nn.add %x, %y : f32[1,2]
    }"""


def test_a_promise_stands_behind_its_input() -> None:
    before = parse(TWO_INPUTS)
    after = assume_values(before, {"x": [1.0, -1.0, 1.0]})
    wanted = """
        graph @g(%x: f32[1,2], %y: f32[1,2]) -> (%z, %a) {
          %a = nn.assume %x {values = [-1.0, 1.0]} : f32[1,2]
          %z = nn.add %a, %y : f32[1,2]
        }"""
    assert plain_text(after) == plain_text(parse(wanted))
    assert ValueSets().of(after.ops[0].result) == Finite((-1.0, 1.0))
    same_meaning(before, after, one_of([-1, 1]))


def test_a_broken_promise_is_found_by_the_interpreter() -> None:
    graph = assume_values(parse(TWO_INPUTS), {"y": [0.0, 1.0]})
    with pytest.raises(ValueError, match="outside the promised values"):
        evaluate(graph, [np.zeros((1, 2), np.float32), np.full((1, 2), 0.5, np.float32)])


def test_a_promise_names_the_float32_value() -> None:
    graph = assume_values(parse(TWO_INPUTS), {"x": [0.0, 0.1]})
    evaluate(graph, [np.full((1, 2), 0.1, np.float32), np.zeros((1, 2), np.float32)])
    assert ValueSets().of(graph.ops[0].result) == Finite((0.0, float(np.float32(0.1))))


def test_a_promise_for_no_input_names_the_inputs() -> None:
    with pytest.raises(OptionError, match="the inputs are: x, y") as caught:
        assume_values(parse(TWO_INPUTS), {"data": [0.0, 1.0]})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("values", [[], [float("nan")], [0.0, float("nan"), 1.0], [float("inf")]])
def test_a_promise_of_nothing_or_of_no_number_is_refused(values: list[float]) -> None:
    with pytest.raises(OptionError, match="makes no sense"):
        assume_values(parse(TWO_INPUTS), {"x": values})


def test_assumptions_drop() -> None:
    transforms(
        """
        graph @g(%x: f32[1,2]) -> (%z, %a) {
          %a = nn.assume %x {values = [-1.0, 1.0]} : f32[1,2]
          %z = nn.neg %a : f32[1,2]
        }""",
        DropAssumptions(),
        """
        graph @g(%x: f32[1,2]) -> (%z, %x) {
          %z = nn.neg %x : f32[1,2]
        }""",
        one_of([-1, 1]),
    )


SIGN = """
    graph @g(%x: f32[1,2]) -> (%y) {
      %y = nn.sign %x : f32[1,2]
    }"""


@pytest.mark.parametrize(("zero", "compare"), [("plus", "nn.greater_equal"), ("minus", "nn.greater")])
def test_sign_becomes_a_choice(zero: str, compare: str) -> None:
    after = transforms(
        SIGN,
        SignOfZero(zero),
        f"""
        graph @g(%x: f32[1,2]) -> (%y) {{
          %zero = nn.constant {{value = dense<f32[]: 0.0>}} : f32[]
          %one = nn.constant {{value = dense<f32[]: 1.0>}} : f32[]
          %c = {compare} %x, %zero : bool[1,2]
          %minus = nn.constant {{value = dense<f32[]: -1.0>}} : f32[]
          %y = nn.where %c, %one, %minus : f32[1,2]
        }}""",
        one_of([-2, -1e-40, 1e-40, 3]),
    )
    (result,) = evaluate(after, [np.asarray([[0.0, -0.0]], np.float32)])
    assert (result == (1 if zero == "plus" else -1)).all()


def test_sign_stays_as_it_is_by_default_and_for_other_dtypes() -> None:
    leaves(SIGN, SignOfZero())
    leaves(SIGN.replace("f32", "i32"), SignOfZero("plus"))


def test_an_unknown_sign_of_zero_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="one of: exact, plus, minus") as caught:
        SignOfZero("up").run(parse(SIGN))
    assert caught.value.exit_code == 2
