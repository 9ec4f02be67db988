"""Tensors of an ONNX file as NumPy arrays, read with suspicion: sizes are checked before anything is allocated.

External data is read only from files inside the model's own folder (links are followed first), so a model cannot make bitc
read another file of the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from bitc.errors import Diagnostic, ModelError, UnsupportedError
from bitc.frontend.elements import ELEMENTS, Element, packed_bytes, unpacked
from bitc.ir import DType
from bitc.limits import Limits, check_limit

_DTYPES: dict[int, DType] = {
    TensorProto.FLOAT: DType.F32,
    TensorProto.DOUBLE: DType.F64,
    TensorProto.FLOAT16: DType.F16,
    TensorProto.INT8: DType.I8,
    TensorProto.UINT8: DType.U8,
    TensorProto.INT16: DType.I16,
    TensorProto.UINT16: DType.U16,
    TensorProto.INT32: DType.I32,
    TensorProto.UINT32: DType.U32,
    TensorProto.INT64: DType.I64,
    TensorProto.UINT64: DType.U64,
    TensorProto.BOOL: DType.BOOL,
}


def dtype_name(data_type: int) -> str:
    """ONNX's own name of a tensor data type, or the number for one it does not know."""
    if data_type in ELEMENTS:
        return ELEMENTS[data_type].name
    try:
        return str(TensorProto.DataType.Name(data_type))
    except ValueError:
        return f"number {data_type}"


def ir_dtype(data_type: int) -> DType | None:
    """The IR's dtype of an ONNX data type, None for those the IR does not have."""
    return _DTYPES.get(data_type)


@dataclass(frozen=True, slots=True)
class TensorReader:
    """Decodes tensors of one model. ``folder`` is where external data may lie, None if the model has no place on disk."""

    folder: Path | None
    limits: Limits = field(default_factory=Limits)

    def dense(self, tensor: TensorProto) -> np.ndarray:
        """The array of a tensor; elements NumPy does not have become the wider ones that stand for them in the IR.

        Raises ``ModelError`` (broken data) or ``UnsupportedError`` (a type of elements that nothing stands for).
        """
        where = f"tensor {tensor.name!r}"
        element = ELEMENTS.get(tensor.data_type)
        dtype = element.dtype if element else ir_dtype(tensor.data_type)
        if dtype is None:
            raise _bad_dtype(tensor.data_type, where)
        shape = self._shape(tensor.dims, where)
        size_bytes = packed_bytes(element, prod(shape)) if element else prod(shape) * dtype.bytes
        if tensor.data_location == TensorProto.EXTERNAL:
            raw = self._external(tensor, size_bytes, where)
        elif tensor.HasField("raw_data"):
            raw = bytes(tensor.raw_data)
        elif element:
            raw = _typed_codes(tensor, element)
        else:
            return _typed(tensor, dtype, shape, where)
        if len(raw) != size_bytes:
            here = f"the file holds {len(raw)}"
            raise _wrong_size(where, f"{dtype_name(tensor.data_type)}{list(shape)} is {size_bytes} bytes", here)
        if element:
            return unpacked(element, raw, prod(shape)).reshape(shape)
        little_endian = np.frombuffer(raw, dtype=dtype.numpy.newbyteorder("<"))
        return little_endian.astype(dtype.numpy).reshape(shape)

    def sparse(self, sparse: onnx.SparseTensorProto) -> np.ndarray:
        """The dense array of a sparse tensor (indices are flat [NNZ] or coordinates [NNZ, rank])."""
        where = f"sparse tensor {sparse.values.name!r}"
        values, indices, shape = self.dense(sparse.values), self.dense(sparse.indices), self._shape(sparse.dims, where)
        check_limit(self.limits, "constant_bytes", prod(shape) * values.itemsize, where)
        dense = np.zeros(shape, values.dtype)
        try:
            if indices.ndim == 2:
                dense[tuple(indices.T)] = values
            else:
                dense.reshape(-1)[indices] = values
        except (IndexError, ValueError) as error:
            raise ModelError(
                Diagnostic("M003", "a sparse tensor's indices are wrong", where, here=str(error))
            ) from None
        return dense

    def _shape(self, dims: Sequence[int], where: str) -> tuple[int, ...]:
        """The dimensions, none negative and the whole within the limits. Raises ``ModelError``."""
        check_limit(self.limits, "rank", len(dims), where)
        if any(n < 0 for n in dims):
            raise ModelError(Diagnostic("M003", "a tensor has an impossible shape", where, here=str(list(dims))))
        # of an empty tensor the other dimensions count: NumPy multiplies them too
        check_limit(self.limits, "tensor_elements", prod(n or 1 for n in dims), where)
        return tuple(dims)

    def _external(self, tensor: TensorProto, size_bytes: int, where: str) -> bytes:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if self.folder is None:
            hint = "give the path of the model file instead of its bytes"
            raise ModelError(
                Diagnostic("M002", "external data of a model without a folder", where, here=location, hint=hint)
            )
        folder = self.folder.resolve()
        try:
            path = (folder / location).resolve()
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", size_bytes))
        except (ValueError, OSError):
            raise ModelError(Diagnostic("M002", "an external data entry is broken", where, here=str(entries))) from None
        if not location or not path.is_relative_to(folder):
            rule = "external data must lie inside the model's folder"
            raise ModelError(Diagnostic("M002", "external data outside the model's folder", where, rule, location))
        if offset < 0 or length != size_bytes:
            raise _wrong_size(where, f"the tensor needs {size_bytes} bytes", f"offset {offset}, length {length}")
        try:
            with path.open("rb") as file:
                file.seek(offset)
                content: bytes = file.read(length)
                return content
        except (OSError, ValueError) as error:
            here = f"{location}: {error.strerror if isinstance(error, OSError) else error}"
            raise ModelError(Diagnostic("M002", "an external data file cannot be read", where, here=here)) from None


