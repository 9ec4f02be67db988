"""The walk over a model's nodes that makes a graph of level ``nn``, and :func:`import_model`, the frontend's one entrance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import onnx

from bitc.errors import BitcError, Diagnostic, ModelError, UnsupportedError
from bitc.frontend import (  # noqa: F401  (each enters its handlers)
    activations,
    block_weights,
    control_flow,
    einsum,
    elementwise,
    images,
    indexing,
    integer,
    linear,
    masks,
    microsoft_float,
    microsoft_products,
    microsoft_quantized,
    normalize,
    qonnx,
    qonnx_float,
    qonnx_layers,
    quantize,
    recurrent,
    reduce,
    resize,
    shapes,
    tensor,
    transposed,
)
from bitc.frontend.batch import dependences
from bitc.frontend.bodies import import_node
from bitc.frontend.dims import InputSpec, bind_inputs
from bitc.frontend.elements import ELEMENTS, NO_SUCH_ELEMENT, Element, result_element, wrong_arithmetic
from bitc.frontend.load import ModelLike, Source, captured, check_opset, load
from bitc.frontend.node import Node, NodeProblem, Scope, dtype_of, find_handler, location
from bitc.frontend.states import checked_states
from bitc.frontend.unknown import unknown_op
from bitc.ir import Builder, Graph, InferenceError, Op, Value, drop_dead
from bitc.ir.builder import work
from bitc.limits import GROWTH, GROWTH_OF_WORK, OVER_LIMIT, Limits, check_limit, over_limit


def import_model(
    model: ModelLike,
    *,
    dims: Mapping[str, int] | None = None,
    outputs: Sequence[str] | None = None,
    limits: Limits | None = None,
    states: Mapping[str, str] | None = None,
) -> Graph:
    """The network as a graph of level ``nn``: only ``nn`` ops, static shapes, weights and shape arithmetic folded to constants.

    Args:
        model: path, bytes or ``ModelProto``. Only a path can have external data, inside its own folder.
        dims: sizes of symbolic dimensions by name. One leading dimension may stay free; the graph is then made for batch 1 and is
            proven to treat each image alike, and ``attrs["batch"]`` holds the dimension's name (else it is empty).
        outputs: names of any tensors to give instead of the graph's outputs.
        limits: what the model may ask for at most; beyond it is a ``ModelError``.
        states: for inputs that are states the outputs that carry them; ``attrs["states"]`` then has each pair with its initial value.

    Inputs and outputs keep their ONNX names and order; a value that is an ONNX tensor has its name as ``origin``; an op's ``loc`` is
    ``node 17 'name' (OpType)``. ``attrs``: batch, model_name, model_sha256, opsets, producer (all text); output_names in order, for
    passes may let one value stand for several outputs.

    Raises:
        ModelError: the file is broken. UnsupportedError: nodes bitc does not take, all of them. OptionError: ``dims`` or ``outputs``.
    """
    source = load(model, outputs, limits, states or ())
    check_opset(source)
    specs, batch = bind_inputs(source.inputs, dims or {})
    graph = _Importer(source, specs, batch, 1).run()
    if states:
        graph.attrs["states"] = checked_states(graph, source, states, batch)
    if batch:
        _prove_batch(graph, source, specs, batch)
    return graph


def _prove_batch(graph: Graph, source: Source, specs: Sequence[InputSpec], batch: str) -> None:
    """Raise ``UnsupportedError`` unless the network does the same to each image of a batch."""
    try:
        found = dependences(graph, _Importer(source, specs, batch, 2).run())
    except BitcError as error:  # fine for one image, so the shapes are baked for it
        found = [f"with {batch} = 2: {d.title} at {d.where}; {d.rule} {d.here}" for d in error.diagnostics]
    if found:
        raise UnsupportedError(
            Diagnostic(
                "U005",
                f"the network does not treat dimension {batch!r} as a batch of independent images",
                source.name,
                "a free leading dimension must pass through every op, one image not touching another",
                "; ".join(found[:3]),
                f"--dim {batch}=1",
            )
        )


class _Importer:
    """One import of one model at one batch size."""

    def __init__(self, source: Source, specs: Sequence[InputSpec], batch: str, batch_size: int) -> None:
        self.source = source
        self.limits = source.reader.limits
        self.builder = Builder(
            fold=True, fold_limit_bytes=self.limits.constant_bytes, fold_work=self.limits.constant_work
        )
        self.attrs = {
            "batch": batch,
            "model_name": source.name,
            "model_sha256": source.sha256,
            "opsets": ", ".join(
                f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(source.opsets.items())
            ),
            "producer": source.producer,
        }
        self.inputs = [self.builder.input(spec.name, spec.type_at(batch_size)) for spec in specs]
        self.values: dict[str, Value] = {value.name: value for value in self.inputs}
        self.elements: dict[Value, Element] = {}
        self._broken: list[Diagnostic] = []
        self._unsupported: list[Diagnostic] = []
        self._failed: set[str] = set()
        self._not_made: dict[str, str] = {}
        self._made_bytes = 0
        self._reserve_names()

    def _reserve_names(self) -> None:
        """Keep the builder's own numbered names clear of ONNX tensors that are named by numbers."""
        for name in (*self.source.initializers, *self.source.sparse_initializers):
            self.builder.fresh_name(name)
        for _, node in self.source.nodes:
            for name in filter(None, node.output):
                self.builder.fresh_name(name)

    def run(self) -> Graph:
        """The finished graph. Raises with everything that was found wrong."""
        for given in self.inputs:
            self._check_type(given, f"input {given.name!r}")
        for index, proto in self.source.nodes:
            results = self._results(index, proto)
            for position, name in enumerate(proto.output):
                if name and position < len(results):
                    self._enter(name, results[position])
                elif name and results:
                    self._not_made[name] = location(index, proto)
            if self._broken and self._broken[-1].code == OVER_LIMIT:  # what follows may be as much again
                raise ModelError(*self._broken, *self._unsupported)
        outputs = [self._operand(name) for name in self.source.outputs]
        for name, value in zip(self.source.outputs, outputs, strict=True):
            if value is not None and value in self.elements:
                self._unsupported.append(_bad_output(name, self.elements[value]))
        if self._broken or self._unsupported:
            kind = ModelError if self._broken else UnsupportedError
            raise kind(*self._broken, *self._unsupported)
        named = self._named_outputs([value for value in outputs if value is not None])
        attrs = {**self.attrs, "output_names": self.source.outputs}
        return drop_dead(Graph(self.source.name, self.inputs, self.builder.ops, named, attrs))

    def _enter(self, name: str, value: Value) -> None:
        """``value`` is the ONNX tensor ``name``; a value that is several (Identity) keeps its first name."""
        self.values[name] = value
        if not value.origin:
            value.name = value.origin = name

    def _operand(self, name: str) -> Value | None:
        """The value of an ONNX tensor; None where the node that makes it failed, which has been noted already."""
        if name in self.values or name in self._failed:
            return self.values.get(name)
        try:
            if name in self.source.initializers:
                tensor = self.source.initializers[name]
                self._enter(name, self.builder.constant(self._read(tensor)))
                self._remember([self.values[name]], ELEMENTS.get(tensor.data_type))
            elif name in self.source.sparse_initializers:
                self._enter(
                    name, self.builder.constant(self.source.reader.sparse(self.source.sparse_initializers[name]))
                )
            elif name in self._not_made:
                title = f"output {name!r} of a node is used, but bitc does not compute it"
                self._unsupported.append(Diagnostic("U003", title, self._not_made[name]))
        except BitcError as error:
            self._note(error)
        if name not in self.values:
            self._failed.add(name)
        return self.values.get(name)

    def _read(self, initializer: onnx.TensorProto) -> np.ndarray:
        """A constant of the file, which makes room for those that are computed from it."""
        array = self.source.reader.dense(initializer)
        self._made_bytes -= GROWTH * array.nbytes
        self.builder.fold_limit_bytes += GROWTH * array.nbytes
        self.builder.fold_work += GROWTH_OF_WORK * array.size
        return array

    def _results(self, index: int, proto: onnx.NodeProto) -> Sequence[Value]:
        """Import one node; on failure note why and give nothing, so that only the first node of a bad chain is blamed."""
        opset = self.source.opset(proto.domain)
        operands = tuple(self._operand(name) if name else None for name in proto.input)
        scope = Scope(self._operand, self.source.opset)
        node = Node(proto, index, opset, operands, self.builder, self.source.reader, self.elements, scope)
        known = all(operand is not None for operand, name in zip(operands, proto.input, strict=True) if name)
        known = known and all(self._operand(name) is not None for name in captured(proto))
        try:
            if known:
                element = wrong_arithmetic(proto, operands, self.elements)
                if element is not None:
                    raise node.unsupported(
                        "bitc does not compute in bfloat16 or smaller floats", element.name, code="U004"
                    )
                made = len(self.builder.ops)
                self.builder.doubtful = False
                results = import_node(node)
                self._check_growth(made, node.where)
                self._remember(results, result_element(proto, operands, self.elements))
                return results
            if find_handler(proto.domain, proto.op_type, opset) is None:
                self._unsupported.append(unknown_op(node).diagnostic)
        except NodeProblem as problem:
            (self._broken if problem.broken else self._unsupported).append(problem.diagnostic)
        except BitcError as error:  # a tensor attribute that cannot be read
            self._note(error)
        except InferenceError as error:
            title = "the operands of a node do not fit one another"
            self._broken.append(Diagnostic("M007", title, node.where, str(error)))
        except (ValueError, ArithmeticError, IndexError) as error:  # NumPy, on constants of the file
            title = "a node cannot be evaluated on its constants"
            self._broken.append(Diagnostic("M007", title, node.where, here=str(error)))
        return ()

    def _check_growth(self, first: int, where: str) -> None:
        """Hold what a node made, the ops from number ``first`` on, to the limits. Raises ``ModelError``."""
        for op in self.builder.ops[first:]:
            for value in op.results:
                self._check_type(value, where)
                self._made_bytes += sum(
                    array.nbytes for array in (value.constant, *(value.ends or ())) if array is not None
                )
            if op.operands and all(operand.constant is not None for operand in op.operands):  # too much to evaluate
                self._refuse_unfolded(op, where)
        check_limit(self.limits, "constant_bytes", self._made_bytes, where)

    def _refuse_unfolded(self, op: Op, where: str) -> None:
        size_bytes = sum(prod(value.shape) * dtype_of(value).bytes for value in op.results)
        if size_bytes > self.builder.fold_limit_bytes:
            raise ModelError(over_limit("constant_bytes", self.limits.constant_bytes, size_bytes, where))
        operands, results = [value.type for value in op.operands], [value.type for value in op.results]
        needed = work(op.decl, operands, results, op.attrs)
        raise ModelError(over_limit("constant_work", self.limits.constant_work, f"{needed} for this node", where))

    def _check_type(self, value: Value, where: str) -> None:
        check_limit(self.limits, "rank", len(value.shape), where)
        check_limit(self.limits, "tensor_elements", prod(n or 1 for n in value.shape), where)

    def _remember(self, values: Sequence[Value], element: Element | None) -> None:
        """``values`` have an ONNX type the IR does not have; a quantizer's scale and other results of a dtype of its own do not."""
        if element is not None:
            self.elements.update((value, element) for value in values if dtype_of(value) is element.dtype)

    def _note(self, error: BitcError) -> None:
        (self._unsupported if isinstance(error, UnsupportedError) else self._broken).extend(error.diagnostics)

    def _named_outputs(self, values: Sequence[Value]) -> list[Value]:
        """Give each output its ONNX name; a copy stands in for a value that already has a name others rely on."""
        named: dict[Value, None] = {}
        for name, value in zip(self.source.outputs, values, strict=True):
            taken = value in named or value in self.inputs or value.constant is not None
            if value.name != name and taken:
                value = self.builder.add("nn.reshape", value, loc=f"output {name!r}", shape=value.shape)
                value.origin = name
            value.name = name
            named[value] = None
        return list(named)


def _bad_output(name: str, element: Element) -> Diagnostic:
    hint = "give what is before the quantizer or after the dequantizer"
    title = "an output's element type is not supported"
    return Diagnostic("U004", title, f"output {name!r}", NO_SUCH_ELEMENT, element.name, hint)
