"""Calls of the kernels that skip nibbles along trees of channels, ``runtime/skip.h``: their signatures and geometry."""

from __future__ import annotations

import numpy as np

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op
from bitc.ir.k import NO_HALO
from bitc.ir.skipping import GROUP, NibblePlanes, nibble_planes


def _geometry(op: Op, layout: NibblePlanes, out: Assembly) -> str:
    x, attrs, planes = op.operands[0], op.attrs, layout.geometry
    _, _, columns, words = x.shape
    fields: dict[str, object] = {
        "out_h": attrs["size"][0],
        "out_w": attrs["size"][1],
        "out_c": attrs["channels"],
        "in_row_words": columns * words,
        "in_pixel_words": words,
        "step_h": attrs["strides"][0],
        "step_w": attrs["strides"][1],
        "pitch": planes.pitch,
        "furthest": layout.furthest,
        "phases": len(planes.phases),
        "phase": out.array(planes.phases, "images under the taps"),
        "vectors": layout.vectors,
        "vector_bytes": layout.vector_bytes,
        "plane_bytes": layout.plane_bytes,
        "slots": attrs["slots"],
    }
    fields |= {"groups": 1, "col_classes": 1, "row_class": "NULL", "col_class": "NULL"}
    if attrs["row_class"]:
        rows, cols = 1 + max(attrs["row_class"]), 1 + max(attrs["col_class"])
        fields |= {"groups": -(-rows * cols // GROUP), "col_classes": cols}
        fields["row_class"] = out.array(np.asarray(attrs["row_class"], np.uint8), "rows' border classes")
        fields["col_class"] = out.array(np.asarray(attrs["col_class"], np.uint8), "columns' border classes")
    return out.geometry("bitc_skip", fields)


def _calls(op: Op, ends: tuple[str, ...], frame: Frame, out: Assembly) -> list[Call]:
    """The call of the kernel named as ``op``, for all lanes of pixels or those of a part; ``ends`` is what its end takes."""
    x, *tables = op.operands
    layout = nibble_planes(op.attrs)
    lanes = ("first", "last") if frame.splits("lanes") else ("0", str(layout.blocks * layout.lanes))
    arguments = (f"&{_geometry(op, layout, out)}", out.at_pixel(x, frame, op.attrs["at"]), *map(out.constant, tables))
    return [Call(f"bitc_{op.name.removeprefix('k.')}_{out.isa}", (*arguments, *ends, *lanes, out.base(op.results[1])))]


def skip_bits(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.skip_bits``: ``bitc_skip_bits_<isa>``."""
    y, codes = op.results[0], op.operands[4]
    _, _, columns, words = y.shape
    ends = str(codes.shape[1]), out.at_row(y, frame, op.attrs["halo"]), str(columns * words), str(words)
    return _calls(op, ends, frame, out)


def skip_acc(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.skip_acc``: ``bitc_skip_acc_<isa>``."""
    return _calls(op, (str(op.attrs["step"]), out.at_row(op.results[0], frame, NO_HALO)), frame, out)
