"""Calls of the kernels on weights that are mostly 0, ``runtime/f32_sparse.h``: their signatures and geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op


def fsparse(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.fsparse``: ``bitc_fsparse_<isa>``, all images at once."""
    x, *matrix = op.operands
    attrs, (images, rows, columns, channels) = op.attrs, op.result.shape
    fields = {
        "rows": channels,
        "depth": matrix[-1].shape[0],
        "image": prod(x.shape[1:]),
        "out_h": attrs["size"][0],
        "out_w": attrs["size"][1],
        "pitch": attrs["pitch"],
        "out_row": columns * channels,
        "out_pixel": channels,
    }
    inside = out.offset(out.base(op.result), (attrs["halo"][0] * columns + attrs["halo"][1]) * channels)
    held = (str(images), *map(out.constant, matrix))
    arguments = (f"&{out.geometry('bitc_fsparse', fields)}", out.base(x), *held, inside, str(rows * columns * channels))
    return [Call(f"bitc_fsparse_{out.isa}", arguments)]


def fsparse_dots(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.fsparse_dots``: ``bitc_fsparse_dots``, all images at once."""
    x, *matrix = op.operands
    images, rows = op.result.shape
    depth = prod(x.shape[1:])
    fields = {
        "rows": rows,
        "depth": depth,
        "image": depth,
        "out_h": 1,
        "out_w": 1,
        "pitch": 1,
        "out_row": 0,
        "out_pixel": 0,
    }
    geometry = out.geometry("bitc_fsparse", fields)
    arguments = (f"&{geometry}", out.base(x), str(images), *map(out.constant, matrix), out.base(op.result))
    return [Call("bitc_fsparse_dots", arguments)]


EMITTERS: Mapping[str, Callable[[Op, Frame, Assembly], list[Call]]] = {
    "k.fsparse": fsparse,
    "k.fsparse_dots": fsparse_dots,
}
