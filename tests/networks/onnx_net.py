"""Write ONNX graphs node by node, compile them cheaply, and ask onnxruntime what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import bitc
from bitc import toolchain
from bitc.codegen.targets import target
from bitc.oracle import oracle_for
from bitc.session import Session
from tests.networks.building import emulated, emulated_session
from tests.runtime import harness

Dims = Sequence[int | str]


class Net:
    """A growing graph. Tensors are named by strings; an operand given as an array becomes an initializer."""

    def __init__(self, opset: int = 13) -> None:
        self._opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: list[onnx.TensorProto] = []

    def input(self, name: str, dims: Dims, dtype: type = np.float32) -> str:
        """A graph input; a dimension given as text is free."""
        self._inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), dims))
        return name

    def constant(self, array: np.ndarray) -> str:
        """An initializer."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, kind: str, *operands: str | np.ndarray, name: str = "", **attrs: Any) -> str:
        """A node with one result, which is named ``name``; the empty string as an operand leaves it out."""
        return self.nodes(kind, *operands, names=(name or f"t{len(self._nodes)}",), **attrs)[0]

    def nodes(self, kind: str, *operands: str | np.ndarray, names: Sequence[str], **attrs: Any) -> Sequence[str]:
        """A node with several results."""
        operands = tuple(x if isinstance(x, str) else self.constant(x) for x in operands)
        self._nodes.append(helper.make_node(kind, operands, names, f"node{len(self._nodes)}", **attrs))
        return names

    def output(self, name: str) -> None:
        """Make a tensor a graph output."""
        self._outputs.append(onnx.ValueInfoProto(name=name))

    def shape(self, name: str) -> tuple[int | str, ...]:
        """The shape onnx infers for a tensor."""
        inferred = onnx.shape_inference.infer_shapes(self.model(), strict_mode=True, data_prop=True).graph
        found = next(v for v in (*inferred.value_info, *inferred.input, *inferred.output) if v.name == name)
        return tuple(d.dim_value or d.dim_param for d in found.type.tensor_type.shape.dim)

    def model(self) -> onnx.ModelProto:
        """The model so far."""
        graph = helper.make_graph(self._nodes, "net", self._inputs, self._outputs, self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=9)

    def save(self, path: Path) -> Path:
        """The model as a file."""
        path.write_bytes(self.model().SerializeToString(deterministic=True))
        return path


def build_quickly(model: Path, target_name: str, folder: Path, **options: Any) -> Session:
    """As ``building.build``, with the C compiler told to hurry and, where the target runs here, under all warnings as errors."""
    reason = harness.why_not(target_name) if emulated(target_name) else None
    if reason is not None:
        pytest.skip(reason)
    artifact = bitc.compile(model, target=target_name, out=folder / target_name, emit=("c",), **options)
    if emulated(target_name):
        return emulated_session(artifact, "-O1")
    flags = (*toolchain.STRICT_WARNINGS, "-O1", "-fno-inline")
    toolchain.compile_shared(artifact.source, artifact.library, target(target_name).cflags, flags)
    return artifact.session()


def product_forms(session: Session) -> list[str]:
    """How many bits meet how many, for each layer that multiplies."""
    return [layer["form"] for layer in session.metadata["layers"] if layer["macs"]]


def truth(model: Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs by onnxruntime, unoptimised."""
    oracle = oracle_for(model)
    found = oracle.run(feeds)
    return [found[name] for name in oracle.output_names]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal dtype, shape and values; NaN equals NaN, and zeros are equal."""
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
