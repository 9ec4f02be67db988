"""Which C function computes each k op, with which arguments: the one place that knows the signatures of ``runtime/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from bitc.codegen import (
    kernels_deltas,
    kernels_events,
    kernels_index,
    kernels_integer,
    kernels_matrices,
    kernels_pixels,
    kernels_sparse,
)
from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.kernels_index import element_name
from bitc.codegen.maps import dtype_of
from bitc.codegen.plan import Call
from bitc.errors import Diagnostic, UnsupportedError
from bitc.ir import DType, Op, Value
from bitc.ir.k import class_counts
from bitc.ir.numeric import dense_strides

MOST_COPY_AXES = 8


def calls_of(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """The calls that compute ``op``, for the rows of ``frame``."""
    return _EMITTERS[op.name](op, frame, out)


def _convolution(op: Op, x: Value, unit: str) -> dict[str, Any]:
    """Fields that binary and float convolutions have in common; ``unit`` ends the names of strides."""
    (_, _, columns, elements), attrs = x.shape, op.attrs
    row = columns * elements
    return {
        "out_w": attrs["size"][1],
        f"in_row{unit}": row,
        f"in_pixel{unit}": elements,
        "step_h": attrs["strides"][0],
        "step_w": attrs["strides"][1],
        "taps_h": attrs["taps"][0],
        "taps_w": attrs["taps"][1],
        f"tap_row{unit}": attrs["dilations"][0] * row,
    }


def _bconv(op: Op, frame: Frame, out: Assembly) -> tuple[str, list[str], list[str]]:
    """The geometry of a binary convolution, its input arguments, and those of a grouped one."""
    x, w = op.operands[:2]
    attrs, grouped = op.attrs, len(op.operands) > (3 if op.name == "k.bconv_acc" else 4)
    words = x.shape[3]
    fields = _convolution(op, x, "_words")
    fields["out_c"] = attrs["channels"]
    fields["tap_words"] = attrs["dilations"][1] * words
    fields["run_words"] = run = w.shape[1] // prod(attrs["taps"])
    fields["twin_words"] = run // 2 if not grouped and op.name != "k.pair_acc" and _runs_are_twins(op, run) else 0
    rows, columns = class_counts(attrs)
    fields |= {"classes": rows * columns, "col_classes": columns, **out.border_classes(attrs)}
    narrowed = frame.narrowed()
    if attrs["row_class"] and frame.splits("pixels"):
        narrowed["col_class"] = "g.col_class + first"
    geometry = out.geometry("bitc_bconv", fields, narrowed)
    extra = [out.constant(o) for o in op.operands[-2:]] if grouped else []
    weights = out.offset(out.base(w), *frame.to_weights(op))
    return geometry, [out.at_pixel(x, frame, attrs["at"], attrs["strides"][1]), weights], extra


def _runs_are_twins(op: Op, run: int) -> bool:
    """Whether the weights under each tap are the same words twice, as those of activations of two planes are."""
    array = op.operands[1].constant
    if array is None:
        return bool(op.attrs["planes"] % 2 == 0)
    if run % 2:
        return False
    halves = array.reshape(array.shape[0], -1, 2, run // 2, array.shape[2])
    return bool((halves[:, :, 0] == halves[:, :, 1]).all())


def _bconv_acc(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    geometry, inputs, groups = _bconv(op, frame, out)
    name = "bitc_bconv_grouped_acc" if groups else "bitc_bconv_acc"
    base = out.offset(out.constant(op.operands[2]), *frame.moved(1))
    tail = [base, str(op.attrs["step"]), out.at_row(op.result, frame, (0, 0, 0, 0))]
    return [Call(f"{name}_{out.isa}", (f"&{geometry}", *inputs, *groups, *tail, frame.first, frame.end))]


def _pair_acc(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    geometry, (x, w), _ = _bconv(op, frame, out)
    table, base = map(out.constant, op.operands[2:])
    tail = (str(op.attrs["step"]), out.at_row(op.result, frame, (0, 0, 0, 0)), frame.first, frame.end)
    return [Call(f"bitc_pairs_acc_{out.isa}", (f"&{geometry}", x, w, table, base, *tail))]


def _interleave(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    (x,) = op.operands
    numbers = (prod(x.shape[:3]), op.attrs["channels"], op.attrs["planes"])
    return [Call("bitc_interleave", (out.base(x), *map(str, numbers), out.base(op.result)))]


def _bconv_bits(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    geometry, inputs, groups = _bconv(op, frame, out)
    name = "bitc_bconv_grouped_bits" if groups else "bitc_bconv_bits"
    limit, flip = op.operands[2:4]
    _, _, columns, words = op.result.shape
    tail = [
        out.offset(out.constant(limit), *frame.moved(1)),
        out.constant(flip) + (" + first / 64" if frame.splits("channels") else ""),
        str(limit.shape[0]),
        out.at_row(op.result, frame, op.attrs["halo"]),
    ]
    strides = [str(columns * words), str(words)]
    return [Call(f"{name}_{out.isa}", (f"&{geometry}", *inputs, *groups, *tail, *strides, frame.first, frame.end))]


def _fconv(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, w = op.operands
    halo, group = op.attrs["halo"], op.attrs.get("group", 1)
    fields = _convolution(op, x, "")
    _, _, columns, channels = op.result.shape
    fields |= {
        "out_c": channels // group,
        "in_c": x.shape[3] // group,
        "tap_pixel": op.attrs["dilations"][1] * x.shape[3],
        "out_row": columns * channels,
        "out_pixel": channels,
    }
    name = {"k.fconv": "bitc_fconv", "k.fconv_w1": "bitc_fconv_w1", "k.fdepthwise": "bitc_fdepthwise"}[op.name]
    groups = []
    if group > 1:
        name, groups = "bitc_fconv_grouped", [str(group)]
    geometry = out.geometry("bitc_fconv", fields, frame.narrowed())
    weights = out.base(w) if op.name != "k.fconv_w1" else out.array(_sign_words(w), "signs of weights")
    weights = out.offset(weights, *frame.to_weights(op))
    source = out.at_pixel(x, frame, op.attrs["at"], op.attrs["strides"][1])
    arguments = [source, weights, out.at_row(op.result, frame, halo)]
    return [Call(f"{name}_{out.isa}", (f"&{geometry}", *groups, *arguments, frame.first, frame.end))]


def _sign_words(w: Value) -> np.ndarray:
    """Sign bytes [.., block / 8] as one number an entry, as wide as the block."""
    array = w.constant
    assert array is not None
    wide = array.astype(np.uint64) << (8 * np.arange(array.shape[-1], dtype=np.uint64))
    return np.asarray(wide.sum(axis=-1), dtype=np.uint8 if array.shape[-1] == 1 else np.uint16)


def _pack(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, t, flip = op.operands
    image, halo, x_halo = op.result.shape, op.attrs["halo"], op.attrs["x_halo"]
    dense = not any(halo) and not any(x_halo)
    width = image[2] - halo[1] - halo[3]
    at = frame if dense else frame.one_row()
    pixels = at.times(width)
    constants = [out.constant(t), out.constant(flip), str(t.shape[0])]
    arguments = (
        out.at_row(x, at, x_halo),
        pixels,
        str(t.shape[1]),
        *constants,
        out.at_row(op.result, at, halo),
        str(image[3]),
    )
    return [Call(f"bitc_pack_{dtype_of(x)}_{out.isa}", arguments, per_row=not dense)]


def _plane(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """One binary plane, of bytes (``k.pack_bit``) or of thermometer planes (``k.index_bit``)."""
    (x,) = op.operands
    attrs, halo, x_halo = op.attrs, op.attrs["halo"], op.attrs["x_halo"]
    dense = not any(halo) and not any(x_halo)
    _, _, columns, words = op.result.shape
    at = frame if dense else frame.one_row()
    source, pixels = out.at_row(x, at, x_halo), at.times(columns - halo[1] - halo[3])
    made = (str(attrs["bit"]), out.at_row(op.result, at, halo), str(words))
    if op.name == "k.pack_bit":
        return [Call(f"bitc_pack_bit_{out.isa}", (source, pixels, str(x.shape[3]), *made), per_row=not dense)]
    held = (str(attrs["channels"]), str(attrs["planes"]))
    return [Call("bitc_index_bit", (source, str(x.shape[3]), pixels, *held, *made), per_row=not dense)]


def _pick_bits(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, steps, masks, flips = op.operands
    halo, x_halo = op.attrs["halo"], op.attrs["x_halo"]
    dense = not any(halo) and not any(x_halo)
    _, _, columns, words = op.result.shape
    at = frame if dense else frame.one_row()
    source = (out.at_row(x, at, x_halo), str(x.shape[3]), at.times(columns - halo[1] - halo[3]))
    tables = (out.constant(steps), out.constant(masks), str(masks.shape[0]), out.constant(flips), str(words))
    return [Call("bitc_pick_bits", (*source, *tables, out.at_row(op.result, at, halo), str(words)), per_row=not dense)]


def _unpack(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    (x,) = op.operands
    attrs, halo, x_halo = op.attrs, op.attrs["halo"], op.attrs["x_halo"]
    dense = not any(halo) and not any(x_halo)
    width = op.result.shape[2] - halo[1] - halo[3]
    at = frame if dense else frame.one_row()
    numbers = [str(attrs[key]) for key in ("channels", "planes", "lo", "step")]
    arguments = (out.at_row(x, at, x_halo), str(x.shape[3]), at.times(width), *numbers, out.at_row(op.result, at, halo))
    return [Call(f"bitc_unpack_f32_{out.isa}", arguments, per_row=not dense)]


def _fill_halo(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, pixel = op.operands
    top, left, bottom, right = op.attrs["halo"]
    _, rows, columns, elements = x.shape
    h, w = rows - top - bottom, columns - left - right
    if dtype_of(x) is DType.U64:
        numbers = (h, w, elements, columns * elements, top, bottom, left, right)
        return [Call("bitc_fill_halo", (out.at_pixel(x, frame, (0, 0)), *map(str, numbers), out.constant(pixel)))]
    row = columns * elements
    strips = ((0, 0, top, columns), (top, 0, h, left), (top, left + w, h, right), (top + h, 0, bottom, columns))
    return [
        _copy(out, out.constant(pixel), out.at_pixel(x, frame, at), shape, (0, 0, 1), (row, elements, 1), dtype_of(x))
        for *at, n, m in strips
        if all(shape := (n, m, elements))
    ]


def _copy_image(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    (x,) = op.operands
    x_halo, halo = op.attrs["x_halo"], op.attrs["halo"]
    _, rows, columns, elements = x.shape
    h, run = rows - x_halo[0] - x_halo[2], (columns - x_halo[1] - x_halo[3]) * elements
    source, target = out.at_row(x, frame, x_halo), out.at_row(op.result, frame, halo)
    strides = (columns * elements, 1), (op.result.shape[2] * elements, 1)
    return [_copy(out, source, target, (h, run), *strides, dtype_of(x))]


def _copy(
    out: Assembly,
    source: str,
    target: str,
    shape: tuple[int, ...],
    held: tuple[int, ...],
    to: tuple[int, ...],
    dtype: DType,
) -> Call:
    shape, held, to = _merged_axes(shape, held, to)
    if len(shape) > MOST_COPY_AXES:
        raise UnsupportedError(
            Diagnostic(
                "U141",
                f"a copy over {len(shape)} axes",
                rule=f"copies go over at most {MOST_COPY_AXES} axes",
                here=str(shape),
            )
        )
    lists = ["{" + ", ".join(map(str, numbers or (1,))) + "}" for numbers in (shape, held, to)]  # C has no empty lists
    geometry = out.geometry("bitc_copy", dict(zip(("rank", "shape", "from", "to"), (len(shape), *lists), strict=True)))
    return Call(f"bitc_copy_{dtype.bytes}", (f"&{geometry}", source, target))


def _merged_axes(
    shape: tuple[int, ...], held: tuple[int, ...], to: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The same copy over fewer axes where there are many: those of size 1 go, neighbours that one loop can walk become one.

    >>> _merged_axes((1, 2, 3, 1, 2, 2, 1, 2, 2), (0, 96, 32, 0, 8, 4, 0, 2, 1), (0, 48, 16, 0, 8, 4, 0, 2, 1))
    ((6, 16), (32, 1), (16, 1))
    """
    if len(shape) <= MOST_COPY_AXES:
        return shape, held, to
    merged: list[tuple[int, int, int]] = []
    for n, a, b in zip(shape, held, to, strict=True):
        if merged and merged[-1][1:] == (a * n, b * n):
            merged[-1] = (merged[-1][0] * n, a, b)
        elif n != 1:
            merged.append((n, a, b))
    columns = tuple(zip(*merged, strict=True)) or ((), (), ())
    return columns[0], columns[1], columns[2]


