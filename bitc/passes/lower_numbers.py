"""Lowering of ops on numbers: products with constant weights, pools, reductions, maps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from bitc.ir import Builder, CodeType, DType, Graph, Op, TensorType, Value
from bitc.ir.k import NO_HALO
from bitc.ir.numeric import dense_strides
from bitc.ir.packing import pack_floats
from bitc.passes.lower_events import by_events
from bitc.passes.lower_moves import arrange, as_shape, memory_axes
from bitc.passes.lower_sparse import by_elements
from bitc.passes.lowering import Lowering, Refused, canonical, physical_array, physical_shape, tensor_type
from bitc.passes.padding import code_constant


def _float32(op: Op, operands: Sequence[Value] = ()) -> None:
    for operand in operands or op.operands[:1]:
        if not isinstance(operand.type, TensorType) or operand.type.dtype is not DType.F32:
            raise Refused(
                "U130", "works on something else than float32", "kernels of numbers take f32", str(operand.type)
            )


def _numbers(op: Op, bools: bool = False) -> None:
    """Refuse codes, float16, and bool unless ``bools``."""
    type = op.operands[0].type
    if not isinstance(type, TensorType) or type.dtype is DType.F16 or (type.dtype is DType.BOOL and not bools):
        raise Refused("U130", "works on something else than numbers", "kernels take f32, f64 and integers", str(type))
    if not type.size:
        raise Refused("U121", "meets an empty tensor", "tensors have at least one element", str(type))


def _weights(op: Op) -> np.ndarray:
    """Weights [M, C/group, KH, KW] of a product; a matrix [K, M] as a 1x1 kernel."""
    w = op.operands[1]
    array = code_constant(w).astype(np.float32) if isinstance(w.type, CodeType) else w.constant
    assert array is not None, "the weights are computed"
    if op.name in ("nn.conv", "q.weight_conv"):
        return array
    return array.T.reshape(array.shape[1], array.shape[0], 1, 1)


def lower_product(op: Op, low: Lowering) -> None:
    """``nn.conv``, ``nn.matmul``, ``q.weight_conv``, ``q.weight_matmul``."""
    weights = _weights(op)
    _float32(op)
    x, attrs = product_window(op, weights, 0.0, low)
    halo, group, block = low.halo(op.result), op.attrs.get("group", 1), low.forms.float_block
    blocked = {"channels": weights.shape[0], "block": block, "group": group}
    made: Value | None = None
    if group == 1 and op.name.startswith("q.") and bool(np.isin(weights, (-1, 1)).all()):
        kernel, packed = "k.fconv_w1", np.packbits(pack_floats(weights, block) < 0, axis=-1, bitorder="little")
    elif group > 1 and weights.shape[:2] == (group, 1):
        kernel, packed, blocked = "k.fdepthwise", np.ascontiguousarray(weights[:, 0].transpose(1, 2, 0)), {}
    else:
        made = by_events(op, x, weights, attrs, halo, low)
        made = made if made is not None else by_elements(op, x, weights, attrs, halo, low)
        kernel, packed = "k.fconv", np.stack([pack_floats(part, block) for part in np.split(weights, group)])
    if made is None:
        made = low.add(kernel, x, low.constant(packed), like=op, halo=halo, **attrs, **blocked)
    low.put(op.result, as_shape(made, physical_shape(tensor_type(op.result)), op, low) if not any(halo) else made, halo)


def product_window(op: Op, weights: np.ndarray, pad: float, low: Lowering) -> tuple[Value, dict[str, Any]]:
    """The input buffer of a product, padded with ``pad``, and the attributes of the kernel that reads it."""
    source = op.operands[0]
    if op.name.endswith("matmul"):
        rows = (1, 1, prod(source.shape[:-1]), source.shape[-1])
        one = (1, 1)
        x = as_shape(low.dense(source, op), rows, op, low)
        return x, {"taps": one, "strides": one, "dilations": one, "at": (0, 0), "size": rows[1:3]}
    if len(source.shape) != 4:
        raise Refused(
            "U133", f"convolves an image of rank {len(source.shape)}", "images are [N,C,H,W]", str(source.type)
        )
    pads = op.attrs["pads"]
    placed = low.padded(source, pads, pad, op)
    at = (placed.halo[0] - pads[0], placed.halo[1] - pads[1])
    geometry = {"taps": weights.shape[2:], "strides": op.attrs["strides"], "dilations": op.attrs["dilations"]}
    return placed.value, {**geometry, "at": at, "size": op.result.shape[2:]}


def lower_pool(op: Op, low: Lowering) -> None:
    """``nn.max_pool`` and ``nn.avg_pool`` of images."""
    _float32(op)
    if len(op.operands[0].shape) != 4:
        raise Refused(
            "U133",
            f"pools an image of rank {len(op.operands[0].shape)}",
            "images are [N,C,H,W]",
            str(op.operands[0].type),
        )
    if _covers_image(op):
        n, c, h, w = op.operands[0].shape
        kind = "max" if op.name == "nn.max_pool" else "mean"
        made = low.add("k.reduce", low.dense(op.operands[0], op), like=op, kind=kind, outer=n, length=h * w, inner=c)
        low.put(op.result, as_shape(made, physical_shape(tensor_type(op.result)), op, low))
        return
    placed, pads, halo = low.use(op.operands[0]), op.attrs["pads"], low.halo(op.result)
    attrs: dict[str, Any] = {"kind": "max" if op.name == "nn.max_pool" else "avg"}
    if attrs["kind"] == "avg":
        attrs |= {"count_pad": op.attrs["count_pad"], "pads": pads}
    made = low.add(
        "k.fpool",
        placed.value,
        like=op,
        taps=op.attrs["kernel"],
        strides=op.attrs["strides"],
        dilations=op.attrs["dilations"],
        at=(-pads[0], -pads[1]),
        size=op.result.shape[2:],
        x_halo=placed.halo,
        halo=halo,
        **attrs,
    )
    low.put(op.result, made, halo)


def _covers_image(op: Op) -> bool:
    """Whether the pool's one window is the whole image."""
    x, attrs = op.operands[0].shape, op.attrs
    return (
        attrs["kernel"] == x[2:]
        and op.result.shape[2:] == (1, 1)
        and not any(attrs["pads"])
        and set(attrs["dilations"]) == {1}
    )


