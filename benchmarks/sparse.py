"""Float layers of which most weights are 0, beside the same layers without zeros and beside onnxruntime in float32.

    python -m benchmarks.sparse [--rounds 40] [--core 1] [--target native] [--only NAME ..]

The shapes are published ones: recurrent products of EGRU's language model (750 inputs, 1350 units, batch 1), the three layers of learned
delays of DCLS' network for SHD (100 steps of time), a 3x3 layer of ResNet-18, a dense layer over 128 tokens. *dense* is the same file with
every weight drawn. One thread each; in each round every runtime has one turn, a call that is not counted, then one that is. The times are
medians and the fewest microseconds, ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

import bitc
from benchmarks.turns import Call, head, line, timed

Weights = Callable[[tuple[int, ...]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Case:
    """A network and the share of its weights that are not 0; ``delays``: they are one tap for each output and input."""

    name: str
    nodes: Callable[[Weights], tuple[list[onnx.NodeProto], dict[str, np.ndarray]]]
    inputs: dict[str, tuple[int, ...]]
    density: float
    delays: bool = False

    def model(self, dense: bool) -> onnx.ModelProto:
        """The network, or with ``dense`` the one without zeros."""
        rng = np.random.default_rng(0)

        def draw(shape: tuple[int, ...]) -> np.ndarray:
            drawn = rng.standard_normal(shape).astype(np.float32) / 10
            if dense:
                return drawn
            if not self.delays:
                return np.where(rng.random(shape) < self.density, drawn, 0).astype(np.float32)
            tap = np.zeros(shape, np.float32)
            np.put_along_axis(tap, rng.integers(0, shape[2], (*shape[:2], 1)), drawn[..., :1], 2)
            return tap

        nodes, weights = self.nodes(draw)
        floats = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            self.name,
            [helper.make_tensor_value_info(name, floats, shape) for name, shape in self.inputs.items()],
            [helper.make_tensor_value_info(nodes[-1].output[0], floats, None)],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _recurrent(draw: Weights) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["y", "r"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["z"]),
    ]
    return nodes, {"w": draw((750, 4050)), "r": draw((1350, 4050))}


def _delays(draw: Weights) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes, weights, at = [], {}, "x"
    for index, (outputs, inputs) in enumerate(((256, 140), (256, 256), (20, 256))):
        weights[f"w{index}"] = draw((outputs, inputs, 25))
        nodes.append(helper.make_node("Conv", [at, f"w{index}"], [f"c{index}"], pads=[24, 12]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [at := f"y{index}"]))
    return nodes, weights


def _convolution(draw: Weights) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    return [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], {"w": draw((64, 64, 3, 3))}


def _tokens(draw: Weights) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    return [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": draw((512, 512))}


_UNITS, _IMAGE, _TOKENS = {"x": (1, 750), "y": (1, 1350)}, {"x": (1, 64, 28, 28)}, {"x": (128, 512)}
CASES = (
    Case("egru_95", _recurrent, _UNITS, 0.05),
    Case("egru_90", _recurrent, _UNITS, 0.1),
    Case("dcls_shd", _delays, {"x": (1, 140, 100)}, 0.04, delays=True),
    Case("conv3x3_95", _convolution, _IMAGE, 0.05),
    Case("conv3x3_90", _convolution, _IMAGE, 0.1),
    Case("tokens_90", _tokens, _TOKENS, 0.1),
)


def opened(case: Case, target: str, folder: Path) -> tuple[dict[str, Call], list[int]]:
    """Calls by runtime on the same input, and bytes of weights of bitc's two libraries. Outputs are compared."""
    options, rng = onnxruntime.SessionOptions(), np.random.default_rng(1)
    options.intra_op_num_threads = 1
    feed = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in case.inputs.items()}
    sessions: dict[str, Any] = {}
    for name in ("bitc", "dense"):
        file = folder / f"{name}.onnx"
        onnx.save(case.model(name == "dense"), file)
        sessions[name] = bitc.compile(file, target=target, out=folder / name).session()
    held = [session.metadata["weight_bytes"] for session in sessions.values()]
    sessions["ort"] = onnxruntime.InferenceSession(
        str(folder / "bitc.onnx"), options, providers=["CPUExecutionProvider"]
    )
    ours, theirs = (sessions[name].run(None, feed)[0] for name in ("bitc", "ort"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    return {name: lambda session=session: session.run(None, feed) for name, session in sessions.items()}, held


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--core", type=int)
    parser.add_argument("--target", default="native")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    print(f"{'case':10} {head(('bitc', 'dense', 'ort'))}  weights KB   dense KB")
    for case in (case for case in CASES if not options.only or case.name in options.only):
        with tempfile.TemporaryDirectory() as folder:
            calls, held = opened(case, options.target, Path(folder))
            times = timed(calls, options.rounds)
        sizes = " ".join(f"{size / 1000:10.0f}" for size in held)
        print(f"{case.name:10} {line(times)}  {sizes}", flush=True)


if __name__ == "__main__":
    main()
