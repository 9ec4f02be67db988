"""Stages of ``check``: each is reported by its name, and graphs that are the same are run once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitc import check as module
from bitc.check import check
from bitc.compiler import lower_stages
from bitc.ir import Graph, evaluate, parse_graph, print_graph
from examples.tiny import tiny_model


def test_a_wrong_stage_is_named_and_stages_that_change_nothing_are_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model().SerializeToString(deterministic=True))
    right = lower_stages(path, target="portable")[0][1]
    constants: dict = {}
    text = print_graph(right, constants)
    wrong = parse_graph(text.replace("nn.sign", "nn.neg", 1), constants)
    again = parse_graph(print_graph(wrong, constants), constants)
    stages = [("import", right), ("first", right), ("wrong", wrong), ("still wrong", again), ("mended", right)]
    run: list[Graph] = []
    monkeypatch.setattr(module, "lower_stages", lambda *_, **__: stages)
    monkeypatch.setattr(module, "evaluate", lambda graph, *rest: run.append(graph) or evaluate(graph, *rest))
    report = check(path, target="portable", n=1, stages=True)
    assert [stage.name for stage in report.stages] == [name for name, _ in stages]
    assert [bool(stage.outside) for stage in report.stages] == [False, False, True, True, False]
    assert "'wrong'" in report.findings[0].title
    assert run == [right, wrong]
