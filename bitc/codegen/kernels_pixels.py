"""Calls of the kernels of bits whose lanes are pixels, ``runtime/sliced.h`` and ``runtime/skip.h``: their signatures and geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op
from bitc.ir.k import NO_HALO, class_counts
from bitc.ir.packing import words_of
from bitc.ir.skipping import GROUP, nibble_planes
from bitc.ir.sliced import PlaneGeometry, all_lanes, geometry_of


def _image(op: Op, planes: PlaneGeometry, out: Assembly) -> dict[str, object]:
    """What the structs of both have in common, but for the border classes."""
    attrs, (_, _, columns, words) = op.attrs, op.operands[0].shape
    return {
        "out_h": attrs["size"][0],
        "out_w": attrs["size"][1],
        "out_c": attrs["channels"],
        "in_row_words": columns * words,
        "in_pixel_words": words,
        "step_h": attrs["strides"][0],
        "step_w": attrs["strides"][1],
        "pitch": planes.pitch,
        "phases": len(planes.phases),
        "phase": out.array(planes.phases, "images under the taps"),
        "slots": attrs["slots"],
    }


def _sliced(op: Op, out: Assembly) -> str:
    attrs, planes = op.attrs, geometry_of(op.attrs)
    rows, columns = class_counts(attrs)
    image, taps, plane_words = _image(op, planes, out), planes.taps, planes.plane_words(attrs["size"], attrs["lanes"])
    if _of_lanes(op):
        image |= {"in_row_words": 0, "in_pixel_words": 0}
        taps, plane_words = taps + np.array([0, attrs["first_lane"]], np.int32), op.operands[0].shape[3]
    fields = {
        **image,
        "in_planes": attrs["planes"],
        "in_channels": attrs["in_channels"],
        "plane_words": plane_words,
        "taps": len(taps),
        "tap": out.array(taps, "shifts of the taps"),
        "counter_planes": attrs["counter_planes"],
        "special": 4 * attrs["triples"] or len(taps) * attrs["planes"] * attrs["in_channels"],
        "triples": attrs["triples"],
        "classes": rows * columns,
        "row_classes": rows,
        "col_classes": columns,
    }
    return out.geometry("bitc_sliced", fields | out.border_classes(attrs))


def _skip(op: Op, out: Assembly) -> str:
    layout = nibble_planes(op.attrs)
    rows, columns = class_counts(op.attrs)
    fields = {
        **_image(op, layout.geometry, out),
        "furthest": layout.furthest,
        "vectors": layout.vectors,
        "vector_bytes": layout.vector_bytes,
        "plane_bytes": layout.plane_bytes,
        "groups": -(-rows * columns // GROUP),
        "col_classes": columns,
    }
    return out.geometry("bitc_skip", fields | out.border_classes(op.attrs))


def _of_lanes(op: Op) -> bool:
    """Whether ``op`` reads planes of pixels."""
    return bool(op.attrs.get("first_lane", -1) >= 0)


def _call(op: Op, ends: tuple[str, ...], frame: Frame, out: Assembly) -> list[Call]:
    """The call of the kernel named as ``op``, for all lanes of pixels or those of a part; ``ends`` is what its end takes."""
    x, *tables = op.operands
    geometry = _sliced(op, out) if op.name.startswith("k.sliced") else _skip(op, out)
    source = out.at_pixel(x, frame, (0, 0) if _of_lanes(op) else op.attrs["at"])
    arguments = (f"&{geometry}", source, *map(out.constant, tables), *ends)
    lanes = ("first", "last") if frame.splits("lanes") else ("0", str(all_lanes(op.attrs)))
    return [Call(f"bitc_{op.name.removeprefix('k.')}_{out.isa}", (*arguments, *lanes, out.base(op.results[1])))]


def bits(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_bits`` and ``k.skip_bits``: ``bitc_<op>_<isa>``."""
    y, channels = op.results[0], op.attrs["channels"]
    _, _, columns, words = y.shape
    planes = words // words_of(channels)
    return _call(
        op, (str(planes), out.at_row(y, frame, op.attrs["halo"]), str(columns * words), str(words)), frame, out
    )


def planes_of_pixels(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_lanes``: ``bitc_sliced_lanes_<isa>``."""
    y, attrs = op.results[0], op.attrs
    planes = y.shape[2] // attrs["channels"]
    sizes = str(attrs["plane_words"]), str(attrs["lead_words"])
    return _call(op, (str(planes), out.at_pixel(y, frame, (0, 0)), *sizes), frame, out)


def numbers(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.sliced_acc`` and ``k.skip_acc``: ``bitc_<op>_<isa>``."""
    return _call(op, (str(op.attrs["step"]), out.at_row(op.results[0], frame, NO_HALO)), frame, out)


EMITTERS: Mapping[str, Callable[[Op, Frame, Assembly], list[Call]]] = {
    "k.sliced_acc": numbers,
    "k.sliced_bits": bits,
    "k.sliced_lanes": planes_of_pixels,
    "k.skip_acc": numbers,
    "k.skip_bits": bits,
}
