"""From a file, bytes or a ``ModelProto`` to a checked :class:`Source`: one flat graph whose names and order are sound.

Lenient where files in the wild are odd (any IR version, no ``opset_import`` for custom domains, initializers listed as inputs, nodes
out of order), strict where the meaning would be in doubt: doubled or missing names, cycles, broken data. Everything wrong with the file
is a ``ModelError``. Local functions are inlined.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]  # ships no types
from google.protobuf.message import DecodeError, EncodeError, Message  # type: ignore[import-untyped]

from bitc.errors import Diagnostic, ModelError, OptionError, UnsupportedError, first_error
from bitc.frontend.functions import check_nodes, inlined
from bitc.frontend.node import canonical_domain, location
from bitc.frontend.tensors import TensorReader
from bitc.limits import Limits, check_limit

ModelLike = str | os.PathLike[str] | bytes | onnx.ModelProto


@dataclass(frozen=True, slots=True)
class Source:
    """A sound model: ``nodes`` are those ``outputs`` need, each after those it reads, with their index in the file.

    ``defaults``: what the file would give to inputs that are open.
    """

    name: str
    producer: str
    sha256: str
    opsets: Mapping[str, int]
    inputs: tuple[onnx.ValueInfoProto, ...]
    outputs: tuple[str, ...]
    nodes: tuple[tuple[int, onnx.NodeProto], ...]
    initializers: Mapping[str, onnx.TensorProto]
    defaults: Mapping[str, onnx.TensorProto]
    sparse_initializers: Mapping[str, onnx.SparseTensorProto]
    reader: TensorReader

    def opset(self, domain: str) -> int:
        """Imported version of a domain; 1 for a custom domain without import (legal in the wild)."""
        return self.opsets.get(canonical_domain(domain), 1)


def load(
    model: ModelLike,
    outputs: Sequence[str] | None = None,
    limits: Limits | None = None,
    open_inputs: Collection[str] = (),
) -> Source:
    """Read and check a model. ``outputs`` picks any tensors instead of the graph's own outputs; ``open_inputs`` are given at run time
    although the file has defaults for them.

    Raises ``ModelError``, ``UnsupportedError`` (types of inputs), ``OptionError`` (an unknown output).
    """
    limits = limits if limits is not None else Limits()
    data, name, folder = _read(model, limits)
    check_limit(limits, "model_bytes", len(data), name or "model")
    proto = _parse(data, name, limits)
    check_nodes(proto, limits, name or "model")
    if proto.functions:
        proto = inlined(proto)
    graph = proto.graph
    defaults = {tensor.name: tensor for tensor in graph.initializer if tensor.name in open_inputs}
    initializers = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in defaults}
    sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
    inputs = tuple(value for value in graph.input if value.name not in initializers and value.name not in sparse)
    makers = _makers(graph, [value.name for value in inputs], [*initializers, *sparse])
    wanted = _wanted(graph, outputs, {*makers, *initializers, *sparse, *(value.name for value in inputs)})
    given = {value.name for value in inputs} | set(initializers) | set(sparse)
    return Source(
        name=name or graph.name or "model",
        producer=" ".join(filter(None, (proto.producer_name, proto.producer_version))),
        sha256=sha256(data).hexdigest(),
        opsets=_opsets(proto),
        inputs=inputs,
        outputs=wanted,
        nodes=_ordered(graph, makers, given, wanted),
        initializers=initializers,
        defaults=defaults,
        sparse_initializers=sparse,
        reader=TensorReader(folder, limits),
    )


def _read(model: ModelLike, limits: Limits) -> tuple[bytes, str, Path | None]:
    if isinstance(model, onnx.ModelProto):
        try:
            return model.SerializeToString(deterministic=True), "", None
        except (EncodeError, ValueError) as error:
            raise ModelError(Diagnostic("M001", "the model cannot be serialised", here=str(error))) from None
    if isinstance(model, bytes):
        return model, "", None
    path = Path(model)
    try:
        check_limit(limits, "model_bytes", path.stat().st_size, str(path))  # before it is read
        return path.read_bytes(), path.stem, path.parent
    except (OSError, ValueError) as error:
        here = (error.strerror or "") if isinstance(error, OSError) else str(error)
        raise ModelError(Diagnostic("M001", "the model file cannot be read", str(path), here=here)) from None


def _parse(data: bytes, name: str, limits: Limits) -> onnx.ModelProto:
    where = name or "model"
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError):
        raise ModelError(Diagnostic("M001", "this is not an ONNX file, or it is cut short", where)) from None
    for field, text in _texts(proto):
        if isinstance(text, bytes):
            rule = "names are UTF-8 text"
            raise ModelError(
                Diagnostic("M001", "the file holds names that are not text, so it is damaged", where, rule)
            )
        if field not in _LONG_TEXTS:
            check_limit(limits, "name_characters", len(text), f"{where}: {field} {text[:40]!r}...")
    if not proto.HasField("graph"):
        raise ModelError(
            Diagnostic("M001", "the file holds no ONNX graph", where, hint="export the network as ONNX again")
        )
    if not proto.graph.output:
        raise ModelError(Diagnostic("M001", "the graph has no output, so there is nothing to compute", where))
    return proto


_LONG_TEXTS = {"doc_string", "value"}
"""Texts that are no names: documentation, and the values of metadata and of external data entries."""


def _texts(message: Message) -> Iterator[tuple[str, str | bytes]]:
    """Fields of type string with their names. Where they hold other bytes, protobuf hands out ``bytes``."""
    for field, value in message.ListFields():
        entries = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from ((field.name, entry) for entry in entries)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for entry in entries:
                yield from _texts(entry)


def _opsets(proto: onnx.ModelProto) -> dict[str, int]:
    """Versions by canonical domain. Two spellings of one domain keep the higher version."""
    versions: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = canonical_domain(entry.domain)
        versions[domain] = max(entry.version, versions.get(domain, 0))
    return versions


def _makers(graph: onnx.GraphProto, inputs: Sequence[str], constants: Sequence[str]) -> dict[str, int]:
    """For each tensor the index of the node that makes it. Raises ``ModelError`` when a name is made twice or is empty."""
    makers: dict[str, int] = {}
    problems = []
    seen: set[str] = set()
    for name in (*inputs, *constants):
        if name in seen or not name:
            problems.append(_doubled(name, "graph inputs and initializers"))
        seen.add(name)
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in seen:
                problems.append(_doubled(name, location(index, node)))
            seen.add(name)
            makers[name] = index
    first_error(problems, ModelError)
    return makers


def _doubled(name: str, where: str) -> Diagnostic:
    title = f"tensor {name!r} is defined twice" if name else "an input or initializer has no name"
    return Diagnostic("M004", title, where, "each tensor has one name and one origin")


def _wanted(graph: onnx.GraphProto, outputs: Sequence[str] | None, known: set[str]) -> tuple[str, ...]:
    if outputs is not None:
        unknown = [name for name in outputs if name not in known]
        problems = [Diagnostic("O004", f"the model has no tensor {name!r} to give as an output") for name in unknown]
        if not outputs:
            problems.append(Diagnostic("O004", "the list of outputs is empty"))
        if len(set(outputs)) != len(outputs):
            problems.append(Diagnostic("O004", "an output is asked for twice", here=", ".join(outputs)))
        first_error(problems, OptionError)
        return tuple(outputs)
    names = tuple(value.name for value in graph.output)
    problems = [Diagnostic("M004", f"graph output {name!r} is made by nothing") for name in names if name not in known]
    if len(set(names)) != len(names):
        problems.append(Diagnostic("M004", "a graph output is listed twice", here=", ".join(names)))
    first_error(problems, ModelError)
    return names


def _ordered(
    graph: onnx.GraphProto, makers: Mapping[str, int], given: set[str], wanted: Sequence[str]
) -> tuple[tuple[int, onnx.NodeProto], ...]:
    """The nodes that ``wanted`` needs, each after those it reads, else in file order. Raises ``ModelError`` (missing, cycle)."""
    reads: dict[int, set[int]] = {}
    problems = []
    stack = [makers[name] for name in wanted if name in makers]
    while stack:
        index = stack.pop()
        if index in reads:
            continue
        node = graph.node[index]
        read = (*node.input, *captured(node))
        reads[index] = {makers[name] for name in read if name in makers}
        stack.extend(reads[index])
        for name in read:
            if name and name not in makers and name not in given:
                problems.append(
                    Diagnostic("M004", f"tensor {name!r} is read but nothing makes it", location(index, node))
                )
    first_error(problems, ModelError)
    readers: dict[int, list[int]] = {index: [] for index in reads}
    waiting = {index: len(needs) for index, needs in reads.items()}
    for index, needs in reads.items():
        for need in needs:
            readers[need].append(index)
    ready = [index for index, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append((index, graph.node[index]))
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    if len(order) < len(reads):
        stuck = sorted(set(reads) - {index for index, _ in order})[:8]
        here = ", ".join(location(index, graph.node[index]) for index in stuck)
        raise ModelError(
            Diagnostic("M005", "nodes wait for one another in a circle", rule="the graph has no cycles", here=here)
        )
    return tuple(order)


def captured(proto: onnx.NodeProto) -> Iterator[str]:
    """The names of tensors around ``proto`` that its subgraphs read."""
    for attribute in proto.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else ())):
            made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            for node in graph.node:
                yield from (name for name in (*node.input, *captured(node)) if name and name not in made)
                made.update(node.output)
            yield from (value.name for value in graph.output if value.name not in made)


def check_opset(source: Source) -> None:
    """Refuse versions of the standard operators whose rules this frontend does not know. Raises on failure."""
    if not any(canonical_domain(node.domain) == "" for _, node in source.nodes):
        return
    version = source.opsets.get("")
    if version is None:
        rule = "a model that uses standard operators imports their opset"
        raise ModelError(Diagnostic("M006", "the model does not say which opset it uses", source.name, rule))
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        hint = "convert the model with onnx.version_converter"
        rule = f"opset {OLDEST_OPSET} to {NEWEST_OPSET}"
        raise UnsupportedError(
            Diagnostic("U002", "the model's opset is not supported", source.name, rule, str(version), hint)
        )


OLDEST_OPSET = 7
NEWEST_OPSET = 25