def lower_reduce(op: Op, low: Lowering) -> None:
    """``nn.reduce_*``: over neighbouring axes in memory at once; scattered axes are first moved to the end."""
    _numbers(op, op.name in ("nn.reduce_max", "nn.reduce_min"))
    x, y = op.operands[0], op.result
    source = tensor_type(x)
    gone = {axis % len(x.shape) for axis in op.attrs["axes"]}
    made, order = low.dense(x, op), list(memory_axes(source))
    places = [i for i, a in enumerate(order) if a in gone and x.shape[a] != 1]
    between = order[places[0] : places[-1] + 1] if places else []
    if any(a not in gone and x.shape[a] != 1 for a in between):
        made, order = _axes_to_end(made, order, gone, x.shape, op, low)
        places = [i for i, a in enumerate(order) if a in gone and x.shape[a] != 1]
    first, last = (places[0], places[-1] + 1) if places else (0, 0)
    sizes = [x.shape[a] for a in order]
    outer, length, inner = prod(sizes[:first]), prod(sizes[first:last]), prod(sizes[last:])
    kind = op.name.removeprefix("nn.reduce_")
    made = low.add("k.reduce", made, like=op, kind=kind, outer=outer, length=length, inner=inner)
    kept = [a for a in range(len(x.shape)) if op.attrs["keepdims"] or a not in gone]
    low.put(y, arrange(made, [kept.index(a) for a in order if a in kept], tensor_type(y), op, low))


def _axes_to_end(
    made: Value, order: list[int], moved: set[int], shape: Sequence[int], op: Op, low: Lowering
) -> tuple[Value, list[int]]:
    """A copy of ``made``, whose memory runs over axes in ``order``, with the axes ``moved`` innermost; and the new order."""
    held = dict(zip(order, dense_strides([shape[a] for a in order]), strict=True))
    wanted = [a for a in order if a not in moved] + [a for a in order if a in moved]
    sizes = tuple(shape[a] for a in wanted)
    return low.add("k.strided", made, shape=sizes, strides=tuple(held[a] for a in wanted), like=op), wanted


