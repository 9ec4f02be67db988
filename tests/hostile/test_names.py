"""Text of a model in generated C: only in comments that it cannot end, and as plain identifiers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile.damage import HOSTILE_NAMES
from onnx import TensorProto, helper, numpy_helper

from bitc.artifact import Artifact
from bitc.codegen.names import LONGEST, identifier, unique_identifiers
from bitc.compiler import compile
from bitc.toolchain import STRICT_WARNINGS, Compiler

C_NAMES = [name for name in HOSTILE_NAMES if len(name) < 4000 and any(c.isalnum() for c in name)]
C_NAMES += ["a_b", "a.b", "A" * 200 + "1", "A" * 200 + "2", "while", "NULL"]
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_METADATA = re.compile(r"static const char text\[\] = \{[\s\d,]*\}|MODEL_SHA256 \"[0-9a-f]{64}\"")


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


def code_of(artifact: Artifact) -> str:
    """All C without comments, the model's hash and metadata, with the fields of inputs and outputs numbered."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(artifact.directory.glob("*.[ch]")))
    text = _METADATA.sub("", _COMMENT.sub(" ", text))
    ports = [*artifact.manifest["inputs"], *artifact.manifest["outputs"]]
    fields = {port["field"]: f"port {number}" for number, port in enumerate(ports)}
    assert all(re.fullmatch(r"[A-Za-z]\w*", field, re.ASCII) and len(field) <= LONGEST for field in fields)
    return re.sub(r"\w+", lambda word: fields.get(word[0], word[0]), text)


def compiled(name: str, folder: Path) -> Artifact:
    """The hostile model as C."""
    path = folder / "in" / "net.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(hostile_model(name).SerializeToString())
    return compile(path, target="portable", out=folder / "out", emit=["c"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The code of a model with names nobody minds."""
    return code_of(compiled("plain", tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("name", C_NAMES, ids=lambda name: identifier(name)[:24])
def test_hostile_text(name: str, plain: str, tmp_path: Path, compiler: Compiler) -> None:
    """The code is that of a plainly named model but for identifiers, and compiles under all warnings."""
    artifact = compiled(name, tmp_path)
    assert code_of(artifact) == plain
    for file in artifact.directory.iterdir():
        assert all(c.isprintable() or c == "\n" for c in file.read_text(encoding="utf-8"))
    done = subprocess.run(
        [*compiler.command, "-std=c99", *STRICT_WARNINGS, "-fsyntax-only", str(artifact.source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "out"]


def test_long_identifiers_stay_apart() -> None:
    """C99 tells 63 characters apart, so no identifier is longer, and no two are one."""
    made = list(unique_identifiers(["x" * 70] * 12 + ["x" * 100, "int", "int_"]))
    assert len(set(made)) == len(made)
    assert max(map(len, made)) == LONGEST
