"""A stand-in for the compiler: "compiles" one ONNX file into the hand-written toy library, so the CLI is tested without codegen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
from onnx import TensorProto, helper
from session import abi

from bitc.artifact import Artifact, default_name, write_artifact
from bitc.limits import Limits


def write_model(path: Path) -> Path:
    """The ONNX file whose meaning the toy library has."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["b.0"], ["bias"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["sum", "bias"], ["y"]),
        helper.make_node("Gather", ["x", "zero"], ["first"], axis=1),
        helper.make_node("Cast", ["first"], ["z"], to=TensorProto.INT32),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("b.0", TensorProto.INT8, [1]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("z", TensorProto.INT32, ["N"]),
        ],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        ],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    return path


@dataclass(frozen=True)
class Options:
    """The fields of :class:`bitc.compiler.Options`."""

    dims: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    sign_zero: str = "exact"
    mst: str = "auto"
    pipeline: str | None = None
    limits: Limits = field(default_factory=Limits)
    tuning: str | None = None
    states: Mapping[str, str] | str = field(default_factory=dict)
    calibrate: str | None = None
    small_weights: int = 0

    def as_arguments(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


class FakeCompiler(ModuleType):
    """Takes the place of ``bitc.compiler``. ``extra`` is a wrong amount added to y; ``error`` is raised; ``calls`` are kept."""

    Options = Options

    def __init__(self) -> None:
        super().__init__("bitc.compiler")
        self.calls: list[dict[str, Any]] = []
        self.extra = 0.0
        self.error: Exception | None = None

    def compile(
        self, path: Path, *, out: Path | None = None, emit: Sequence[str] = ("c", "so"), **options: Any
    ) -> Artifact:
        """As :func:`bitc.compiler.compile`."""
        self.calls.append({"path": path, "out": out, "emit": emit, **options})
        if self.error is not None:
            raise self.error
        return write_artifact(out or Path(default_name(path)), "toy", abi.texts(self.extra), emit=emit)
