"""Static shapes for graph inputs: symbolic dimensions are bound by name; a leading one may stay free as the batch.

A dimension without a name is called ``batch`` where it leads and ``input.axis`` elsewhere, so that it can be bound too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from bitc.errors import Diagnostic, ModelError, OptionError, UnsupportedError, first_error
from bitc.frontend.elements import ELEMENTS, NO_SUCH_ELEMENT
from bitc.frontend.tensors import dtype_name, ir_dtype
from bitc.ir import DType, TensorType

UNNAMED_BATCH = "batch"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One graph input; each dimension is a number or, where it leads and is free, the batch's name."""

    name: str
    dtype: DType
    dims: tuple[int | str, ...]

    def type_at(self, batch_size: int) -> TensorType:
        """The static type with the free dimension set to ``batch_size``."""
        return TensorType(tuple(batch_size if isinstance(dim, str) else dim for dim in self.dims), self.dtype)


def bind_inputs(inputs: Sequence[onnx.ValueInfoProto], dims: Mapping[str, int]) -> tuple[tuple[InputSpec, ...], str]:
    """Input specs with ``dims`` bound, and the name of the free batch dimension (empty if there is none).

    Raises ``ModelError`` or ``UnsupportedError`` for inputs that are no tensors of known rank and dtype, ``OptionError`` for a dimension
    that is unknown, not positive, or left unbound where it may not be free.
    """
    raw = [InputSpec(value.name, _dtype(value), _dims(value)) for value in inputs]
    names = {dim for spec in raw for dim in spec.dims if isinstance(dim, str)}
    problems = []
    for name, size in dims.items():
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            problems.append(
                Diagnostic("O002", f"the model has no dimension {name!r}", here=f"symbolic dimensions: {known}")
            )
        elif size < 1:
            problems.append(Diagnostic("O003", f"dimension {name!r} must be positive", here=str(size)))
    first_error(problems, OptionError)
    bound = [
        InputSpec(s.name, s.dtype, tuple(dims.get(d, d) if isinstance(d, str) else d for d in s.dims)) for s in raw
    ]
    batch = _free_batch(bound)
    return tuple(bound), batch


def _free_batch(specs: Sequence[InputSpec]) -> str:
    """The one name that may stay free: it leads wherever it stands, and no other name is left."""
    leading = list(dict.fromkeys(spec.dims[0] for spec in specs if spec.dims and isinstance(spec.dims[0], str)))
    inner = {dim: spec for spec in specs for dim in spec.dims[1:] if isinstance(dim, str)}
    candidates = [name for name in leading if name not in inner]
    batch = str(candidates[0]) if candidates else ""
    problems = []
    for spec in specs:
        for dim in spec.dims:
            if isinstance(dim, str) and dim != batch:
                problems.append(_unbound(dim, spec))
    first_error(list({problem.title: problem for problem in problems}.values()), OptionError)
    return batch


def _unbound(name: str, spec: InputSpec) -> Diagnostic:
    rule = "shapes are static; only one leading (batch) dimension may stay free"
    here = f"input {spec.name!r} has shape [{', '.join(map(str, spec.dims))}]"
    return Diagnostic("O001", f"dimension {name!r} has no size", "", rule, here, f"--dim {name}=SIZE")


def _dtype(value: onnx.ValueInfoProto) -> DType:
    where = f"input {value.name!r}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedError(Diagnostic("U004", "a graph input is not a tensor", where, here=str(kind or "no type")))
    data_type = value.type.tensor_type.elem_type
    dtype = ir_dtype(data_type)
    if dtype is None and (data_type == 0 or dtype_name(data_type).startswith("number")):
        raise ModelError(
            Diagnostic("M006", "a graph input has an unknown element type", where, here=dtype_name(data_type))
        )
    if dtype is None:
        rule = NO_SUCH_ELEMENT if data_type in ELEMENTS else "inputs are " + ", ".join(sorted(DType))
        here = dtype_name(data_type)
        raise UnsupportedError(Diagnostic("U004", "a graph input's element type is not supported", where, rule, here))
    return dtype


def _dims(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """Dimensions as written; unknown ones (no name, or the -1 and 0 of old exporters) get a name."""
    if not value.type.tensor_type.HasField("shape"):
        hint = "run shape inference, or give the input a shape when exporting"
        raise UnsupportedError(Diagnostic("U004", "a graph input has no shape", f"input {value.name!r}", hint=hint))
    dims: list[int | str] = []
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0:
            dims.append(dim.dim_value)
        else:
            dims.append(dim.dim_param or (f"{value.name}.{axis}" if axis else UNNAMED_BATCH))
    return tuple(dims)
