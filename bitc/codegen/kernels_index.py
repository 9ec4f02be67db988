"""Which C function of ``runtime/`` reads and writes elements at computed places, with which arguments; and running sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.maps import dtype_of
from bitc.codegen.names import CTYPES
from bitc.codegen.plan import Call
from bitc.ir import DType, Op, Value
from bitc.ir.numeric import dense_strides

_HOW = {"none": "SET", "add": "ADD", "mul": "MUL", "max": "MAX", "min": "MIN"}


def element_name(value: Value) -> str:
    """How the names of kernels end that work on the value's elements; bools are bytes."""
    dtype = dtype_of(value)
    return str(DType.U8 if dtype is DType.BOOL else dtype)


def take(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.take``: ``bitc_take``."""
    x, indices = op.operands
    outer, length, inner = x.shape
    numbers = (outer, length, prod(indices.shape), inner * dtype_of(x).bytes, dtype_of(indices).bytes)
    return [Call("bitc_take", (*map(out.base, (x, indices, op.result)), *map(str, numbers)))]


def _along(op: Op, out: Assembly) -> str:
    """The geometry of indices along one axis."""
    shape, axis = op.attrs["shape"], op.attrs["axis"]
    fields = {"rank": len(shape), "axis": axis, "length": shape[axis]}
    return out.geometry(
        "bitc_along", fields | {"shape": _list(op.attrs["places"]), "step": _list(dense_strides(shape))}
    )


def _tuples(op: Op, out: Assembly, batch: int) -> str:
    """The geometry of tuples of indices."""
    lengths, run = op.attrs["lengths"], op.attrs["run"]
    tuples = prod(op.operands[1].shape) // len(lengths) // batch
    fields = {"batch": batch, "tuples": tuples, "depth": len(lengths), "run": run, "part": prod(lengths) * run}
    steps = dense_strides((*lengths, run))[:-1]
    return out.geometry("bitc_tuples", fields | {"length": _list(lengths), "step": _list(steps)})


def _list(numbers: tuple[int, ...]) -> str:
    return "{" + ", ".join(map(str, numbers or (1,))) + "}"


def take_along(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.take_along``: ``bitc_take_along``."""
    x, indices = op.operands
    numbers = (prod(indices.shape), dtype_of(x).bytes, dtype_of(indices).bytes)
    pointers = map(out.base, (x, indices, op.result))
    return [Call("bitc_take_along", (f"&{_along(op, out)}", *pointers, *map(str, numbers)))]


def take_nd(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.take_nd``: ``bitc_take_nd``."""
    x, indices = op.operands
    numbers = (dtype_of(x).bytes, dtype_of(indices).bytes)
    pointers = map(out.base, (x, indices, op.result))
    return [Call("bitc_take_nd", (f"&{_tuples(op, out, op.attrs['batch'])}", *pointers, *map(str, numbers)))]


def scatter(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.scatter_along`` and ``k.scatter_nd``: a copy of x, then ``bitc_scatter_<kind>_<dtype>``."""
    x, indices, updates = op.operands
    along = op.name == "k.scatter_along"
    size = f"sizeof({CTYPES[dtype_of(x)]}) * {prod(x.shape)}"
    geometry = _along(op, out) if along else _tuples(op, out, 1)
    counts = (str(prod(indices.shape)),) if along else ()
    tail = (*counts, str(dtype_of(indices).bytes), f"BITC_SCATTER_{_HOW[op.attrs['reduction']]}")
    pointers = map(out.base, (indices, updates, op.result))
    return [
        Call("memcpy", (out.base(op.result), out.base(x), size)),
        Call(f"bitc_{op.name[2:]}_{element_name(x)}", (f"&{geometry}", *pointers, *tail)),
    ]


def cumsum(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.cumsum``: ``bitc_cumsum_<dtype>``."""
    numbers = [op.attrs[key] for key in ("outer", "length", "inner", "exclusive", "reverse")]
    pointers = (out.base(op.operands[0]), out.base(op.result))
    return [Call(f"bitc_cumsum_{dtype_of(op.result)}", (*pointers, *(str(int(n)) for n in numbers)))]


EMITTERS: Mapping[str, Callable[[Op, Frame, Assembly], list[Call]]] = {
    "k.take": take,
    "k.take_along": take_along,
    "k.take_nd": take_nd,
    "k.scatter_along": scatter,
    "k.scatter_nd": scatter,
    "k.cumsum": cumsum,
}
