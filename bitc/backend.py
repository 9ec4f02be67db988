"""bitc behind the interface of :mod:`onnx.backend.base`: a model is compiled into a folder of its own, loaded, and the folder goes.

>>> import bitc.backend
>>> bitc.backend.supports_device("CPU"), bitc.backend.supports_device("CUDA")
(True, False)

``prepare(model)`` compiles for the target ``portable``, which runs on every machine; ``prepare(model, target="native")`` or the
environment variable ``BITC_BACKEND_TARGET`` chooses another.

Shapes are fixed when bitc compiles. A model that leaves them open, by symbolic dimensions or by inputs that hold a shape, axes, a
number of elements and the like, is compiled when it first runs, for the shapes of its inputs and the values of those few inputs; the
result is kept for the next run with the same.

C has no integers of 4 bits and no floats of 4 or 8; inputs and outputs of these types are handed to the compiled network as wider
numbers, which is not seen outside.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

from bitc.compiler import compile
from bitc.errors import BitcError, Diagnostic, OptionError, UnsupportedError
from bitc.frontend.load import NEWEST_OPSET
from bitc.session import NodeArg, Session

TARGET_VARIABLE = "BITC_BACKEND_TARGET"
DEFAULT_TARGET = "portable"

_WIDER = {
    **dict.fromkeys(
        (
            onnx.TensorProto.FLOAT8E4M3FN,
            onnx.TensorProto.FLOAT8E4M3FNUZ,
            onnx.TensorProto.FLOAT8E5M2,
            onnx.TensorProto.FLOAT8E5M2FNUZ,
            onnx.TensorProto.FLOAT4E2M1,
        ),
        onnx.TensorProto.FLOAT,
    ),
    onnx.TensorProto.INT4: onnx.TensorProto.INT8,
    onnx.TensorProto.UINT4: onnx.TensorProto.UINT8,
}
_WIDE = ".wide"

_OPEN_SHAPES = {"O001", "U005"}
"""Diagnostics of dimensions without a size, and of a free dimension that is no batch."""


class NotCompiled(UnsupportedError, BackendIsNotSupposedToImplementIt):
    """bitc does not compile the model, and the diagnostics say why; ``onnx.backend.test`` takes it for a test to skip."""


class BitcBackendRep(BackendRep):
    """A model that is compiled and loaded, or one that waits for its shapes; compiled, it may be run from several threads at once."""

    def __init__(self, model: onnx.ModelProto, target: str, c_flags: Sequence[str]) -> None:
        """Compile ``model``. Raises :class:`NotCompiled` unless it can be compiled now or once its shapes are known."""
        self._model = model
        self._target, self._c_flags = target, tuple(c_flags)
        self._sessions: dict[Any, Session] = {}
        given = {tensor.name for tensor in model.graph.initializer}
        self._names = [value.name for value in model.graph.input if value.name not in given]
        self.session: Session | None = None
        """The compiled model; None if it is compiled for each shape."""
        self.fixed: tuple[str, ...] = ()
        """Inputs whose values the model is compiled for."""
        try:
            self.session = self._compiled(model)
        except NotCompiled as refusal:
            if not self._waits(refusal.diagnostics):
                raise

    def run(self, inputs: Any, **kwargs: Any) -> tuple[np.ndarray, ...]:
        """The outputs in the model's order.

        ``inputs``: arrays in the order of the model's inputs that have no initializer, one array alone, or a mapping by name. Raises
        :class:`bitc.errors.OptionError` for an array of another dtype or shape, ``ValueError`` for another number of arrays, and
        :class:`NotCompiled` if the model cannot be compiled for these shapes.
        """
        if not isinstance(inputs, Mapping):
            arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
            inputs = dict(zip(self._names, arrays, strict=True))
        named = {name: np.asarray(array) for name, array in inputs.items()}
        session = self.session or self._specialised(named)
        feeds = {port.name: _widened(port, named) for port in session.get_inputs() if _own_name(port) in named}
        return tuple(map(_narrowed, self._model.graph.output, session.run(None, feeds)))

    def _compiled(self, model: onnx.ModelProto) -> Session:
        with tempfile.TemporaryDirectory(prefix="bitc-backend-") as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(_with_wide_ports(model).SerializeToString())
            try:
                artifact = compile(path, target=self._target, out=Path(folder) / "c", c_flags=self._c_flags)
            except (UnsupportedError, OptionError) as error:
                if isinstance(error, UnsupportedError) or _codes(error) <= _OPEN_SHAPES:
                    raise NotCompiled(*error.diagnostics) from error
                raise
            return artifact.session()  # the system keeps a loaded library though its file is gone

    def _waits(self, diagnostics: Sequence[Diagnostic]) -> bool:
        """Whether all complaints are of shapes that :meth:`run` will know; remembers the inputs they ask for."""
        asked = dict.fromkeys((*self.fixed, *(name for diagnostic in diagnostics for name in diagnostic.inputs)))
        small = all(len(_dims(value)) <= 1 for value in self._model.graph.input if value.name in asked)
        known = all(diagnostic.inputs or diagnostic.code in _OPEN_SHAPES for diagnostic in diagnostics)
        if known and small:
            self.fixed = tuple(asked)
        return known and small

    def _specialised(self, named: Mapping[str, np.ndarray]) -> Session:
        """The model for the shapes of ``named`` and the values of :attr:`fixed`, compiled if it has not been."""
        while True:
            shapes = tuple((name, array.shape) for name, array in named.items())
            key = shapes, tuple((name, named[name].tobytes()) for name in self.fixed)
            try:
                if key not in self._sessions:
                    self._sessions[key] = self._compiled(_specialise(self._model, named, self.fixed))
                return self._sessions[key]
            except NotCompiled as refusal:
                before = self.fixed
                if not self._waits(refusal.diagnostics) or self.fixed == before:
                    raise


class BitcBackend(Backend):
    """The functions of this module as the class that ``onnx.backend.test.BackendTest`` wants."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether networks run on ``device``: ``"CPU"``, ``"CPU:0"``."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def prepare(
        cls,
        model: onnx.ModelProto,
        device: str = "CPU",
        *,
        target: str | None = None,
        c_flags: Sequence[str] = (),
        **kwargs: Any,
    ) -> BitcBackendRep:
        """``model``, compiled for ``target`` and loaded; ``c_flags`` as in :func:`bitc.compile`.

        Raises :class:`NotCompiled` if bitc does not take the model, :class:`bitc.errors.ModelError` if the model is broken,
        :class:`bitc.errors.ToolchainError`, and ``ValueError`` for a device that is no CPU.
        """
        if not cls.supports_device(device):
            raise ValueError(f"bitc runs networks on the CPU, not on {device!r}")
        return BitcBackendRep(model, target or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET, c_flags)

    @classmethod
    def run_model(
        cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[np.ndarray, ...]:
        """The outputs of ``model``; see :meth:`prepare` and :meth:`BitcBackendRep.run`."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[np.ndarray, ...]:
        """The outputs of one node for ``inputs``, one array for each of its inputs that is there, in order.

        ``outputs_info`` is not needed: dtypes and shapes are inferred. ``opset_version`` is that of the node's domain, by default the
        newest bitc knows; other keywords are those of :meth:`prepare`.
        """
        arrays = [np.asarray(array) for array in ([inputs] if isinstance(inputs, np.ndarray) else inputs)]
        names = list(dict.fromkeys(name for name in node.input if name))
        graph = helper.make_graph(
            [node],
            "node",
            [_described(name, array) for name, array in zip(names, arrays, strict=True)],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
        )
        version = kwargs.pop("opset_version", NEWEST_OPSET)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, version)])
        return cls.run_model(model, arrays, device, **kwargs)


def _specialise(model: onnx.ModelProto, named: Mapping[str, np.ndarray], fixed: Sequence[str]) -> onnx.ModelProto:
    """``model`` with the shapes of ``named`` in its inputs; those called ``fixed``, and those without elements, as initializers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.input[:]
    for value in model.graph.input:
        if value.name in fixed or (value.name in named and not named[value.name].size):
            made.graph.initializer.append(numpy_helper.from_array(named[value.name], value.name))
        else:
            made.graph.input.append(_described(value.name, named[value.name]) if value.name in named else value)
    return made


def _with_wide_ports(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with wider numbers for inputs and outputs of narrow types, under other names, and casts behind and before them."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    for value in made.graph.input:
        narrow = value.type.tensor_type.elem_type
        if narrow in _WIDER:
            cast = helper.make_node("Cast", [value.name + _WIDE], [value.name], to=narrow)
            if _WIDER[narrow] == onnx.TensorProto.FLOAT:
                cast.attribute.append(helper.make_attribute("saturate", 0))  # infinities stay
            made.graph.node.append(cast)
            value.type.tensor_type.elem_type = _WIDER[narrow]
            value.name += _WIDE
    made.graph.node.extend(model.graph.node)
    for value in made.graph.output:
        wider = _WIDER.get(value.type.tensor_type.elem_type)
        if wider is not None:
            made.graph.node.append(helper.make_node("Cast", [value.name], [value.name + _WIDE], to=wider))
            value.type.tensor_type.elem_type = wider
            value.name += _WIDE
    return made


def _own_name(port: NodeArg) -> str:
    return port.name.removesuffix(_WIDE)


def _widened(port: NodeArg, named: Mapping[str, np.ndarray]) -> np.ndarray:
    array = named[_own_name(port)]
    return array.astype(port.dtype) if port.name.endswith(_WIDE) else array


def _narrowed(value: onnx.ValueInfoProto, array: np.ndarray) -> np.ndarray:
    narrow = value.type.tensor_type.elem_type
    return array.astype(helper.tensor_dtype_to_np_dtype(narrow)) if narrow in _WIDER else array


def _described(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _dims(value: onnx.ValueInfoProto) -> Sequence[onnx.TensorShapeProto.Dimension]:
    dims: Sequence[onnx.TensorShapeProto.Dimension] = value.type.tensor_type.shape.dim
    return dims


def _codes(error: BitcError) -> set[str]:
    return {diagnostic.code for diagnostic in error.diagnostics}


prepare = BitcBackend.prepare
run_model = BitcBackend.run_model
run_node = BitcBackend.run_node
supports_device = BitcBackend.supports_device
is_compatible = BitcBackend.is_compatible
