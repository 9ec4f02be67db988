"""RNN, GRU and LSTM against onnxruntime: directions, lengths, layouts, activations, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from frontend.cases import random
from frontend.oracle import assert_close, model, node, run_onnxruntime

from bitc.errors import BitcError, ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate
from bitc.limits import Limits

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
OUTPUTS = {"RNN": "y h", "GRU": "y h", "LSTM": "y h c"}
LENGTH, BATCH, INNER, HIDDEN = 5, 3, 4, 6


def network(kind: str, optional: str = "", lengths: list[int] | None = None, **attributes: Any) -> onnx.ModelProto:
    """One node; ``optional`` names which of b(ias), h, c, p(eepholes) it has."""
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    gates = GATES[kind] * HIDDEN
    first = attributes.get("layout", 0)
    state = (BATCH, count, HIDDEN) if first else (count, BATCH, HIDDEN)
    known = {
        "b": ("bias", random(count, 2 * gates, low=-1, high=1)),
        "h": ("h0", random(*state, low=-1, high=1)),
        "c": ("c0", random(*state, low=-1, high=1, seed=1)),
        "p": ("peep", random(count, 3 * HIDDEN, low=-1, high=1)),
    }
    constants = {
        "w": random(count, gates, INNER, low=-0.8, high=0.8),
        "r": random(count, gates, HIDDEN, low=-0.8, high=0.8, seed=1),
        **{known[key][0]: known[key][1] for key in optional},
    }
    if lengths is not None:
        constants["lens"] = np.asarray(lengths, np.int32)
    order = ["x", "w", "r", "bias", "lens", "h0", "c0", "peep"][: 8 if kind == "LSTM" else 6]
    names = " ".join(name if name == "x" or name in constants else "_" for name in order)
    made = node(kind, names, OUTPUTS[kind], hidden_size=HIDDEN, **attributes)
    x = (BATCH, LENGTH, INNER) if first else (LENGTH, BATCH, INNER)
    return model([made], {"x": random(*x)}, constants, OUTPUTS[kind], opset=14)


def check(proto: onnx.ModelProto) -> None:
    """The imported graph gives what onnxruntime gives."""
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    x = {"x": random(*shape, seed=7)}
    assert_close(evaluate(import_model(proto), x), run_onnxruntime(proto, x))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("optional", ["", "bh"])
def test_directions(kind: str, direction: str, optional: str) -> None:
    check(network(kind, optional + ("cp" if kind == "LSTM" and optional else ""), direction=direction))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [[5, 2, 3], [3, 3, 3], [1, 5, 4]])
def test_sequences_that_end_early(kind: str, direction: str, lengths: list[int]) -> None:
    check(network(kind, "bh", lengths, direction=direction))


def test_a_sequence_of_no_steps_keeps_its_state() -> None:
    proto = network("GRU", "bh", [0, 5, 2])
    _, h = evaluate(import_model(proto), {"x": random(LENGTH, BATCH, INNER)})
    (h0,) = (onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if t.name == "h0")
    np.testing.assert_array_equal(h[0, 0], h0[0, 0])


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_batch_first_is_the_other_order_of_axes(kind: str, direction: str) -> None:
    """onnxruntime has no layout 1: the same numbers in the usual order."""
    optional = "bhc" if kind == "LSTM" else "bh"
    usual, turned = network(kind, optional, direction=direction), network(kind, optional, direction=direction, layout=1)
    states = ("h0", "c0")
    for ours, theirs in zip(turned.graph.initializer, usual.graph.initializer, strict=True):
        if ours.name in states:
            array = onnx.numpy_helper.to_array(theirs)
            ours.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array.transpose(1, 0, 2)), ours.name))
    x = random(LENGTH, BATCH, INNER)
    y, *last = run_onnxruntime(usual, {"x": x})
    found = evaluate(import_model(turned), {"x": np.ascontiguousarray(x.transpose(1, 0, 2))})
    assert_close(found, [y.transpose(2, 0, 1, 3), *(value.transpose(1, 0, 2) for value in last)])


@pytest.mark.parametrize("linear", [0, 1])
def test_where_the_reset_gate_stands(linear: int) -> None:
    check(network("GRU", "bh", linear_before_reset=linear))


def test_coupled_gates() -> None:
    check(network("LSTM", "bhc", input_forget=1))


@pytest.mark.parametrize("kind", GATES)
def test_sums_are_clipped(kind: str) -> None:
    check(network(kind, "bh", clip=0.3))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Relu", {}),
        ("Tanh", {}),
        ("Sigmoid", {}),
        ("Softsign", {}),
        ("Softplus", {}),
        ("LeakyRelu", {"activation_alpha": [0.2]}),
        ("ThresholdedRelu", {"activation_alpha": [0.5]}),
        ("HardSigmoid", {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("Elu", {"activation_alpha": [0.7]}),
        ("Affine", {"activation_alpha": [0.5], "activation_beta": [0.1]}),
        ("ScaledTanh", {"activation_alpha": [0.9], "activation_beta": [0.6]}),
    ],
)
def test_activations(name: str, parameters: dict[str, list[float]]) -> None:
    check(network("RNN", "b", activations=[name], **parameters))


def test_parameters_are_taken_in_turn() -> None:
    """Only those activations that have parameters take some."""
    names = ["HardSigmoid", "Tanh", "LeakyRelu", "Sigmoid", "Elu", "HardSigmoid"]
    check(
        network(
            "LSTM",
            "b",
            direction="bidirectional",
            activations=names,
            activation_alpha=[0.25, 0.1, 0.8, 0.3],
            activation_beta=[0.45, 0.55],
        )
    )


def test_computed_lengths_are_refused() -> None:
    proto = network("GRU", lengths=[5, 5, 5])
    (constant,) = (t for t in proto.graph.initializer if t.name == "lens")
    proto.graph.initializer.remove(constant)
    proto.graph.input.append(onnx.helper.make_tensor_value_info("lens", onnx.TensorProto.INT32, [BATCH]))
    with pytest.raises(UnsupportedError, match="the lengths of sequences of GRU must be a constant"):
        import_model(proto)


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (network("LSTM", lengths=[5, 6, 1]), "a length of at most 5"),
        (network("RNN", direction="sideways"), "forward, reverse or bidirectional"),
        (network("GRU", activations=["Tanh"]), "GRU has 2 activations for each direction"),
        (network("RNN", activations=["Wave"]), "the activations of RNN are those of ONNX"),
    ],
)
def test_what_breaks_the_rules_is_named(proto: onnx.ModelProto, message: str) -> None:
    with pytest.raises(BitcError, match=message):
        import_model(proto)


def test_weights_that_do_not_fit_are_named() -> None:
    proto = network("LSTM", "b")
    (bias,) = (t for t in proto.graph.initializer if t.name == "bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(random(1, 7), "bias"))
    with pytest.raises(ModelError, match="the weights of LSTM fit one another"):
        import_model(proto)


def test_long_sequences_are_held_to_the_limit() -> None:
    with pytest.raises(ModelError, match="steps of GRU"):
        import_model(network("GRU"), limits=Limits.of({"nodes": 100}))
