"""Which C function of ``runtime/`` multiplies computed matrices and convolves in any dtype, with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.maps import dtype_of
from bitc.codegen.plan import Call
from bitc.ir import DType, Op
from bitc.ir.packing import words_of


def pack_matrices(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.pack_matrices``: ``bitc_fpack_matrices_<block>``."""
    attrs = op.attrs
    numbers = (*attrs["stack"], *attrs["size"], *attrs["steps"], *attrs["strides"])
    names = ("outer", "inner", "depth", "columns", "outer_step", "inner_step", "depth_step", "column_step")
    split = int(attrs["stack"][0] == 1)
    narrowed = {names[split]: "last - first"} if frame.splits("stack") else {}
    geometry = out.geometry("bitc_fmatrices", dict(zip(names, numbers, strict=True)), narrowed)
    function = f"bitc_fpack_matrices_{attrs['block']}"
    source = out.offset(out.base(op.operands[0]), *frame.moved(attrs["steps"][split], "stack"))
    result = out.offset(out.base(op.result), *frame.moved(prod(op.result.shape) // attrs["stack"][split], "stack"))
    return [Call(function, (f"&{geometry}", source, result))]


def gemm(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.gemm``: ``bitc_fgemm_<isa>``."""
    a, w = op.operands
    attrs, depth = op.attrs, w.shape[2]
    rows = {
        "out_w": attrs["rows"], "out_c": attrs["channels"], "in_c": depth, "in_row": 0, "in_pixel": attrs["row"], "step_h": 1,
        "step_w": 1, "taps_h": 1, "taps_w": 1, "tap_row": depth, "tap_pixel": depth, "out_row": 0, "out_pixel": attrs["channels"],
    }  # fmt: skip
    names = ("outer", "inner", "a_outer", "a_inner", "w_outer", "w_inner")
    numbers = (*attrs["stack"], *attrs["a_steps"], *attrs["w_steps"])
    split = int(attrs["stack"][0] == 1)
    narrowed = {names[split]: "last - first"} if frame.splits("stack") else {}
    one = out.geometry("bitc_fconv", rows)
    structs = (one, out.geometry("bitc_fstack", dict(zip(names, numbers, strict=True)), narrowed))
    made = prod(op.result.shape) // attrs["stack"][split]
    steps = (attrs["a_steps"][split], attrs["w_steps"][split] * prod(w.shape[1:]), made)
    pointers = [
        out.offset(out.base(value), *frame.moved(step, "stack"))
        for value, step in zip((a, w, op.result), steps, strict=True)
    ]
    return [Call(f"bitc_fgemm_{out.isa}", (*(f"&{struct}" for struct in structs), *pointers))]


def pack_integers(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.pack_integers``: ``bitc_ipack_<type>_<isa>``."""
    (x,), attrs = op.operands, op.attrs
    numbers = (*attrs["stack"], *attrs["size"], *attrs["steps"], *attrs["strides"], attrs["lowest"])
    names = ("outer", "inner", "depth", "columns", "outer_step", "inner_step", "depth_step", "column_step", "lowest")
    split = int(attrs["stack"][0] == 1)
    narrowed = {names[split]: "last - first"} if frame.splits("stack") else {}
    geometry = out.geometry("bitc_imatrices", dict(zip(names, numbers, strict=True)), narrowed)
    moved = (attrs["steps"][split], *(prod(made.shape) // attrs["stack"][split] for made in op.results))
    pointers = [
        out.offset(out.base(value), *frame.moved(step, "stack"))
        for value, step in zip((x, *op.results), moved, strict=True)
    ]
    return [Call(f"bitc_ipack_{dtype_of(x)}_{out.isa}", (f"&{geometry}", *pointers))]


def igemm(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.igemm``: ``bitc_igemm_<x>_<w>_<isa>``."""
    (x, w, base), attrs = op.operands, op.attrs
    one_tap = {
        "out_w": attrs["rows"], "out_c": attrs["channels"], "groups": 1, "in_c": attrs["depth"], "in_row": 0, "in_pixel": attrs["row"],
        "step_h": 1, "step_w": 1, "runs_h": 1, "runs_w": 1, "run": attrs["depth"], "run_row": 0, "run_pixel": 0, "chain": attrs["chain"],
    }  # fmt: skip
    names = ("outer", "inner", "x_outer", "x_inner", "w_outer", "w_inner")
    numbers = (*attrs["stack"], *attrs["x_steps"], *attrs["w_steps"])
    split = int(attrs["stack"][0] == 1)
    narrowed = {names[split]: "last - first"} if frame.splits("stack") else {}
    one = out.geometry("bitc_iconv", one_tap)
    structs = (one, out.geometry("bitc_istack", dict(zip(names, numbers, strict=True)), narrowed))
    matrices = attrs["w_steps"][split]
    steps = (attrs["x_steps"][split], *(matrices * prod(held.shape[1:]) for held in (w, base)))
    pointers = [
        out.offset(out.base(value), *frame.moved(step, "stack"))
        for value, step in zip(
            (x, w, base, op.result), (*steps, prod(op.result.shape) // attrs["stack"][split]), strict=True
        )
    ]
    return [Call(f"bitc_igemm_{dtype_of(x)}_{dtype_of(w)}_{out.isa}", (*(f"&{s}" for s in structs), *pointers))]


def matmul(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.matmul``: ``bitc_fmatmul``, or of other dtypes ``bitc_matmul_<dtype>``."""
    attrs = op.attrs
    fields = dict(zip(("outer", "inner", "m", "k", "n"), (*attrs["stack"], *attrs["size"]), strict=True))
    for side in "ab":
        numbers = (*attrs[f"{side}_steps"], *attrs[f"{side}_strides"])
        fields |= {f"{side}_{name}": v for name, v in zip(("outer", "inner", "row", "column"), numbers, strict=True)}
    pointers = (*map(out.base, op.operands), out.base(op.result))
    dtype = dtype_of(op.result)
    function = "bitc_fmatmul" if dtype is DType.F32 else f"bitc_matmul_{dtype}"
    return [Call(function, (f"&{out.geometry('bitc_matmul', fields)}", *pointers))]


def dots(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.dots``: ``bitc_bdots_<isa>``."""
    attrs = op.attrs
    stack, m, n = op.result.shape
    sides = [
        f"{{{levels.planes}, {levels.step}, {levels.middle_twice}}}"
        for levels in (attrs["x_levels"], attrs["y_levels"])
    ]
    fields = {
        "stack": stack, "m": m, "n": n, "words": words_of(attrs["terms"]), "terms": attrs["terms"], "x": sides[0], "y": sides[1],
    }  # fmt: skip
    geometry = out.geometry("bitc_bdots", fields, {"stack": "last - first"} if frame.splits("stack") else {})
    values = (*op.operands, op.result)
    pointers = [out.offset(out.base(v), *frame.moved(prod(v.shape) // stack, "stack")) for v in values]
    return [Call(f"bitc_bdots_{out.isa}", (f"&{geometry}", *pointers))]


def plain_conv(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.plain_conv``: ``bitc_plain_conv_<dtype>``."""
    x, w = op.operands
    (_, _, columns, elements), attrs = x.shape, op.attrs
    _, _, out_columns, channels = op.result.shape
    fields = {
        "groups": attrs["group"],
        "out_w": attrs["size"][1],
        "out_c": channels // attrs["group"],
        "in_c": elements // attrs["group"],
        "in_row": columns * elements,
        "in_pixel": elements,
        "step_h": attrs["strides"][0],
        "step_w": attrs["strides"][1],
        "taps_h": attrs["taps"][0],
        "taps_w": attrs["taps"][1],
        "tap_row": attrs["dilations"][0] * columns * elements,
        "tap_pixel": attrs["dilations"][1] * elements,
        "out_row": out_columns * channels,
        "out_pixel": channels,
    }
    geometry = out.geometry("bitc_plain_conv", fields)
    pointers = (out.at_pixel(x, frame, attrs["at"]), out.base(w), out.at_row(op.result, frame, attrs["halo"]))
    return [Call(f"bitc_plain_conv_{dtype_of(x)}", (f"&{geometry}", *pointers, frame.first, frame.end))]


EMITTERS: Mapping[str, Callable[[Op, Frame, Assembly], list[Call]]] = {
    "k.pack_matrices": pack_matrices,
    "k.gemm": gemm,
    "k.pack_integers": pack_integers,
    "k.igemm": igemm,
    "k.dots": dots,
    "k.matmul": matmul,
    "k.plain_conv": plain_conv,
}
