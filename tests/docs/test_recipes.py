"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from docs.documents import ROOT, Block, blocks, shell, workplace
from onnx import helper

SECTIONS = ("Add an operator", "Add a pass", "Add a target")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository to change."""
    for name in ("bitc", "runtime", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return workplace(tmp_path)


def follow(section: str, root: Path) -> None:
    """Write the section's files and apply its changes."""
    page = ROOT / "CONTRIBUTING.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    first = lines.index(f"### {section}") + 1
    last = next((n for n in range(first, len(lines)) if lines[n].startswith("##")), len(lines))
    for block in blocks(page):
        if first <= block.line <= last and block.title:
            if block.language == "diff":
                change(block, root / block.title)
            else:
                (root / block.title).write_text(block.text, encoding="utf-8")


def change(block: Block, path: Path) -> None:
    """Replace the block's old lines by its new ones; the old ones stand in the file once."""
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{block}: these lines are {text.count(old)} times in {block.title}:\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def switch(path: Path) -> None:
    """A network of one Binarizer."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 5]) for name in "xy"]
    node = helper.make_node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml", threshold=0.25)
    graph = helper.make_graph([node], "switch", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), str(path))


@pytest.mark.usefixtures("compiler")
def test_the_operator(copy: Path) -> None:
    switch(copy / "switch.onnx")
    assert "operation ai.onnx.ml.Binarizer is not supported" in shell("bitc check switch.onnx", copy, copy)
    follow(SECTIONS[0], copy)
    report = shell("bitc check switch.onnx --stages", copy, copy)
    assert report.rstrip().endswith("passed"), report
    tests = "tests/frontend/test_binarizer.py tests/ir/test_op_rules.py tests/frontend/test_rules.py"
    printed = shell(
        f"python -m pytest -q -p no:cacheprovider {tests} -k 'binarizer or Binarizer or exceeds'", copy, copy
    )
    assert " passed" in printed, printed
    assert "failed" not in printed, printed


def test_the_pass(copy: Path) -> None:
    follow(SECTIONS[1], copy)
    printed = shell("python -m pytest -q -p no:cacheprovider tests/passes/test_double_negation.py", copy, copy)
    assert "2 passed" in printed, printed
    known = shell("""python -c 'import bitc.passes as p; print("double-negation" in p.KNOWN_PASSES)'""", copy, copy)
    assert known == "True\n"


@pytest.mark.usefixtures("compiler")
@pytest.mark.isa("avx2")
def test_the_target(copy: Path) -> None:
    follow(SECTIONS[2], copy)
    assert "x86-64-v2" in shell("bitc targets", copy, copy)
    wave_free = shell("python examples/tiny.py tiny.onnx && bitc check tiny.onnx --target x86-64-v2", copy, copy)
    assert wave_free.rstrip().endswith("passed"), wave_free
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    np.save(copy / "x.npy", x)
    shell("bitc compile tiny.onnx -t x86-64-v2 -o t && bitc compile tiny.onnx -t portable -o p", copy, copy)
    outputs = [shell(f"bitc run {name} -i image=@x.npy", copy, copy) for name in "tp"]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("scores: float32[1,3]")
