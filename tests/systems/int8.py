"""A file in 8 bits by onnxruntime's own quantizers, as a user who wants integers of it would make it: the int8 peer of the times.

Both forms quantize what multiplies and leave the rest in float32: ``dynamic`` takes a scale from each tensor as it comes, ``static``
(QDQ) keeps those of the golden inputs. Weights are signed, by output channel in the static form, and of 7 bits: its sums of products of
8 bits saturate on a CPU without VNNI.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from tests.systems.goldens import Arrays, Case

PRODUCTS = ("Conv", "Gemm", "MatMul")
"""What is quantized. Steps between products stay floats: rounding them costs time and gains none."""


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, runs: Sequence[Case]) -> None:
        self._left: Iterator[Arrays] = (run.inputs for run in runs)

    def get_next(self) -> Arrays | None:
        return next(self._left, None)


def in_int8(model: Path, runs: Sequence[Case], folder: Path) -> dict[str, Path]:
    """Files in ``folder`` by form, those that a quantizer makes of ``model`` and that have a product more in integers than ``model``.

    Constants are folded before, so that computed weights are quantized too. ``runs``: the golden ones, which give static scales.
    """
    with _quiet():
        source = _made(folder / "folded.onnx", lambda out: _folded(model, out))
        if source is None:
            return {}
        made = {
            "dynamic": _made(folder / "dynamic.onnx", lambda out: _dynamic(source, out)),
            "static": _made(folder / "static.onnx", lambda out: _static(source, out, runs)),
        }
    before = _quantizers(source)
    return {form: path for form, path in made.items() if path is not None and _quantizers(path) > before}


def _folded(model: Path, out: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _made(out: Path, make: Callable[[Path], None]) -> Path | None:
    """``out``, or None where onnxruntime cannot take the file, whatever it raises."""
    try:
        make(out)
    except Exception:  # classes of its own, of onnx, and TypeErrors
        return None
    return out


def _dynamic(source: Path, out: Path) -> None:
    quantize_dynamic(source, out, op_types_to_quantize=list(PRODUCTS), weight_type=QuantType.QInt8, reduce_range=True)


def _static(source: Path, out: Path, runs: Sequence[Case]) -> None:
    quantize_static(
        source,
        out,
        _Inputs(runs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(PRODUCTS),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def _quantizers(path: Path) -> int:
    nodes = onnx.load(path).graph.node
    return sum(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in nodes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that quantizers print for each file."""
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        onnxruntime.set_default_logger_severity(2)