def lower_along_axis(op: Op, low: Lowering) -> None:
    """``nn.softmax``, ``nn.argmax``, ``nn.topk``, ``nn.cumsum``."""
    if op.name == "nn.softmax":
        _float32(op)
    _numbers(op)
    x = op.operands[0]
    axis = op.attrs["axis"] % len(x.shape)
    order = list(memory_axes(tensor_type(x)))
    at = order.index(axis)
    sizes = [x.shape[a] for a in order]
    attrs = {key: value for key, value in op.attrs.items() if key not in ("axis", "keepdims")}
    attrs |= {"outer": prod(sizes[:at]), "length": sizes[at], "inner": prod(sizes[at + 1 :])}
    results = low.builder.add_multi(op.name.replace("nn.", "k."), low.dense(x, op), loc=op.loc, **attrs)
    if op.name == "nn.argmax" and not op.attrs["keepdims"]:
        order = [a - (a > axis) for a in order if a != axis]
    for value, result in zip(op.results, results, strict=True):
        low.put(value, arrange(result, order, tensor_type(value), op, low))


def lower_map(op: Op, low: Lowering) -> None:
    """``q.map``: the same body over the axes of memory; its constants are arranged as their operands lie."""
    body: Graph = op.attrs["body"]
    b = Builder()
    known: dict[Value, Value] = {}
    operands, x_halos = [], []
    for operand, value in zip(op.operands, body.inputs, strict=True):
        placed = _broadcast_operand(operand, op, low)
        assert isinstance(value.type, TensorType)
        size = _map_shape(operand.shape, op)
        known[value] = b.input(value.name, TensorType(size, value.type.dtype))
        operands.append(placed[0])
        x_halos.append(placed[1])
    for inner in body.ops:
        if inner.name == "nn.constant":
            array = inner.attrs["value"]
            known[inner.result] = b.constant(_map_array(array, op))
        else:
            known[inner.result] = b.add(inner.name, *(known[o] for o in inner.operands), loc=inner.loc, **inner.attrs)
    outputs = [_whole(known[v], _map_shape(r.shape, op)) for v, r in zip(body.outputs, op.results, strict=True)]
    halos = tuple(low.halo(result) for result in op.results)
    lowered = Graph("body", [known[v] for v in body.inputs], b.ops, outputs)
    results = low.builder.add_multi("k.map", *operands, loc=op.loc, body=lowered, x_halos=tuple(x_halos), halos=halos)
    for value, made, halo in zip(op.results, results, halos, strict=True):
        low.put(value, made, halo)


def _map_shape(shape: Sequence[int], op: Op) -> tuple[int, ...]:
    """A shape that broadcasts to the results of a map, as its four axes."""
    y = tensor_type(op.results[0])
    rank = len(y.shape)
    full = (1,) * (rank - len(shape)) + tuple(shape)
    if rank == 4:
        return tuple(full[a] for a in memory_axes(y))
    lead = set(full[: rank - 3]) if rank > 4 else set()
    whole = op.results[0].shape[: rank - 3]
    if lead and not (lead == {1} or full[: rank - 3] == whole):
        raise Refused(
            "U134",
            "repeats one of more than four axes",
            "elementwise operands of rank 5 and more are whole or scalar",
            str(shape),
        )
    return canonical(full)


def _map_array(array: np.ndarray, op: Op) -> np.ndarray:
    y = tensor_type(op.results[0])
    full = array.reshape((1,) * (len(y.shape) - array.ndim) + array.shape)
    return physical_array(full, y.layout) if full.ndim == 4 else full.reshape(_map_shape(array.shape, op))


def _broadcast_operand(operand: Value, op: Op, low: Lowering) -> tuple[Value, tuple[int, int, int, int]]:
    """The buffer of a map's operand and its halo; one of lower rank than the map is arranged like the map's axes."""
    y = tensor_type(op.results[0])
    if len(operand.shape) == len(y.shape):
        placed = low.use(operand, y.layout)
        return placed.value, placed.halo
    if len(y.shape) != 4:
        return as_shape(low.dense(operand, op), _map_shape(operand.shape, op), op, low), NO_HALO
    source = tensor_type(operand)
    assert isinstance(source, TensorType)
    full = TensorType((1,) * (4 - len(source.shape)) + source.shape, source.dtype, y.layout)
    return arrange(low.dense(operand, op), (0, 1, 2, 3), full, op, low), NO_HALO


def _whole(value: Value, shape: tuple[int, ...]) -> Value:
    """``value``, which must have the shape of the map."""
    if value.shape == shape:
        return value
    raise Refused("U135", "has a result smaller than the map", "all results of a map have one shape", str(value.type))
