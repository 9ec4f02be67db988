"""Restrictions as read from the handlers' sources: all of them, as text, and the ones that are really raised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitc.errors import UnsupportedError
from bitc.frontend import import_model
from bitc.frontend.node import HANDLERS, MICROSOFT, STANDARD, Node, NodeProblem
from bitc.frontend.rules import findings
from bitc.ir import Value
from bitc.ir.ops import lookup
from tests.networks.onnx_net import Net

SCALES = {"Small": 0.5, "Large": 2.0}


@pytest.mark.parametrize(("domain", "op_type"), sorted(HANDLERS))
def test_every_handler_can_be_read(domain: str, op_type: str) -> None:
    for entry in HANDLERS[domain, op_type]:
        found = findings(entry.function, op_type)
        assert all(rule and "\n" not in rule for rule in found.rules), found.rules
        assert all(lookup(op) for op in found.ops)


def helped(n: Node, x: Value, what: str, limit: int = 3) -> NodeProblem:
    return n.unsupported(f"{what} of {n.op_type} has at most {limit} axes, not {len(x.shape)}", str(x.type))


def example(n: Node) -> Value:
    scale = SCALES[n.op_type]
    if n.op_type == "Large":
        raise n.unsupported("only Large ones have this rule")
    mode = "fast" if n.opset > 3 else n.text("mode", "")
    rule = f"mode {mode} is taken, times {scale}"
    if mode == "slow":
        raise n.unsupported(rule, mode, "a hint")
    if n.array(0, "the weight").size:
        raise helped(n, n.x(), "the image")
    kind = "nn.add" if n.op_type == "Small" else "nn.mul"
    return n.emit(kind, n.x(), n.x())


# The rules of this file's own functions are followed as those of the frontend are.
example.__module__ = helped.__module__ = "bitc.frontend.example"


def test_constants_of_an_op_type_are_filled_in() -> None:
    small = findings(example, "Small")
    assert small.rules == (
        "mode {mode} is taken, times 0.5",
        "the weight of Small must be a constant",
        "the image of Small has at most 3 axes, not {len(x.shape)}",
    )
    assert small.ops == ("nn.add",)
    large = findings(example, "Large")
    assert large.rules[0] == "only Large ones have this rule"
    assert large.ops == ("nn.mul",)


def test_the_handler_of_another_operator_is_followed_as_that_operator() -> None:
    found = findings(HANDLERS[MICROSOFT, "QLinearConv"][0].function, "QLinearConv")
    standard = findings(HANDLERS[STANDARD, "QLinearConv"][0].function, "QLinearConv")
    assert set(standard.ops) <= set(found.ops)
    assert set(standard.rules) <= set(found.rules)
    assert "nn.conv" in found.ops


def unreadable(n: Node) -> Value:
    raise n.unsupported(n.text("rule", ""))


def test_a_rule_that_is_no_text_is_an_error() -> None:
    with pytest.raises(LookupError, match="no text can be read"):
        findings(unreadable, "Any")


def resize(net: Net, x: str) -> str:
    return net.node("Resize", x, "", np.asarray([1, 1, 2, 2], np.float32), mode="linear", antialias=1)


def pool(net: Net, x: str) -> str:
    return net.node("MaxPool", x, kernel_shape=[1, 2], dilations=[1, 2], pads=[0, 1, 0, 1])


def reshape(net: Net, x: str) -> str:
    return net.node("Reshape", x, net.input("shape", [1], np.int64))


@pytest.mark.parametrize("build", [resize, pool, reshape])
def test_what_is_raised_is_listed(build: Callable[[Net, str], str]) -> None:
    net = Net()
    net.output(build(net, net.input("x", [1, 1, 2, 1])))
    with pytest.raises(UnsupportedError) as raised:
        import_model(net.model())
    (diagnostic,) = raised.value.diagnostics
    op_type = net.model().graph.node[-1].op_type
    assert diagnostic.rule in findings(HANDLERS["", op_type][-1].function, op_type).rules
