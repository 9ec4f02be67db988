"""Calls of the kernels on planes of pixels, ``runtime/sliced.h``: their signatures and geometry."""

from __future__ import annotations

import numpy as np

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op
from bitc.ir.k import NO_HALO
from bitc.ir.sliced import plane_geometry


def _geometry(op: Op, out: Assembly) -> str:
    x, attrs = op.operands[0], op.attrs
    _, _, columns, words = x.shape
    planes = plane_geometry(*(attrs[key] for key in ("taps", "strides", "dilations", "size")))
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


def sliced_bits(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_bits``: ``bitc_sliced_bits_<isa>``."""
    x, *tables = op.operands
    y, scratch = op.results
    _, _, columns, words = y.shape
    source, planes = out.at_pixel(x, frame, op.attrs["at"]), tables[2].shape[1]
    result = (out.at_row(y, frame, op.attrs["halo"]), str(columns * words), str(words), out.base(scratch))
    arguments = (f"&{_geometry(op, out)}", source, *map(out.constant, tables), str(planes), *result)
    return [Call(f"bitc_sliced_bits_{out.isa}", arguments)]


def sliced_acc(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_acc``: ``bitc_sliced_acc_<isa>``."""
    x, *tables = op.operands
    y, scratch = op.results
    tail = (str(op.attrs["step"]), out.at_row(y, frame, NO_HALO), out.base(scratch))
    source = out.at_pixel(x, frame, op.attrs["at"])
    return [Call(f"bitc_sliced_acc_{out.isa}", (f"&{_geometry(op, out)}", source, *map(out.constant, tables), *tail))]
