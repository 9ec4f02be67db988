"""Make a failing model smaller for as long as it fails in the same way.

A step proposes a smaller model with inputs for it; whatever the oracle, bitc or the comparison then makes of it, the step is kept only
if the same failure is found again. So steps need not be sound, only simple. They are repeated until none helps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bitc.fuzz.examine import Failure, Feeds, Findings
from bitc.oracle import oracle_for


@dataclass(frozen=True, slots=True)
class Case:
    """A model and what it is fed."""

    model: onnx.ModelProto
    feeds: Feeds


Examine = Callable[[onnx.ModelProto, Feeds], Findings]
"""Looks at a model on the failing target."""


def shrink(case: Case, failure: Failure, examine: Examine, attempts: int = 150) -> Case:
    """The smallest case found with the failure of ``case``, after at most so many examinations."""
    left = attempts
    shrunk = True
    while shrunk and left > 0:
        shrunk = False
        for step in (_outputs, _bypassed, _cut_heads, _extents, _attributes):
            for candidate in step(case):
                if left <= 0:
                    break
                left -= 1
                found = examine(candidate.model, candidate.feeds)
                if any(other.key == failure.key for other in found.failures):
                    case, shrunk = candidate, True
                    break
    return case


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _cleaned(model: onnx.ModelProto, feeds: Feeds) -> Case:
    """Without what no output needs."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    for index in reversed(range(len(graph.node))):
        if needed.isdisjoint(graph.node[index].output):
            del graph.node[index]
        else:
            needed.update(graph.node[index].input)
    for group in (graph.initializer, graph.input):
        for index in reversed(range(len(group))):
            if group[index].name not in needed:
                del group[index]
    return Case(model, {value.name: feeds[value.name] for value in graph.input})


def _outputs(case: Case) -> Iterator[Case]:
    """One output alone."""
    if len(case.model.graph.output) > 1:
        for output in case.model.graph.output:
            model = _copy(case.model)
            del model.graph.output[:]
            model.graph.output.append(output)
            yield _cleaned(model, case.feeds)


def _tensors(case: Case) -> Feeds:
    """Every tensor of the model by name, as the oracle computes them."""
    with TemporaryDirectory(prefix="bitc-fuzz-") as folder:
        path = Path(folder) / "case.onnx"
        path.write_bytes(case.model.SerializeToString())
        try:
            return oracle_for(path).tensors(case.feeds)
        except Exception:  # an oracle that cannot show its tensors leaves these steps out
            return {}


def _bypassed(case: Case) -> Iterator[Case]:
    """A node's operand in place of its result, where both have one type."""
    known = {**_tensors(case), **case.feeds}
    outputs = {output.name for output in case.model.graph.output}
    for index, node in reversed(list(enumerate(case.model.graph.node))):
        result = node.output[0]
        for operand in dict.fromkeys(node.input):
            a, b = known.get(operand), known.get(result)
            if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
                continue
            model = _copy(case.model)
            for reader in model.graph.node:
                reader.input[:] = [operand if name == result else name for name in reader.input]
            if result in outputs:
                if operand in case.feeds or operand in outputs:
                    continue
                next(output for output in model.graph.output if output.name == result).name = operand
            del model.graph.node[index]
            yield _cleaned(model, case.feeds)


def _cut_heads(case: Case) -> Iterator[Case]:
    """A computed tensor as an input with the values it had, the latest first."""
    known = _tensors(case)
    outputs = {output.name for output in case.model.graph.output}
    free = any(dim.dim_param for value in case.model.graph.input for dim in value.type.tensor_type.shape.dim[:1])
    for index, node in reversed(list(enumerate(case.model.graph.node))):
        array = known.get(node.output[0])
        if array is None or node.output[0] in outputs or len(node.output) > 1 or not array.shape:
            continue
        model = _copy(case.model)
        del model.graph.node[index]
        dims = ["N", *array.shape[1:]] if free else array.shape
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.input.append(helper.make_tensor_value_info(node.output[0], kind, dims))
        yield _cleaned(model, {**case.feeds, node.output[0]: array})


def _extents(case: Case) -> Iterator[Case]:
    """Every axis of one extent cut to a smaller one, wherever it occurs."""
    arrays = [numpy_helper.to_array(tensor) for tensor in case.model.graph.initializer]
    extents = {n for array in (*arrays, *case.feeds.values()) for n in array.shape if n > 1}
    for extent in sorted(extents, reverse=True):
        for smaller in dict.fromkeys((1, extent // 2, extent - 1)):
            if 0 < smaller < extent:
                yield _resized(case, extent, smaller)


def _resized(case: Case, extent: int, smaller: int) -> Case:
    def cut(array: np.ndarray) -> np.ndarray:
        return array[tuple(slice(smaller) if n == extent else slice(None) for n in array.shape)]

    model = _copy(case.model)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        shapes = array.dtype == np.int64 and array.ndim == 1
        array = np.where(array == extent, smaller, array) if shapes else np.asarray(cut(array))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value == extent:
                dim.dim_value = smaller
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("group", "K", "N", "kernel_shape"):
                attribute.i = smaller if attribute.i == extent else attribute.i
                attribute.ints[:] = [smaller if n == extent else n for n in attribute.ints]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return Case(model, {name: np.ascontiguousarray(cut(array)) for name, array in case.feeds.items()})


def _attributes(case: Case) -> Iterator[Case]:
    """Plain strides, dilations and pads."""
    plain = {"strides": 1, "dilations": 1, "pads": 0}
    for index, node in enumerate(case.model.graph.node):
        for place, attribute in enumerate(node.attribute):
            value = plain.get(attribute.name)
            if value is None or set(attribute.ints) <= {value}:
                continue
            model = _copy(case.model)
            ints = model.graph.node[index].attribute[place].ints
            ints[:] = [value for _ in ints]
            for output in model.graph.output:
                output.type.tensor_type.ClearField("shape")
            yield Case(model, case.feeds)
