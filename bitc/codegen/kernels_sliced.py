"""Calls of the kernels on planes of pixels, ``runtime/sliced.h``: their signatures and geometry."""

from __future__ import annotations

import numpy as np

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op
from bitc.ir.k import NO_HALO
from bitc.ir.sliced import PlaneGeometry, plane_geometry


def _geometry(op: Op, planes: PlaneGeometry, out: Assembly) -> str:
    x, attrs = op.operands[0], op.attrs
    _, _, columns, words = x.shape
    fields: dict[str, object] = {
        "out_h": attrs["size"][0],
        "out_w": attrs["size"][1],
        "out_c": attrs["channels"],
        "in_row_words": columns * words,
        "in_pixel_words": words,
        "in_planes": attrs["planes"],
        "in_channels": attrs["in_channels"],
        "step_h": attrs["strides"][0],
        "step_w": attrs["strides"][1],
        "pitch": planes.pitch,
        "plane_words": planes.plane_words(attrs["size"], attrs["lanes"]),
        "phases": len(planes.phases),
        "taps": len(planes.taps),
        "phase": out.array(planes.phases, "images under the taps"),
        "tap": out.array(planes.taps, "shifts of the taps"),
        "counter_planes": attrs["counter_planes"],
        "slots": attrs["slots"],
        "special": 4 * attrs["triples"] or len(planes.taps) * attrs["planes"] * attrs["in_channels"],
        "triples": attrs["triples"],
    }
    fields |= {"classes": 1, "row_classes": 1, "col_classes": 1, "row_class": "NULL", "col_class": "NULL"}
    if attrs["row_class"]:
        rows, cols = 1 + max(attrs["row_class"]), 1 + max(attrs["col_class"])
        fields |= {"classes": rows * cols, "row_classes": rows, "col_classes": cols}
        fields["row_class"] = out.array(np.asarray(attrs["row_class"], np.uint8), "rows' border classes")
        fields["col_class"] = out.array(np.asarray(attrs["col_class"], np.uint8), "columns' border classes")
    return out.geometry("bitc_sliced", fields)


def _calls(op: Op, ends: tuple[str, ...], frame: Frame, out: Assembly) -> list[Call]:
    """The call of the kernel named as ``op``, for all lanes of pixels or those of a part; ``ends`` is what its end takes."""
    x, *tables = op.operands
    planes = plane_geometry(*(op.attrs[key] for key in ("taps", "strides", "dilations", "size")))
    all_lanes = planes.blocks(op.attrs["size"], op.attrs["lanes"]) * op.attrs["lanes"]
    lanes = ("first", "last") if frame.splits("lanes") else ("0", str(all_lanes))
    source = out.at_pixel(x, frame, op.attrs["at"])
    arguments = (f"&{_geometry(op, planes, out)}", source, *map(out.constant, tables), *ends, *lanes)
    return [Call(f"bitc_{op.name.removeprefix('k.')}_{out.isa}", (*arguments, out.base(op.results[1])))]


def sliced_bits(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_bits``: ``bitc_sliced_bits_<isa>``."""
    y, tests = op.results[0], op.operands[3]
    _, _, columns, words = y.shape
    ends = str(tests.shape[1]), out.at_row(y, frame, op.attrs["halo"]), str(columns * words), str(words)
    return _calls(op, ends, frame, out)


def sliced_acc(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_acc``: ``bitc_sliced_acc_<isa>``."""
    return _calls(op, (str(op.attrs["step"]), out.at_row(op.results[0], frame, NO_HALO)), frame, out)
