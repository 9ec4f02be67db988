"""The body of a model's one Loop or Scan as a model of its own: what is carried becomes states, what is scanned the inputs of a step.

For loops whose rounds are not known, or are not wanted unrolled. States are named so that ``--state auto`` finds them (``m`` and
``m_out``), and begin, by their inputs' defaults, with what the loop begins with. What the body reads around it must be constant, or an
input; an input that is only read at the loop's own index becomes an input of the step.

Source: https://onnx.ai/onnx/operators/onnx__Loop.html and onnx__Scan.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bitc.errors import Diagnostic, OptionError
from bitc.frontend import import_model
from bitc.frontend.load import captured

ITERATION, GOES_ON = "iteration", "goes_on"


def step_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """One round of the loop in ``model``. Raises :class:`OptionError` where there is no such loop, or more around it than constants."""
    loops = [node for node in model.graph.node if node.op_type in ("Loop", "Scan") and not node.domain]
    if len(loops) != 1:
        raise _refused("a step is made of the one Loop or Scan of a model", f"there are {len(loops)}")
    (loop,) = loops
    after = [node for node in model.graph.node if set(node.input) & set(filter(None, loop.output))]
    if after:
        raise _refused(
            "the loop gives the model's outputs", f"{after[0].op_type} {after[0].name!r} reads what it gives"
        )
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    step = _Step(model, _Around(model), loop, body)
    step.scan() if loop.op_type == "Scan" else step.loop()
    return step.made()


def _refused(rule: str, here: str) -> OptionError:
    return OptionError(Diagnostic("O057", "no step can be made of this model", "", rule, here))


class _Around:
    """What the loop finds around it: inputs, constants, and nodes that compute constants."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = {value.name: value for value in model.graph.input if value.name not in self.constants}
        self._makers = {name: node for node in model.graph.node for name in node.output if name}

    def nodes_of(self, names: Iterable[str]) -> list[onnx.NodeProto]:
        """The nodes that compute ``names`` from constants, in order. Raises :class:`OptionError` where an input comes in."""
        found: list[onnx.NodeProto] = []
        seen: set[str] = set()
        stack = [(name, False) for name in names]
        while stack:
            name, ready = stack.pop()
            if ready:
                found.append(self._makers[name])
            elif name in self.inputs:
                rule = "what the body reads, and begins with, is constant or an input"
                raise _refused(rule, f"something is computed from input {name!r} before the loop")
            elif name in self._makers and name not in seen:
                seen.update(self._makers[name].output)
                stack += [(name, True), *((read, False) for read in self._makers[name].input if read)]
        return found

    def value(self, name: str) -> np.ndarray:
        """A constant, evaluated as the importer does, within its limits."""
        if name in self.constants:
            return numpy_helper.to_array(self.constants[name])
        output = [onnx.ValueInfoProto(name=name)]
        graph = helper.make_graph(self.nodes_of([name]), "begin", [], output, list(self.constants.values()))
        made = helper.make_model(graph, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version)
        (value,) = import_model(made).outputs
        if value.constant is None:
            raise _refused("what the loop begins with is constant or an input", f"{name!r} is neither")
        return value.constant


