"""Which C function of ``runtime/`` computes each k op on integers, with which arguments."""

from __future__ import annotations

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.maps import dtype_of
from bitc.codegen.plan import Call
from bitc.ir import Op, Value
from bitc.ir.integer_packing import runs_of


def iconv(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.iconv``: ``bitc_iconv_<x>_<w>_<isa>``."""
    x, w = op.operands[:2]
    attrs, (_, _, columns, elements) = op.attrs, x.shape
    group = attrs["group"]
    runs = runs_of(attrs["taps"], attrs["dilations"], columns, elements, group)
    fields = {
        "out_c": attrs["channels"] // group,
        "groups": group,
        "in_c": elements // group,
        **_image(op, x),
        "runs_h": runs.rows,
        "runs_w": runs.cols,
        "run": runs.length,
        "run_row": attrs["dilations"][0] * columns * elements,
        "run_pixel": attrs["dilations"][1] * elements,
        "chain": attrs["chain"],
    }
    geometry = out.geometry("bitc_iconv", fields, frame.narrowed())
    return [_product(f"bitc_iconv_{dtype_of(x)}_{dtype_of(w)}", geometry, op, frame, out)]


def iconv_placed(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.iconv_placed``: ``bitc_iconv_placed_<isa>``."""
    x, w, places, base = op.operands
    group, elements = op.attrs["group"], x.shape[3]
    fields = {"out_c": op.attrs["channels"] // group, "groups": group, "in_c": elements // group, **_image(op, x)}
    weights = (
        out.offset(out.constant(w), *frame.to_weights(op)),
        out.offset(out.constant(places), *frame.by_block(op, places.shape[1])),
        str(w.shape[1]),
        out.offset(out.constant(base), *frame.moved(1)),
    )
    rows = (out.at_row(op.result, frame, (0, 0, 0, 0)), frame.first, frame.end)
    geometry = out.geometry("bitc_iconv", fields, frame.narrowed())
    source = out.at_pixel(x, frame, op.attrs["at"], op.attrs["strides"][1])
    return [Call(f"bitc_iconv_placed_{out.isa}", (f"&{geometry}", source, *weights, *rows))]


def icoded(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.icoded``: ``bitc_icoded<bits>_<isa>``; ``k.icoded_rows``: ``bitc_icoded<bits>_rows_<isa>``."""
    x, w, lowest, base = op.operands
    attrs, (_, _, columns, elements) = op.attrs, x.shape
    runs = runs_of(attrs["taps"], attrs["dilations"], columns, elements, 1)
    fields = {"out_c": attrs["channels"], "groups": 1, "in_c": elements, **_image(op, x), "runs_h": 1, "runs_w": 1}
    geometry = out.geometry("bitc_iconv", {**fields, "run": runs.length, "chain": attrs["chain"]}, frame.narrowed())
    codes = out.offset(out.constant(w), *frame.to_weights(op))
    weights = (codes, *(out.offset(out.constant(each), *frame.moved(1)) for each in (lowest, base)), str(attrs["step"]))
    scratch = [out.base(result) for result in op.results[1:]]
    rows = (*scratch, out.at_row(op.results[0], frame, (0, 0, 0, 0)), frame.first, frame.end)
    kind = "_rows" if scratch else ""
    source = out.at_pixel(x, frame, attrs["at"], attrs["strides"][1])
    return [Call(f"bitc_icoded{attrs['bits']}{kind}_{out.isa}", (f"&{geometry}", source, *weights, *rows))]


def iwinograd(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.iwinograd``: ``bitc_iwinograd_<isa>``."""
    x, w, base = op.operands
    y, scratch = op.results
    _, _, columns, elements = x.shape
    fields = {
        "out_w": op.attrs["size"][1],
        "out_c": op.attrs["channels"],
        "in_c": elements,
        "in_row": columns * elements,
        "rows": op.attrs["together"],
    }
    geometry = out.geometry("bitc_iwinograd", fields)
    inputs = (out.at_pixel(x, frame, op.attrs["at"]), out.constant(w), out.constant(base))
    results = (out.at_row(y, frame, (0, 0, 0, 0)), out.base(scratch), frame.first, frame.end)
    return [Call(f"bitc_iwinograd_{out.isa}", (f"&{geometry}", *inputs, *results))]


def idepthwise(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.idepthwise``: ``bitc_idepthwise_<x>_<isa>``; by rows, its pixels are whole rows and have as many channels."""
    x, attrs = op.operands[0], op.attrs
    _, _, columns, elements = x.shape
    fields = {
        "channels": elements,
        **_image(op, x),
        **({"channels": elements * attrs["size"][1], "out_w": 1} if attrs["by_row"] else {}),
        "taps_h": attrs["taps"][0],
        "taps_w": attrs["taps"][1],
        "tap_row": attrs["dilations"][0] * columns * elements,
        "tap_pixel": attrs["dilations"][1] * elements,
    }
    return [_product(f"bitc_idepthwise_{dtype_of(x)}", out.geometry("bitc_idepthwise", fields), op, frame, out)]


def _image(op: Op, x: Value) -> dict[str, int]:
    _, _, columns, elements = x.shape
    steps = op.attrs["strides"]
    return {
        "out_w": op.attrs["size"][1],
        "in_row": columns * elements,
        "in_pixel": elements,
        "step_h": steps[0],
        "step_w": steps[1],
    }


def _product(function: str, geometry: str, op: Op, frame: Frame, out: Assembly) -> Call:
    x, w, base = op.operands
    rows = (out.at_row(op.result, frame, (0, 0, 0, 0)), frame.first, frame.end)
    source = out.at_pixel(x, frame, op.attrs["at"], op.attrs["strides"][1])
    constants = (
        out.offset(out.constant(w), *frame.to_weights(op)),
        out.offset(out.constant(base), *frame.moved(1)),
    )
    return Call(f"{function}_{out.isa}", (f"&{geometry}", source, *constants, *rows))


def ipool(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.ipool``: ``bitc_imaxpool_<x>``."""
    (x,) = op.operands
    attrs, channels = op.attrs, x.shape[3]
    x_halo, halo = attrs["x_halo"], attrs["halo"]
    names = {"window_": "taps", "step_": "strides", "dilation_": "dilations"}
    fields = {
        "in_h": x.shape[1] - x_halo[0] - x_halo[2],
        "in_w": x.shape[2] - x_halo[1] - x_halo[3],
        "out_w": attrs["size"][1],
        "channels": channels,
        "in_row": x.shape[2] * channels,
        "in_pixel": channels,
        "out_row": op.result.shape[2] * channels,
        "out_pixel": channels,
        **{f"{name}{axis}": attrs[key][i] for name, key in names.items() for i, axis in enumerate("hw")},
        "pad_top": -attrs["at"][0],
        "pad_left": -attrs["at"][1],
    }
    geometry = out.geometry("bitc_ipool", fields)
    source, target = out.at_pixel(x, frame, x_halo[:2]), out.at_row(op.result, frame, halo)
    return [Call(f"bitc_imaxpool_{dtype_of(x)}", (f"&{geometry}", source, target, frame.first, frame.end))]