def _strided(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    (x,), shape = op.operands, op.attrs["shape"]
    if not all(shape):
        return []
    source = out.offset(out.base(x), op.attrs["start"])
    return [_copy(out, source, out.base(op.result), shape, op.attrs["strides"], dense_strides(shape), dtype_of(x))]


def _place(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    shape, dtype = op.attrs["shape"], dtype_of(op.result)
    to, target = dense_strides(shape), out.base(op.result)
    calls = []
    if sum(prod(part.shape) for part in op.operands) < prod(shape):
        value = out.array(np.asarray([op.attrs["value"]], dtype.numpy), "fill value")
        calls.append(_copy(out, value, target, (prod(shape),), (0,), (1,), dtype))
    for part, corner in zip(op.operands, op.attrs["at"], strict=True):
        if not all(part.shape):
            continue
        start = sum(c * s for c, s in zip(corner, to, strict=True))
        held = dense_strides(part.shape)
        calls.append(_copy(out, out.base(part), out.offset(target, start), part.shape, held, to, dtype))
    return calls


def _gather(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, indices = op.operands
    outer, length, inner = x.shape
    numbers = (outer, length, indices.shape[0], inner * dtype_of(x).bytes)
    return [Call("bitc_gather", (out.base(x), out.constant(indices), out.base(op.result), *map(str, numbers)))]


def _bpool(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, minimum = op.operands
    attrs, words = op.attrs, minimum.shape[0]
    x_halo, halo = attrs["x_halo"], attrs["halo"]
    fields = {
        "in_h": x.shape[1] - x_halo[0] - x_halo[2],
        "in_w": x.shape[2] - x_halo[1] - x_halo[3],
        "out_w": attrs["size"][1],
        "words": words,
        "planes": x.shape[3] // words,
        "in_row_words": x.shape[2] * x.shape[3],
        "in_pixel_words": x.shape[3],
        "out_row_words": op.result.shape[2] * x.shape[3],
        "out_pixel_words": x.shape[3],
        **_pool_window(attrs, "kernel_", "stride_"),
    }
    source = out.at_pixel(x, frame, x_halo[:2])
    arguments = (source, out.constant(minimum), out.at_row(op.result, frame, halo), frame.first, frame.end)
    return [Call("bitc_bpool_max", (f"&{out.geometry('bitc_bpool', fields)}", *arguments))]


def _pool_window(attrs: Mapping[str, Any], window: str, step: str) -> dict[str, int]:
    names = {window: "taps", step: "strides", "dilation_": "dilations"}
    fields = {f"{name}{axis}": attrs[key][i] for name, key in names.items() for i, axis in enumerate("hw")}
    return {**fields, "pad_top": -attrs["at"][0], "pad_left": -attrs["at"][1]}


def _fpool(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    (x,) = op.operands
    attrs, channels = op.attrs, x.shape[3]
    x_halo, halo = attrs["x_halo"], attrs["halo"]
    fields = {
        "in_h": x.shape[1] - x_halo[0] - x_halo[2],
        "in_w": x.shape[2] - x_halo[1] - x_halo[3],
        "out_w": attrs["size"][1],
        "channels": channels,
        "in_row": x.shape[2] * channels,
        "in_pixel": channels,
        "out_row": op.result.shape[2] * channels,
        "out_pixel": channels,
        **_pool_window(attrs, "window_", "step_"),
        "pad_bottom": attrs["pads"][2],
        "pad_right": attrs["pads"][3],
        "count_pads": int(attrs["count_pad"]),
        "by_columns": int(attrs["strides"][1] <= 2),
    }
    geometry = out.geometry("bitc_fpool", fields)
    function = "bitc_fmaxpool" if attrs["kind"] == "max" else "bitc_favgpool"
    source = out.at_pixel(x, frame, x_halo[:2])
    return [Call(function, (f"&{geometry}", source, out.at_row(op.result, frame, halo), frame.first, frame.end))]


def _extent(op: Op) -> tuple[str, ...]:
    return tuple(str(op.attrs[key]) for key in ("outer", "length", "inner"))


def _along(op: Op, frame: Frame, out: Assembly, made: int) -> tuple[str, ...]:
    """Operand, result and extents of what goes along an axis and gives ``made`` elements for each of the outer ones."""
    outer, length, inner = _extent(op)
    source = out.offset(out.base(op.operands[0]), *frame.moved(op.attrs["length"] * op.attrs["inner"], "stack"))
    result = out.offset(out.base(op.result), *frame.moved(made, "stack"))
    return source, result, "last - first" if frame.splits("stack") else outer, length, inner


def _reduce(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    kind, dtype = op.attrs["kind"], element_name(op.result)
    function = f"bitc_freduce_{kind}" if dtype == "f32" and kind != "prod" else f"bitc_reduce_{kind}_{dtype}"
    return [Call(function, _along(op, frame, out, op.attrs["inner"]))]


def _softmax(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    function = "bitc_flog_softmax" if op.attrs["log"] else "bitc_fsoftmax"
    return [Call(function, _along(op, frame, out, op.attrs["length"] * op.attrs["inner"]))]


def _argmax(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    x, dtype = op.operands[0], element_name(op.operands[0])
    least, last = (str(int(op.attrs[key])) for key in ("least", "last"))
    if dtype == "f32":
        function, tail = "bitc_fargmin" if op.attrs["least"] else "bitc_fargmax", (last,)
    else:
        function, tail = f"bitc_arg_{dtype}", (least, last)  # type: ignore[assignment]
    return [Call(function, (out.base(x), out.base(op.result), *_extent(op), *tail))]


def _topk(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    values, indices = map(out.base, op.results)
    tail = (str(op.attrs["k"]), str(int(op.attrs["largest"])))
    dtype = element_name(op.operands[0])
    function = "bitc_ftopk" if dtype == "f32" else f"bitc_topk_{dtype}"
    return [Call(function, (out.base(op.operands[0]), values, indices, *_extent(op), *tail))]


def _map(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    return [out.map_call(op, frame)]


_EMITTERS: Mapping[str, Callable[[Op, Frame, Assembly], list[Call]]] = {
    "k.bconv_acc": _bconv_acc,
    "k.bconv_bits": _bconv_bits,
    "k.delta_weights": kernels_deltas.delta_weights,
    "k.pair_acc": _pair_acc,
    "k.interleave": _interleave,
    "k.fconv": _fconv,
    "k.fconv_w1": _fconv,
    "k.fdepthwise": _fconv,
    "k.pack": _pack,
    "k.pack_bit": _plane,
    "k.index_bit": _plane,
    "k.pick_bits": _pick_bits,
    "k.unpack": _unpack,
    "k.fill_halo": _fill_halo,
    "k.copy_image": _copy_image,
    "k.strided": _strided,
    "k.place": _place,
    "k.gather": _gather,
    "k.bpool_max": _bpool,
    "k.fpool": _fpool,
    "k.reduce": _reduce,
    "k.softmax": _softmax,
    "k.argmax": _argmax,
    "k.topk": _topk,
    "k.iconv": kernels_integer.iconv,
    "k.iconv_placed": kernels_integer.iconv_placed,
    "k.icoded": kernels_integer.icoded,
    "k.icoded_rows": kernels_integer.icoded,
    "k.iwinograd": kernels_integer.iwinograd,
    "k.idepthwise": kernels_integer.idepthwise,
    "k.ipool": kernels_integer.ipool,
    "k.map": _map,
    **kernels_matrices.EMITTERS,
    **kernels_index.EMITTERS,
    **kernels_events.EMITTERS,
    **kernels_pixels.EMITTERS,
    **kernels_sparse.EMITTERS,
}

BY_IMAGE = frozenset(
    {
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
        "k.pack",
        "k.pack_bit",
        "k.index_bit",
        "k.pick_bits",
        "k.unpack",
        "k.fill_halo",
        "k.copy_image",
        "k.bpool_max",
        "k.fpool",
        "k.iconv",
        "k.iconv_placed",
        "k.icoded",
        "k.icoded_rows",
        "k.iwinograd",
        "k.idepthwise",
        "k.ipool",
        "k.map",
        "k.plain_conv",
    }
)
"""Kernels that work on one image at a time; the others take whole buffers."""
