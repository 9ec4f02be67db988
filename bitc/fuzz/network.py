"""A network under construction: ONNX nodes over tensors whose types are known, with weights and inputs drawn at random.

Several networks share one file as components that no edge joins, so that one C library holds them all; each has its own inputs and
outputs, whose names begin with the network's own prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

CONTRIB = "com.microsoft"
QONNX = "qonnx.custom_op.general"
MOST_ELEMENTS = 6000
"""Of one tensor. Larger networks find no other bugs than small ones with odd sizes, and cost more."""

_IR_VERSION = 10
_OPTION = "bitc."
"""What keys of a file's metadata begin with that are options."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the network. ``scale`` and ``zero`` name or hold what its integers stand for, where they are codes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    scale: Operand | None = None
    zero: Operand | None = None

    @property
    def is_float(self) -> bool:
        """Whether it holds float32 numbers."""
        return self.dtype == np.float32

    @property
    def is_code(self) -> bool:
        """Whether it holds integers with a scale and a zero point."""
        return self.scale is not None

    @property
    def is_image(self) -> bool:
        """Whether it has the axes [N,C,H,W]."""
        return len(self.shape) == 4

    @property
    def channels(self) -> int:
        """The extent of axis 1."""
        return self.shape[1]


Operand = Tensor | np.ndarray | np.generic | None
"""What a node reads: a tensor, an array (an initializer), or nothing where the operand is left out."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all networks of a file share: ``batch`` rows, perhaps ``free``; ``qonnx`` files have another oracle and more operators;
    ``options`` of :func:`bitc.compile` that the file asks to be compiled with; ``pruned``: most float weights are 0."""

    opset: int
    batch: int
    free: bool
    qonnx: bool
    options: tuple[tuple[str, str], ...] = ()
    pruned: bool = False


class Unfit(Exception):
    """A production does not apply to the tensor it was given."""


