"""Calls of the kernels on what is not zero, ``runtime/f32_events.h``: their signatures and geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op
from bitc.ir.k_events import VECTOR


def events(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.events``: ``bitc_events_<isa>``, all rows of all images at once."""
    (x,) = op.operands
    images, rows, columns, channels = x.shape
    geometry = out.geometry("bitc_fevents", {"in_w": columns, "in_c": channels})
    return [Call(f"bitc_events_{out.isa}", (f"&{geometry}", out.base(x), str(images * rows), out.base(op.result)))]


def fconv_events(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.fconv_events``: ``bitc_fconv_events_<isa>``."""
    x, lists, w = op.operands
    attrs, (_, _, columns, channels) = op.attrs, op.result.shape
    fields = {
        "in_w": x.shape[2],
        "in_c": x.shape[3],
        "out_w": attrs["size"][1],
        "out_c": attrs["channels"],
        "taps_h": attrs["taps"][0],
        "taps_w": attrs["taps"][1],
        "tap_row": attrs["dilations"][0],
        "step_h": attrs["strides"][0],
        "step_w": attrs["strides"][1],
        "first": attrs["at"][1],
        "vectors": w.shape[3] // VECTOR,
        "out_row": columns * channels,
        "out_pixel": channels,
    }
    geometry = out.geometry("bitc_fevents", fields)
    top = (attrs["at"][0], 0)
    sources = (out.at_pixel(x, frame, top), out.at_pixel(lists, frame, top), out.constant(w))
    made = (out.at_row(op.result, frame, attrs["halo"]), frame.first, frame.end)
    return [Call(f"bitc_fconv_events_{out.isa}", (f"&{geometry}", *sources, *made))]


EMITTERS: Mapping[str, Callable[[Op, Frame, Assembly], list[Call]]] = {
    "k.events": events,
    "k.fconv_events": fconv_events,
}
