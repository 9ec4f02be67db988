"""From a k graph to the C plan: ports, memory, then the calls of each op in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.kernels import BY_IMAGE, calls_of
from bitc.codegen.maps import dtype_of
from bitc.codegen.memory_plan import ALIGN_BYTES, plan_memory
from bitc.codegen.names import comment, unique_identifiers
from bitc.codegen.plan import Call, Port, Program, Step
from bitc.codegen.runtime_files import available
from bitc.codegen.sharing import Share, band
from bitc.codegen.targets import Target
from bitc.codegen.work import multiplications
from bitc.errors import Diagnostic, UnsupportedError
from bitc.ir import DType, Graph, Op
from bitc.ir.k_rows import BY_ROWS, image_rows, inner_values

MOST_ELEMENTS = 2**31 - 1


def build_program(
    graph: Graph, name: str, target: Target, guard_bytes: int = 0, shared: Mapping[Op, Share] | None = None
) -> Program:
    """The C plan of ``graph``, whose ops ``shared`` are for several threads.

    Raises :class:`UnsupportedError` for buffers that 32-bit indices do not reach.
    """
    for value in graph.values():
        if prod(value.shape) > MOST_ELEMENTS:
            here = f"{value.type} of {value.origin or value.name}"
            raise UnsupportedError(
                Diagnostic("U140", "a tensor is too large", rule="fewer than 2^31 elements", here=here)
            )
    shared = shared if shared is not None else {}
    memory = plan_memory(graph, guard_bytes, shared)
    contracts = dict(graph.attrs.get("layer_contracts", ()))
    inputs, outputs = _ports(graph)
    program = Program(name, inputs, outputs, max(memory.arena_bytes, ALIGN_BYTES))
    out = Assembly(program, memory, target.isa, target.little_endian, target.lesser)
    for op in graph.ops:
        if op.name == "k.rows":
            program.steps.append(_rows(op, out, shared.get(op)))
        elif op.name not in ("nn.constant", "k.view"):
            program.steps.append(_single(op, out, shared.get(op)))
    reasons = {node: (why, hint) for node, why, hint in graph.attrs.get("why_not_one_bit", ())}
    rates: dict[str, float] = dict(graph.attrs.get("firing_rates", ()))
    costs: dict[str, list[str]] = {}
    for node, text in graph.attrs.get("form_costs", ()):
        costs.setdefault(node, []).append(text)
    for entry in program.layers:
        if entry["macs"] and entry["node"] in contracts:
            entry["contract"] = contracts[entry["node"]]
            entry["why"], entry["hint"] = reasons.get(entry["node"], ("", ""))
            if entry["node"] in rates:
                entry["firing_rate"] = round(rates[entry["node"]], 6)
            if entry["node"] in costs:
                entry["costs"] = costs[entry["node"]]
    return program


def _ports(graph: Graph) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    values = [*graph.inputs, *graph.outputs]
    named = graph.attrs.get("output_names") or [value.name for value in graph.outputs]
    titles = [*(value.name for value in graph.inputs), *named]
    fields = unique_identifiers(titles)
    ports = [
        Port(title, field, dtype_of(value), value.shape, prod(value.shape))
        for value, title, field in zip(values, titles, fields, strict=True)
    ]
    return tuple(ports[: len(graph.inputs)]), tuple(ports[len(graph.inputs) :])


def _single(op: Op, out: Assembly, share: Share | None) -> Step:
    images, rows = op.results[0].shape[:2] if op.name in BY_IMAGE else (1, 1)
    if op.name in BY_ROWS:
        images, rows = image_rows(op)
    out.inner, out.setup = frozenset(), []
    by_rows = share is not None and share.axis == "rows"
    calls = _calls(op, Frame(images, rows, by_band=by_rows, share=share), out)
    return Step(_note([op]), images, rows, rows, tuple(calls), share, tuple(out.setup))


def _rows(op: Op, out: Assembly, share: Share | None) -> Step:
    body: Graph = op.attrs["body"]
    ops = [inner for inner in body.ops if inner.name != "nn.constant"]
    images, rows = image_rows(ops[0])
    step = op.attrs["step"] if share is None else band(op, share)
    frame = Frame(images, rows, by_band=step < rows or share is not None, share=share)
    out.inner = frozenset(inner_values(body))
    calls = [call for inner in ops for call in _calls(inner, frame, out)]
    return Step(_note(ops), images, rows, step, tuple(calls), share)


def _calls(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """The calls that compute ``op``, which becomes the program's next layer."""
    layers = out.program.layers
    made = [
        replace(call, layer=len(layers), function=available(call.function, out.isa, out.lesser))
        for call in calls_of(op, frame, out)
    ]
    layers.append(layer(op, [call.function for call in made]))
    return made


