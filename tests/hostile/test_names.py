"""Text of a model in generated C: only in comments that it cannot end, and as plain identifiers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile.damage import CANARY, HOSTILE_NAMES
from onnx import TensorProto, helper, numpy_helper

from bitc.codegen.names import LONGEST, identifier, unique_identifiers
from bitc.compiler import compile
from bitc.toolchain import STRICT_WARNINGS, Compiler

C_NAMES = [
    *(name for name in HOSTILE_NAMES if len(name) < 4000),
    "a_b",
    "a.b",
    "A" * 200 + "1",
    "A" * 200 + "2",
    "while",
    "NULL",
]
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def hostile_model(name: str) -> onnx.ModelProto:
    """A convolution, a sign and a product in which every text is ``name``, and inputs whose identifiers clash with it."""
    names = [f"{name}{i}" for i in range(4)]
    nodes = [
        helper.make_node("Conv", [name, "w"], [names[0]], name=name, pads=[1, 1, 1, 1]),
        helper.make_node("Sign", [names[0]], [names[1]], name=name),
        helper.make_node("Add", [names[1], names[2]], [names[3]], name=name, doc_string=name),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [name, 1, 4, 4]),
            helper.make_tensor_value_info(names[2], TensorProto.FLOAT, [name, 2, 4, 4]),
        ],
        [onnx.ValueInfoProto(name=text) for text in (names[3], names[1])],
        [numpy_helper.from_array(np.ones((2, 1, 3, 3), np.float32), "w")],
        doc_string=name,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name=name)
    proto.metadata_props.add(key=name, value=name)
    return proto


@pytest.mark.parametrize("name", C_NAMES, ids=lambda name: identifier(name)[:24])
def test_hostile_text(name: str, tmp_path: Path, compiler: Compiler) -> None:
    """No text of the model outside comments, none that breaks one, and C that compiles under all warnings."""
    path = tmp_path / "in" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(hostile_model(name).SerializeToString())
    artifact = compile(path, target="portable", out=tmp_path / "out", emit=["c"])
    for file in artifact.directory.glob("*.[ch]"):
        text = file.read_text(encoding="utf-8")
        code = _COMMENT.sub(" ", text)
        assert "/*" not in code
        assert "*/" not in code
        assert all(c.isprintable() or c == "\n" for c in text)
        assert code.isascii()
        found = {word for word in re.findall(r"\w+", code) if "canary" in word}
        assert all(identifier(word) == word and len(word) <= LONGEST for word in found)
        assert CANARY not in re.sub(r"[\w.]*\w", lambda word: "" if word[0] in found else word[0], code)
        assert re.findall(r"#\s*(?:include|define)\b[^\n]*canary", code) == []
    done = subprocess.run(
        [*compiler.command, "-std=c99", *STRICT_WARNINGS, "-fsyntax-only", str(artifact.source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    readme = (artifact.directory / "README.md").read_text(encoding="utf-8")
    assert all(c.isprintable() or c == "\n" for c in readme)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "out"]


def test_long_identifiers_stay_apart() -> None:
    """C99 tells 63 characters apart, so no identifier is longer, and no two are one."""
    made = list(unique_identifiers(["x" * 70] * 12 + ["x" * 100, "int", "int_"]))
    assert len(set(made)) == len(made)
    assert max(map(len, made)) == LONGEST