@dataclass(slots=True)
class Network:
    """Nodes, constants, inputs with their values, and outputs. ``dyadic`` networks draw numbers whose sums float32 mostly holds."""

    setting: Setting
    choose: Random
    prefix: str
    dyadic: bool
    draw: np.random.Generator = field(init=False)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    made: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    feeds: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = np.random.default_rng(self.choose.getrandbits(32))

    # choices

    def maybe(self, probability: float) -> bool:
        """True with this probability."""
        return self.choose.random() < probability

    def floats(self, shape: Sequence[int], spread: float = 2.0) -> np.ndarray:
        """float32 numbers around zero: quarters in a dyadic network, else normal ones."""
        if self.dyadic:
            return (self.draw.integers(-8, 9, shape) / 8 * spread).astype(np.float32)
        return (self.draw.normal(size=shape) * spread).astype(np.float32)

    def scales(self, shape: Sequence[int] = ()) -> np.ndarray:
        """Positive float32 scales: powers of two in a dyadic network, else any of a few sizes."""
        if self.dyadic:
            return (2.0 ** self.draw.integers(-4, 2, shape)).astype(np.float32)
        return (self.draw.uniform(0.5, 1.5, shape) * self.choose.choice([0.02, 0.1, 1.0])).astype(np.float32)

    def per_channel(self, values: np.ndarray, rank: int) -> np.ndarray:
        """[C] numbers as an operand that broadcasts along axis 1 of a tensor of ``rank``."""
        return values.reshape(1, -1, *(1 for _ in range(rank - 2)))

    # building

    def input(self, shape: Sequence[int], dtype: type, low: int, high: int) -> Tensor:
        """A graph input behind the batch axis; whole numbers from ``low`` to ``high``, or near them where the network is not dyadic."""
        dims = (self.setting.batch, *shape)
        values: np.ndarray = self.draw.integers(low, high + 1, dims).astype(dtype)
        if dtype is np.float32 and not self.dyadic:
            values = (values + self.draw.normal(size=dims)).astype(np.float32)
        tensor = Tensor(f"{self.prefix}x{len(self.inputs)}", np.dtype(dtype), dims)
        self.inputs.append(tensor)
        self.feeds[tensor.name] = values
        return tensor

    def node(
        self,
        kind: str,
        *operands: Operand,
        domain: str = "",
        like: tuple[type | np.dtype[Any], Sequence[int]] | None = None,
        **attrs: Any,
    ) -> Tensor:
        """A node with one result. ``like`` gives its type where onnx has no inference for it. Raises :class:`Unfit` if it has none."""
        return self.split(kind, *operands, domain=domain, likes=[like] if like else None, results=1, **attrs)[0]

    def split(
        self,
        kind: str,
        *operands: Operand,
        results: int,
        domain: str = "",
        likes: Sequence[tuple[type | np.dtype[Any], Sequence[int]]] | None = None,
        **attrs: Any,
    ) -> list[Tensor]:
        """A node with several results."""
        tensors = [self._tensor(x) for x in operands]
        names = [f"{self.prefix}t{len(self.nodes)}" + (f"_{i}" if results > 1 else "") for i in range(results)]
        reads = [x.name if x is not None else "" for x in tensors]
        proto = helper.make_node(kind, reads, names, f"{self.prefix}{kind}{len(self.nodes)}", domain=domain, **attrs)
        types = likes if likes is not None else self._inferred(proto, tensors)
        made = [Tensor(name, np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in zip(names, types, strict=True)]
        if any(prod(x.shape) > MOST_ELEMENTS or 0 in x.shape for x in made):
            raise Unfit
        self.nodes.append(proto)
        self.made.update((x.name, x) for x in made)
        return made

    def constant(self, value: np.ndarray | np.generic) -> Tensor:
        """An initializer; arrays that are operands of :meth:`node` become one by themselves."""
        array = np.asarray(value)
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return Tensor(name, array.dtype, array.shape)

    def _tensor(self, operand: Operand) -> Tensor | None:
        return operand if isinstance(operand, Tensor | None) else self.constant(operand)

    def _inferred(
        self, proto: onnx.NodeProto, operands: Sequence[Tensor | None]
    ) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
        """The types onnx's inference gives this node alone."""
        known = {x.name: x for x in operands if x is not None}
        types = {
            name: helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in known.items()
        }
        inputs = [helper.make_value_info(name, kind) for name, kind in types.items()]
        outputs = [onnx.ValueInfoProto(name=name) for name in proto.output]
        data = [tensor for tensor in self.constants if tensor.name in known]
        opsets = [helper.make_opsetid("", self.setting.opset)]
        alone = helper.make_graph([proto], "alone", inputs, outputs, data)
        try:
            model = helper.make_model(alone, opset_imports=opsets, ir_version=_IR_VERSION)
            found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise Unfit(str(error)) from error
        return [_known(value.type.tensor_type) for value in found.graph.output]


def _known(tensor: onnx.TypeProto.Tensor) -> tuple[np.dtype[Any], tuple[int, ...]]:
    if not tensor.elem_type or any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
        raise Unfit("onnx does not say the type: an operator this opset lacks, perhaps")
    return helper.tensor_dtype_to_np_dtype(tensor.elem_type), tuple(dim.dim_value for dim in tensor.shape.dim)


def file_of(networks: Sequence[Network]) -> onnx.ModelProto:
    """One model of all ``networks``, which have the same setting."""
    setting = networks[0].setting

    def typed(x: Tensor) -> onnx.ValueInfoProto:
        dims: Sequence[str | int] = ["N", *x.shape[1:]] if setting.free and x.shape else x.shape
        return helper.make_tensor_value_info(x.name, helper.np_dtype_to_tensor_dtype(x.dtype), dims)

    inputs = [typed(x) for network in networks for x in network.inputs]
    outputs = [typed(network.made[name]) for network in networks for name in network.outputs]
    nodes = [node for network in networks for node in network.nodes]
    constants = [tensor for network in networks for tensor in network.constants]
    opsets = [helper.make_opsetid("", setting.opset), helper.make_opsetid(CONTRIB, 1)]
    if setting.qonnx:
        opsets[1:] = [helper.make_opsetid(QONNX, 2)]
    graph = helper.make_graph(nodes, "fuzz", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    helper.set_model_props(model, {_OPTION + name: value for name, value in setting.options})
    return model


def options_of(model: onnx.ModelProto) -> dict[str, Any]:
    """The options a file asks to be compiled with, in its metadata, so that a file that failed says how; digits are a number."""
    said = {prop.key.removeprefix(_OPTION): prop.value for prop in model.metadata_props if prop.key.startswith(_OPTION)}
    return {name: int(value) if value.isdigit() else value for name, value in said.items()}