def _note(ops: list[Op]) -> str:
    locs = dict.fromkeys(part for op in ops for part in op.loc.split("; ") if part)
    kinds = ", ".join(dict.fromkeys(op.name.removeprefix("k.") for op in ops))
    return comment(f"{kinds}: {', '.join(locs)}" if locs else kinds)


def layer(op: Op, functions: list[str]) -> dict[str, Any]:
    """What the manifest says of an op: its kernel, the form of its operands, its result's shape and its multiplications; of products by
    the weights that are not 0 ``density``, the share of these."""
    found: dict[str, Any] = {
        "op": op.name,
        "node": op.loc,
        "kernel": functions[0] if functions else "",
        "form": form(op),
        "shape": list(op.results[0].shape),
        "macs": multiplications(op),
    }
    if op.name in (
        "k.bconv_acc",
        "k.bconv_bits",
        "k.pair_acc",
        "k.sliced_acc",
        "k.sliced_bits",
        "k.sliced_lanes",
        "k.skip_acc",
        "k.skip_bits",
        "k.fconv",
        "k.fconv_w1",
        "k.fconv_events",
        "k.fdepthwise",
        "k.iconv",
        "k.iconv_placed",
        "k.icoded",
        "k.icoded_rows",
        "k.iwinograd",
        "k.idepthwise",
    ):
        found["window"] = list(op.attrs["taps"])
        found["size"] = list(op.attrs["size"])
    if op.name in ("k.fsparse", "k.fsparse_dots"):
        columns = op.operands[4].shape[0] if op.name == "k.fsparse" else prod(op.operands[0].shape[1:])
        found["density"] = op.operands[3].shape[0] / (columns * op.result.shape[-1])
    return found


def _bits(op: Op) -> str:
    planes = op.attrs["planes"]
    return "1x1 bit" if planes == 1 else f"{planes} planes x 1 bit"


def form(op: Op) -> str:
    """How many bits meet how many: ``1x1 bit``, ``2 planes x 1 bit``, ``float32 x 1 bit``, ``float32``."""
    match op.name:
        case "k.bconv_acc" | "k.bconv_bits":
            return _bits(op)
        case "k.sliced_acc" | "k.sliced_bits" | "k.sliced_lanes":
            return f"{_bits(op)}, {'tables' if op.attrs['triples'] else 'trees'}"
        case "k.skip_acc" | "k.skip_bits":
            return f"{_bits(op)}, skipping"
        case "k.dots":
            sides = [op.attrs[key].planes for key in ("x_levels", "y_levels")]
            counted = [f"{count} plane{'s' * (count > 1)}" for count in sides]
            return "1x1 bit" if sides == [1, 1] else " x ".join(counted)
        case "k.pair_acc":
            return "2x2 bits by table"
        case "k.fconv_w1":
            return "float32 x 1 bit"
        case "k.fconv_events":
            return "float32, events"
        case "k.fsparse" | "k.fsparse_dots":
            return "float32, sparse"
        case "k.events":
            return "places of what is not 0"
        case "k.pack" | "k.pack_bit":
            return "numbers to bits"
        case "k.index_bit" | "k.interleave" | "k.pick_bits":
            return "bits to bits"
        case "k.unpack":
            return "bits to numbers"
        case "k.delta_weights":
            return "decoded weights"
        case "k.bpool_max":
            return "max of bits"
        case "k.fconv" | "k.fdepthwise" | "k.fpool" | "k.reduce" | "k.softmax" | "k.argmax" | "k.topk" | "k.gemm":
            return "float32"
        case "k.matmul" | "k.plain_conv":
            return {DType.F32: "float32", DType.F64: "float64"}.get(dtype_of(op.result), f"{dtype_of(op.result)}")
        case "k.iconv" | "k.iconv_placed" | "k.idepthwise" | "k.igemm":
            x, w = (dtype_of(operand).bytes * 8 for operand in op.operands[:2])
            return f"int{x} x int{w}"
        case "k.icoded" | "k.icoded_rows":
            return f"int8 x {op.attrs['bits']} bit"
        case "k.iwinograd":
            return "int16 x int16, 3x3 by Winograd"
        case "k.ipool":
            return f"max of {dtype_of(op.result)}"
        case "k.map":
            return "elementwise " + ", ".join(dict.fromkeys(str(dtype_of(value)) for value in op.results))
    return "move"
