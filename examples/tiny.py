"""A network small enough to read whole: the one that ARCHITECTURE.md carries through every stage.

``python examples/tiny.py tiny.onnx`` writes it; then ``bitc compile tiny.onnx --target portable --dump-ir ir`` shows what that page shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

SIDE, CHANNELS, CLASSES = 8, 8, 3


def tiny_model() -> onnx.ModelProto:
    """A float convolution, a binarized one with zero padding, batch normalisation, a pool, and a dense layer of weights ±0.5.

    The first binarizer is ``Where(x >= 0, 1, -1)``, the second ``Sign``: two spellings that exports really have.
    """
    rng = np.random.default_rng(0)
    constants = {
        "stem.weight": rng.normal(0, 0.5, (CHANNELS, 1, 3, 3)),
        "zero": 0.0,
        "plus": 1.0,
        "minus": -1.0,
        "conv.weight": _signs(rng, (CHANNELS, CHANNELS, 3, 3)),
        "norm.scale": rng.uniform(-1, 2, CHANNELS),
        "norm.bias": rng.normal(0, 0.5, CHANNELS),
        "norm.mean": rng.normal(0, 4, CHANNELS),
        "norm.var": rng.uniform(10, 90, CHANNELS),
        "dense.weight": 0.5 * _signs(rng, (CHANNELS * (SIDE // 2) ** 2, CLASSES)),
        "dense.bias": np.round(4 * rng.normal(0, 1, CLASSES)) / 4,
    }
    nodes = [
        _node("Conv", ["image", "stem.weight"], "stem", pads=[1, 1, 1, 1]),
        _node("GreaterOrEqual", ["stem", "zero"], "positive"),
        _node("Where", ["positive", "plus", "minus"], "bits"),
        _node("Conv", ["bits", "conv.weight"], "conv", pads=[1, 1, 1, 1]),
        _node("BatchNormalization", ["conv", "norm.scale", "norm.bias", "norm.mean", "norm.var"], "norm"),
        _node("Sign", ["norm"], "signs"),
        _node("MaxPool", ["signs"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        _node("Flatten", ["pool"], "flat"),
        _node("Gemm", ["flat", "dense.weight", "dense.bias"], "scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 16)])


def _node(kind: str, inputs: list[str], result: str, **attributes: list[int]) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [result], result, **attributes)


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the ONNX file to write")
    path: Path = parser.parse_args().path
    path.write_bytes(tiny_model().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
