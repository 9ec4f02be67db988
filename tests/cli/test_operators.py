"""``bitc ops``: the list, one operator, near misses, and what is refused on purpose."""

from __future__ import annotations

import json
import re

import pytest

from bitc.cli import main
from bitc.frontend.node import HANDLERS
from bitc.operators import RUNS_AS, kernel_rules, markdown, operators

Capture = pytest.CaptureFixture[str]


def test_all_handlers_are_listed_with_what_they_run_as(capsys: Capture) -> None:
    assert main(["ops", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {(entry["domain"], entry["name"]) for entry in found} == HANDLERS.keys()
    assert {entry["runs_as"] for entry in found} <= RUNS_AS.keys()
    assert all(entry["meaning"] for entry in found)
    assert main(["ops"]) == 0
    listed = capsys.readouterr().out.replace(",", " ").split()
    assert {name for _, name in HANDLERS} <= set(listed)


@pytest.mark.parametrize(
    ("name", "runs_as"),
    [("Conv", "product"), ("MatMul", "product"), ("MaxPool", "pool"), ("Relu", "elementwise"), ("Softmax", "float32"),
     ("Transpose", "move"), ("Shape", "nothing"), ("qonnx.Quant", "elementwise")],
)  # fmt: skip
def test_one_operator(name: str, runs_as: str, capsys: Capture) -> None:
    assert main(["ops", name]) == 0
    assert f"runs as  {runs_as}: {RUNS_AS[runs_as]}" in capsys.readouterr().out


def test_products_are_products_in_all_domains() -> None:
    kinds = {o.runs_as for o in operators() if re.search("Conv|MatMul|Gemm", o.name)}
    assert kinds == {"product"}


def test_restrictions_and_versions_of_one_operator(capsys: Capture) -> None:
    assert main(["ops", "Resize", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert "scales of Resize must be a constant" in entry["rules"]
    assert entry["opsets"][0][0] == 10
    assert main(["ops", "Resize"]) == 0
    printed = capsys.readouterr().out
    assert "opset    10 on" in printed
    assert "rule     scales of Resize must be a constant" in printed


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("Convv", "O090", "did you mean Conv"),
        ("batchnormalization", "O090", "did you mean BatchNormalization"),
        ("Qqqqqqq", "O090", "`bitc ops` lists all"),
        ("qonnx.QuantLSTMCell", "O091", "unrolled"),
        ("com.microsoft.QOrderedMatMul", "O091", "QDQ"),
    ],
)
def test_what_bitc_does_not_have(name: str, code: str, hint: str, capsys: Capture) -> None:
    assert main(["ops", name]) == 2
    printed = capsys.readouterr().err
    assert f"error[{code}]" in printed
    assert hint in printed


def test_the_page_has_every_operator_every_rule_and_the_kernels_own(capsys: Capture) -> None:
    assert main(["ops", "--markdown"]) == 0
    page = capsys.readouterr().out
    assert page == markdown()
    for operator in operators():
        assert f"| `{operator.name}` | {operator.versions()} | {operator.runs_as} |" in page
        assert all(rule.replace("|", "\\|") in page for rule in operator.rules)
    rules = kernel_rules()
    assert "fewer than 2^31 elements" in rules["U140"]
    assert "copies go over at most 8 axes" in rules["U141"]
    assert all(f"| {code} | " in page for code in rules)
