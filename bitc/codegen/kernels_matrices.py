"""Which C function of ``runtime/`` multiplies computed matrices and convolves in any dtype, with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.maps import dtype_of
from bitc.codegen.plan import Call
from bitc.ir import DType, Op, Value
from bitc.ir.packing import words_of

_MATRICES = ("outer", "inner", "depth", "columns", "outer_step", "inner_step", "depth_step", "column_step")
"""Fields of a stack of matrices that are packed."""


def _axis(op: Op) -> int:
    """The axis of a stack that parts share: the outer one, if there is one."""
    return int(op.attrs["stack"][0] == 1)


def _stack(struct: str, fields: Mapping[str, int], op: Op, frame: Frame, out: Assembly) -> str:
    """The geometry of a stack, or of a part of it."""
    narrowed = {("outer", "inner")[_axis(op)]: "last - first"} if frame.splits("stack") else {}
    return out.geometry(struct, fields, narrowed)


def _pointers(steps: Iterable[tuple[Value, int]], frame: Frame, out: Assembly) -> list[str]:
    """Where the part of each buffer begins: so many elements further on for each step along the axis that parts share."""
    return [out.offset(out.base(value), *frame.moved(step, "stack")) for value, step in steps]


def _made(op: Op) -> list[tuple[Value, int]]:
    """The results, of which each step along that axis makes its share."""
    return [(made, prod(made.shape) // op.attrs["stack"][_axis(op)]) for made in op.results]


def _packed(op: Op) -> dict[str, int]:
    attrs = op.attrs
    return dict(zip(_MATRICES, (*attrs["stack"], *attrs["size"], *attrs["steps"], *attrs["strides"]), strict=True))


def pack_matrices(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.pack_matrices``: ``bitc_fpack_matrices_<block>``."""
    geometry = _stack("bitc_fmatrices", _packed(op), op, frame, out)
    pointers = _pointers([(op.operands[0], op.attrs["steps"][_axis(op)]), *_made(op)], frame, out)
    return [Call(f"bitc_fpack_matrices_{op.attrs['block']}", (f"&{geometry}", *pointers))]


def gemm(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.gemm``: ``bitc_fgemm_<isa>``."""
    a, w = op.operands
    attrs, depth = op.attrs, w.shape[2]
    rows = {
        "out_w": attrs["rows"], "out_c": attrs["channels"], "in_c": depth, "in_row": 0, "in_pixel": attrs["row"], "step_h": 1,
        "step_w": 1, "taps_h": 1, "taps_w": 1, "tap_row": depth, "tap_pixel": depth, "out_row": 0, "out_pixel": attrs["channels"],
    }  # fmt: skip
    names = ("outer", "inner", "a_outer", "a_inner", "w_outer", "w_inner")
    stack = dict(zip(names, (*attrs["stack"], *attrs["a_steps"], *attrs["w_steps"]), strict=True))
    structs = out.geometry("bitc_fconv", rows), _stack("bitc_fstack", stack, op, frame, out)
    steps = attrs["a_steps"][_axis(op)], attrs["w_steps"][_axis(op)] * prod(w.shape[1:])
    pointers = _pointers([*zip((a, w), steps, strict=True), *_made(op)], frame, out)
    return [Call(f"bitc_fgemm_{out.isa}", (*(f"&{struct}" for struct in structs), *pointers))]


def pack_integers(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.pack_integers``: ``bitc_ipack_<type>_<isa>``."""
    (x,), attrs = op.operands, op.attrs
    geometry = _stack("bitc_imatrices", {**_packed(op), "lowest": attrs["lowest"]}, op, frame, out)
    pointers = _pointers([(x, attrs["steps"][_axis(op)]), *_made(op)], frame, out)
    return [Call(f"bitc_ipack_{dtype_of(x)}_{out.isa}", (f"&{geometry}", *pointers))]


def igemm(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.igemm``: ``bitc_igemm_<x>_<w>_<isa>``."""
    (x, w, base), attrs = op.operands, op.attrs
    one_tap = {
        "out_w": attrs["rows"], "out_c": attrs["channels"], "groups": 1, "in_c": attrs["depth"], "in_row": 0, "in_pixel": attrs["row"],
        "step_h": 1, "step_w": 1, "runs_h": 1, "runs_w": 1, "run": attrs["depth"], "run_row": 0, "run_pixel": 0, "chain": attrs["chain"],
    }  # fmt: skip
    names = ("outer", "inner", "x_outer", "x_inner", "w_outer", "w_inner")
    stack = dict(zip(names, (*attrs["stack"], *attrs["x_steps"], *attrs["w_steps"]), strict=True))
    structs = out.geometry("bitc_iconv", one_tap), _stack("bitc_istack", stack, op, frame, out)
    matrices = attrs["w_steps"][_axis(op)]
    steps = attrs["x_steps"][_axis(op)], *(matrices * prod(held.shape[1:]) for held in (w, base))
    pointers = _pointers([*zip((x, w, base), steps, strict=True), *_made(op)], frame, out)
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
