"""Write ``lif.onnx``: one time step of four leaky integrate-and-fire neurons on eight inputs, the example of docs/c-api.md.

    v' = 0.5 v + x W      spikes = v' >= 1      v_out = v' where there is no spike, else 0

The membrane ``v`` is an input, and ``v_out`` is what the next step begins with: ``bitc compile lif.onnx --state v=v_out``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def lif_model() -> onnx.ModelProto:
    """The network: inputs x [1, 8] and v [1, 4], outputs spikes and v_out [1, 4]. Its numbers are dyadic, so nothing rounds."""
    weight = np.random.default_rng(5).integers(-2, 3, (8, 4)) / 4
    constants = {"weight": weight, "decay": np.float32(0.5), "threshold": np.float32(1), "rest": np.float32(0)}
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["current"]),
        helper.make_node("Mul", ["v", "decay"], ["leaked"]),
        helper.make_node("Add", ["leaked", "current"], ["charged"]),
        helper.make_node("GreaterOrEqual", ["charged", "threshold"], ["fires"]),
        helper.make_node("Cast", ["fires"], ["spikes"], to=TensorProto.FLOAT),
        helper.make_node("Where", ["fires", "rest", "charged"], ["v_out"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "lif",
        [value("x", TensorProto.FLOAT, [1, 8]), value("v", TensorProto.FLOAT, [1, 4])],
        [value("spikes", TensorProto.FLOAT, [1, 4]), value("v_out", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "lif.onnx")
    path.write_bytes(lif_model().SerializeToString(deterministic=True))