@dataclass(slots=True)
class _Step:
    """The model under construction."""

    model: onnx.ModelProto
    around: _Around
    node: onnx.NodeProto
    body: onnx.GraphProto
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    before: list[onnx.NodeProto] = field(default_factory=list)
    behind: list[onnx.NodeProto] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    """What nodes of the body made that something else stands for now."""
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def scan(self) -> None:
        """States first, then slices of inputs; the same for outputs."""
        scanned = next(attribute.i for attribute in self.node.attribute if attribute.name == "num_scan_inputs")
        axes = next((list(a.ints) for a in self.node.attribute if a.name == "scan_input_axes"), [0] * scanned)
        states = len(self.node.input) - scanned
        for index in range(states):
            self._state(index, index, index)
        for name, formal, axis in zip(self.node.input[states:], self.body.input[states:], axes, strict=True):
            if name not in self.around.inputs:
                raise _refused("what is scanned is an input of the model", f"{name!r} is computed")
            self._slice(name, axis, formal.name)
        for made, name in zip(self.body.output[states:], self.node.output[states:], strict=False):
            self._given(name, made.name)

    def loop(self) -> None:
        """A count and a condition before the states; tensors that each round appends to are outputs of a step."""
        count, condition = (value.name for value in self.body.input[:2])
        states = len(self.node.input) - 2
        for index in range(states):
            grown = self._appended(self.body.input[2 + index].name, self.body.output[1 + index].name)
            if grown is None:
                self._state(2 + index, 1 + index, index)
            else:
                self._given(self.node.output[index], grown)
        for made, name in zip(self.body.output[1 + states :], self.node.output[states:], strict=False):
            self._given(name, made.name)
        self._sliced_by(count)
        if any(count in node.input for node in self._nodes()):
            self._carried(ITERATION, count, np.zeros((), np.int64), None)
            self.constants.append(numpy_helper.from_array(np.asarray(1, np.int64), f"{ITERATION}_one"))
            self.behind.append(helper.make_node("Add", [count, f"{ITERATION}_one"], [f"{ITERATION}_out"]))
        self.constants.append(numpy_helper.from_array(np.asarray(True), condition))
        if self._depends(self.body.output[0].name):
            self._given(GOES_ON, self.body.output[0].name)

    def made(self) -> onnx.ModelProto:
        """The finished model, its shapes inferred."""
        nodes = self._nodes()
        given = {value.name for value in self.inputs}
        outer = dict.fromkeys(name for node in nodes for name in (*node.input, *captured(node)) if name)
        for name in outer:
            if name in self.around.inputs and name not in given:
                self.inputs.append(self.around.inputs[name])
        read = [name for name in outer if name not in self.around.inputs]
        ahead = self.around.nodes_of(read)
        used = {name for node in (*ahead, *nodes) for name in (*node.input, *captured(node))}
        own = [*self.constants, *self.body.initializer]
        kept = [tensor for name, tensor in self.around.constants.items() if name in used]
        every = [*ahead, *self.before, *nodes, *self.behind]
        graph = helper.make_graph(every, "step", self.inputs, self.outputs, [*own, *kept])
        opsets, version = list(self.model.opset_import), max(self.model.ir_version, 4)
        return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=version))

    def _nodes(self) -> list[onnx.NodeProto]:
        return [node for node in self.body.node if not set(node.output) & self.dropped]

    def _state(self, given: int, carried: int, position: int) -> None:
        """Operand ``given`` of the loop, which output ``carried`` of its body brings to the next round."""
        formal = self.body.input[given].name
        named = self.node.output[position] if position < len(self.node.output) else ""
        name = named if named and not named.startswith("/") else re.sub(r"\.\d+$", "", formal)
        source = self.node.input[given]
        if source in self.around.inputs:
            self.inputs.append(self.around.inputs[source])
            self.before.append(helper.make_node("Identity", [source], [formal]))
            self._given(f"{source}_out", self.body.output[carried].name)
        else:
            self._carried(name, formal, self.around.value(source), self.body.output[carried].name)

    def _carried(self, name: str, formal: str, initial: np.ndarray, made: str | None) -> None:
        kind = helper.np_dtype_to_tensor_dtype(initial.dtype)
        name = f"{name}_state" if name == formal else name
        self.inputs.append(helper.make_tensor_value_info(name, kind, initial.shape))
        self.outputs.append(helper.make_tensor_value_info(f"{name}_out", kind, initial.shape))
        self.before.append(helper.make_node("Identity", [name], [formal]))
        if initial.any():
            self.constants.append(numpy_helper.from_array(initial, name))
        if made is not None:
            self.behind.append(helper.make_node("Identity", [made], [f"{name}_out"]))

    def _slice(self, name: str, axis: int, formal: str) -> None:
        """An input of the step: what input ``name`` has at one place of ``axis``."""
        sliced = onnx.ValueInfoProto()
        sliced.CopyFrom(self.around.inputs[name])
        del sliced.type.tensor_type.shape.dim[axis]
        self.inputs.append(sliced)
        self.before.append(helper.make_node("Identity", [name], [formal]))

    def _given(self, name: str, made: str) -> None:
        """An output of the step."""
        if name:
            self.outputs.append(onnx.ValueInfoProto(name=name))
            self.behind.append(helper.make_node("Identity", [made], [name]))

    def _appended(self, formal: str, made: str) -> str | None:
        """What a round appends to a tensor that it only carries along; None where it is an ordinary state."""
        readers = [node for node in self.body.node if formal in node.input]
        if len(readers) != 1 or readers[0].op_type != "Concat" or list(readers[0].output) != [made]:
            return None
        if len(readers[0].input) != 2 or readers[0].input[0] != formal:
            return None
        self.dropped.add(made)
        return str(readers[0].input[1])

    def _sliced_by(self, count: str) -> None:
        """Inputs that are read only at place ``count`` become inputs of the step."""
        for name in self.around.inputs:
            readers = [node for node in self._nodes() if name in node.input]
            if readers and all(node.op_type == "Gather" and list(node.input) == [name, count] for node in readers):
                axes = {next((a.i for a in node.attribute if a.name == "axis"), 0) for node in readers}
                if len(axes) == 1:
                    self.dropped.update(output for node in readers for output in node.output)
                    self._slice(name, axes.pop(), readers[0].output[0])
                    others = (node.output[0] for node in readers[1:])
                    self.before += [helper.make_node("Identity", [name], [other]) for other in others]

    def _depends(self, name: str) -> bool:
        """Whether ``name`` is computed from what changes from round to round."""
        changing = {value.name for value in self.inputs} | {made for node in self.before for made in node.output}
        changing.add(self.body.input[0].name)
        for node in self.body.node:
            if changing & {*node.input, *captured(node)}:
                changing.update(node.output)
        return name in changing
