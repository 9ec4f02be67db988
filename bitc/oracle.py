"""The oracle: what an ONNX file means, computed by someone else.

onnxruntime with graph optimisation off (its fusions move results), or qonnx's executor where the file holds QONNX nodes.
Also: random inputs for a model, seeded, so that checks and goldens can be repeated.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from bitc.errors import Diagnostic, ModelError, OptionError
from bitc.oracle_models import for_onnxruntime, for_qonnx, is_qonnx

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A graph input: ``shape`` holds sizes, symbols (strings), or None where the file says nothing.

    ``values`` are the ones a QONNX datatype annotation allows, if the file has one.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]
    values: Sequence[float] | None = None

    def sized(self, batch: int, dims: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with ``dims`` bound and every other free dimension ``batch``."""
        return tuple(d if isinstance(d, int) else dims.get(d or "", batch) for d in self.shape)


class Oracle(Protocol):
    """Something that evaluates a model: ``name`` says what and which version."""

    name: str
    output_names: tuple[str, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        """The graph outputs by name."""
        ...

    def tensors(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        """Every tensor the graph computes, by name; the graph outputs among them."""
        ...


_NOT_IN_NUMPY = frozenset({"tensor(bfloat16)"})
"""Types of tensors that onnxruntime computes but does not give."""


class _OnnxRuntime:
    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        import onnxruntime

        self.name = f"onnxruntime {onnxruntime.__version__}, graph optimisation off"
        self.output_names = tuple(output.name for output in model.graph.output)
        self._path = path
        restated = for_onnxruntime(model)
        self._model = model if restated is None else restated
        self._session = self._open(str(path) if restated is None else restated.SerializeToString())
        self._observed: Any = None

    def _open(self, source: str | bytes) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each status code
            raise _broken(self._path, f"onnxruntime says: {_first_line(error)}") from error

    def run(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        return dict(zip(self.output_names, self._session.run(list(self.output_names), dict(feeds)), strict=True))

    def tensors(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        if self._observed is None:
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            known = set(self.output_names)
            inner = dict.fromkeys(
                name for node in model.graph.node for name in node.output if name and name not in known
            )
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
            self._observed = self._open(model.SerializeToString())
        names = [output.name for output in self._observed.get_outputs() if output.type not in _NOT_IN_NUMPY]
        return dict(zip(names, self._observed.run(names, dict(feeds)), strict=True))


class _Qonnx:
    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        try:
            import qonnx  # noqa: F401
        except ImportError as error:
            hint = "pip install qonnx"
            raise OptionError(
                Diagnostic("O060", f"{path} has QONNX nodes, and qonnx is not installed", hint=hint)
            ) from error
        self.name = f"qonnx {version('qonnx')}"
        self.output_names = tuple(output.name for output in model.graph.output)
        restated = for_onnxruntime(model)  # it runs the standard nodes for qonnx
        self._model = for_qonnx(model if restated is None else restated)
        self._concrete: dict[tuple[tuple[int, ...], ...], Any] = {}

    def run(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        everything = self.tensors(feeds)
        return {name: everything[name] for name in self.output_names}

    def tensors(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        from qonnx.core.onnx_exec import execute_onnx

        shapes = tuple(tuple(array.shape) for array in feeds.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every shape annotation that is missing
            if shapes not in self._concrete:
                self._concrete[shapes] = self._with_shapes(feeds)
            return dict(execute_onnx(self._concrete[shapes], dict(feeds), return_full_exec_context=True))

    def _with_shapes(self, feeds: Mapping[str, np.ndarray]) -> Any:
        """qonnx executes node by node and wants every shape known: fix the inputs', infer the rest."""
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        if any(item.shape != feeds[item.name].shape for item in model_inputs(model)):
            for value in model.graph.input:
                if value.name in feeds:
                    for dim, size in zip(value.type.tensor_type.shape.dim, feeds[value.name].shape, strict=True):
                        dim.dim_value = size
            del model.graph.value_info[:]
            for value in model.graph.output:
                value.type.tensor_type.ClearField("shape")
        return ModelWrapper(model).transform(InferShapes())


def load_model(path: Path) -> onnx.ModelProto:
    """The parsed file. Raises :class:`ModelError` if it is missing, truncated or not ONNX."""
    try:
        model = onnx.load(str(path))
    except FileNotFoundError as error:
        raise _broken(path, "there is no such file") from error
    except Exception as error:  # protobuf's DecodeError lives in different modules in different versions
        raise _broken(path, _first_line(error)) from error
    if not model.graph.node:
        raise _broken(path, "its graph has no nodes")
    return model


def oracle_for(model: str | Path, parsed: onnx.ModelProto | None = None) -> Oracle:
    """The oracle of a model file. Raises :class:`ModelError`, or :class:`OptionError` if it needs qonnx and that is missing."""
    path = Path(model)
    parsed = parsed if parsed is not None else load_model(path)
    needs_qonnx = any(is_qonnx(node) for node in parsed.graph.node)
    return _Qonnx(path, parsed) if needs_qonnx else _OnnxRuntime(path, parsed)


def model_inputs(model: onnx.ModelProto, open_inputs: Collection[str] = ()) -> tuple[ModelInput, ...]:
    """The graph inputs that are not initializers, or ``open_inputs``, in the file's order."""
    constants = {tensor.name for tensor in model.graph.initializer}.difference(open_inputs)
    annotated = {
        annotation.tensor_name: _annotated_values(entry.value)
        for annotation in model.graph.quantization_annotation
        for entry in annotation.quant_parameter_tensor_names
        if entry.key == "finn_datatype"
    }
    inputs = []
    for value in model.graph.input:
        if value.name not in constants:
            tensor = value.type.tensor_type
            shape = tuple(_dimension(dim) for dim in tensor.shape.dim)
            dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.elem_type))
            inputs.append(ModelInput(value.name, dtype, shape, annotated.get(value.name)))
    return tuple(inputs)


def _annotated_values(datatype: str) -> Sequence[float] | None:
    """The values of a QONNX datatype of at most 16 bits.

    >>> _annotated_values("UINT8"), _annotated_values("BIPOLAR"), _annotated_values("FLOAT32")
    (range(0, 256), (-1.0, 1.0), None)
    """
    named: dict[str, Sequence[float]] = {"BIPOLAR": (-1.0, 1.0), "BINARY": (0.0, 1.0), "TERNARY": (-1.0, 0.0, 1.0)}
    match = re.fullmatch(r"(U?)INT(\d+)", datatype)
    if match is None or int(match[2]) > 16:
        return named.get(datatype)
    count = 1 << int(match[2])
    return range(count) if match[1] else range(-count // 2, count // 2)


def _dimension(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return str(dim.dim_param) if dim.dim_param else None


def random_cases(
    inputs: Sequence[ModelInput],
    n: int,
    seed: int = 0,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Sequence[float]] | None = None,
) -> list[Arrays]:
    """``n`` random samples: one feed of batch ``n`` where a dimension is free, else ``n`` feeds.

    Floats are standard normal, 8- and 16-bit integers and bools span their range, wider integers are 0..9; an input with a
    promise (in ``values``, or annotated in the file) takes only those.
    """
    generator = np.random.default_rng(seed)
    dims, values = dims or {}, values or {}
    free = any(not isinstance(d, int) and (d or "") not in dims for item in inputs for d in item.shape)
    batch, count = (n, 1) if free else (1, n)
    return [
        {
            item.name: _random(item, item.sized(batch, dims), values.get(item.name, item.values), generator)
            for item in inputs
        }
        for _ in range(count)
    ]


def _random(
    item: ModelInput, shape: tuple[int, ...], values: Sequence[float] | None, generator: np.random.Generator
) -> np.ndarray:
    if values is not None:
        return generator.choice(np.asarray(values), shape).astype(item.dtype)
    match item.dtype.kind:
        case "f":
            return generator.standard_normal(shape).astype(item.dtype)
        case "b":
            return generator.integers(0, 2, shape).astype(item.dtype)
        case _ if item.dtype.itemsize <= 2:
            limits = np.iinfo(item.dtype)
            return generator.integers(limits.min, limits.max, shape, item.dtype, endpoint=True)
        case _:
            return generator.integers(0, 10, shape, item.dtype)


def split_cases(inputs: Sequence[ModelInput], arrays: Mapping[str, np.ndarray]) -> list[Arrays]:
    """Feeds from the user's arrays: as they are, or cut along a leading axis of samples where the model's own is fixed.

    Raises :class:`OptionError` for a missing or unknown name, or a shape that does not divide into the input's.
    """
    known = {item.name: item for item in inputs}
    unfit = sorted(known.keys() ^ arrays.keys())
    if unfit:
        title = f"the inputs given do not match the model's: {', '.join(unfit)}"
        raise OptionError(
            Diagnostic("O061", title, here="given: " + ", ".join(arrays), hint="inputs: " + ", ".join(known))
        )
    parts = {name: _parts(item, np.asarray(arrays[name])) for name, item in known.items()}
    counts = {len(part) for part in parts.values()}
    if len(counts) > 1:
        here = ", ".join(f"{name}: {len(part)}" for name, part in parts.items())
        raise OptionError(Diagnostic("O061", "the inputs given disagree on the number of samples", here=here))
    return [{name: part[i] for name, part in parts.items()} for i in range(next(iter(counts), 0))]


def _parts(item: ModelInput, array: np.ndarray) -> list[np.ndarray]:
    def fits(shape: tuple[int, ...]) -> bool:
        return len(shape) == len(item.shape) and all(
            not isinstance(wanted, int) or wanted == size for wanted, size in zip(item.shape, shape, strict=True)
        )

    array = array.astype(item.dtype, copy=False, casting="same_kind") if array.dtype.kind == item.dtype.kind else array
    if array.dtype == item.dtype:
        if fits(array.shape):
            return [array]
        if fits(array.shape[1:]):
            return list(array)
        lead = item.shape[0] if item.shape else None
        if isinstance(lead, int) and fits((lead, *array.shape[1:])) and array.shape[0] % lead == 0:
            return np.split(array, array.shape[0] // lead)
    wanted = f"{item.dtype}[{','.join('?' if d is None else str(d) for d in item.shape)}]"
    here = f"given {array.dtype}[{','.join(map(str, array.shape))}]"
    hint = "a leading axis of samples is split"
    raise OptionError(
        Diagnostic("O062", f"input {item.name!r} does not fit", rule=f"expected {wanted}", here=here, hint=hint)
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _broken(path: Path, here: str) -> ModelError:
    return ModelError(Diagnostic("M001", f"cannot read {path}", here=here))


def stacked(cases: Iterable[Mapping[str, np.ndarray]]) -> Arrays:
    """Cases by name with a new leading axis, one entry a case. Undone by :func:`unstacked`."""
    rows = list(cases)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def unstacked(arrays: Mapping[str, np.ndarray]) -> list[Arrays]:
    """The cases again."""
    count = len(next(iter(arrays.values())))
    return [{name: array[i] for name, array in arrays.items()} for i in range(count)]