def _typed(tensor: TensorProto, dtype: DType, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Values stored in one of the typed fields (``float_data`` and so on); float16 lies there as bit patterns."""
    match dtype:
        case DType.F32:
            field = np.asarray(tensor.float_data, np.float32)
        case DType.F64:
            field = np.asarray(tensor.double_data, np.float64)
        case DType.F16:
            field = np.asarray(tensor.int32_data, np.int64).astype(np.uint16).view(np.float16)
        case DType.I64:
            field = np.asarray(tensor.int64_data, np.int64)
        case DType.U32 | DType.U64:
            field = np.asarray(tensor.uint64_data, np.uint64).astype(dtype.numpy)
        case _:
            field = np.asarray(tensor.int32_data, np.int64).astype(dtype.numpy)
    if field.size != prod(shape):
        raise _wrong_size(where, f"{dtype}{list(shape)} is {prod(shape)} elements", f"the file holds {field.size}")
    return field.reshape(shape)


def _typed_codes(tensor: TensorProto, element: Element) -> bytes:
    """``int32_data`` holds bytes, as packed as ``raw_data``, or 16-bit patterns."""
    return np.asarray(tensor.int32_data, np.int64).astype("<u2" if element.bits == 16 else np.uint8).tobytes()


def _wrong_size(where: str, rule: str, here: str) -> ModelError:
    return ModelError(Diagnostic("M003", "a tensor's data is missing or has the wrong size", where, rule, here))


def _bad_dtype(data_type: int, where: str) -> ModelError | UnsupportedError:
    name = dtype_name(data_type)
    if name.startswith("number") or data_type == TensorProto.UNDEFINED:
        return ModelError(Diagnostic("M003", "a tensor has an unknown element type", where, here=name))
    rule = "tensors are " + ", ".join(DType)
    return UnsupportedError(Diagnostic("U004", "a tensor's element type is not supported", where, rule, name))
