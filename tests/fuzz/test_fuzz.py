"""The fuzzer itself: a fixed share of its networks, and that it finds, tells apart and shrinks what is planted."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from unittest import mock

import numpy as np
import pytest

from bitc.fuzz import Case, Failure, Network, Tally, examine, file_of, hunt, networks_of_file, shrink
from bitc.fuzz.grammar import random_network, random_setting
from bitc.fuzz.network import Setting, options_of
from bitc.fuzz.products import kindred
from tests.networks.building import emulated, emulated_session
from tests.runtime import harness

SEED = 0
SHARE = {"portable": range(1), "avx2": range(2, 3), "avx512": range(1)}
"""Files of 32 networks for each target; the emulated one runs fewer."""
EMULATED = 6


@pytest.mark.parametrize("target", SHARE)
def test_networks(target: str) -> None:
    """No failure, and nearly nothing refused, so that the share says something."""
    slow = emulated(target)
    reason = harness.why_not(target) if slow else None
    if reason is not None:
        pytest.skip(reason)
    extra = {"load": lambda artifact, _: emulated_session(artifact, "-O1")} if slow else {}
    tally = Tally()
    for index in SHARE[target]:
        networks = networks_of_file(SEED, index)[: EMULATED if slow else None]
        failures = list(hunt(networks, [target], tally, **extra))
        assert not failures, [f"{network.prefix} {failure}" for network, failure in failures]
    wanted = EMULATED if slow else sum(len(networks_of_file(SEED, index)) for index in SHARE[target])
    assert tally.networks >= 0.95 * wanted, (tally.refused, tally.invalid)
    assert tally.exact > tally.rounded / 4


def test_a_seed_gives_the_same_networks() -> None:
    once, again = (file_of(networks_of_file(5, 3)) for _ in range(2))
    assert once.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


@pytest.mark.parametrize("qonnx", [False, True])
def test_the_whole_grammar_is_reached(qonnx: bool) -> None:
    """Each dialect writes most of its operators within a few hundred networks."""
    kinds = set()
    for seed in range(400):
        choose = Random(seed)
        setting = random_setting(choose, qonnx_share=float(qonnx))
        kinds |= {node.op_type for node in random_network(setting, choose, "n_").nodes}
    wanted = {"Conv", "Gemm", "MatMul", "Sign", "QuantizeLinear", "BatchNormalization", "MaxPool", "Concat", "Split"}
    if qonnx:
        wanted |= {"Quant", "BipolarQuant", "Trunc", "MultiThreshold"}
    else:
        wanted |= {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
        wanted |= {"QLinearAdd", "QGemm", "QLinearConcat", "MatMulNBits", "DynamicQuantizeMatMul"}
    assert wanted <= kinds, wanted - kinds


def sum_of_signs() -> Network:
    """relu(sign(x) · w + x), where something can be planted."""
    net = Network(Setting(13, 1, False, False), Random(0), "n_", dyadic=True)
    x = net.input((6,), np.float32, -8, 8)
    product = net.node("MatMul", net.node("Sign", x), net.floats((6, 6)))
    y = net.node("Relu", net.node("Add", product, x))
    net.outputs = [y.name]
    return net


def test_a_file_says_with_what_options_it_is_compiled() -> None:
    """In its metadata, so that a shrunk copy says it too: products along trees where they would not pay."""
    net = Network(Setting(13, 1, False, False, (("mst", "on"),)), Random(0), "n_", dyadic=True)
    signs = net.node("Sign", net.node("Add", net.node("Round", net.input((40,), np.float32, -8, 8)), np.float32(0.5)))
    net.outputs = [net.node("MatMul", signs, kindred(net, (40, 6), 1).astype(np.float32)).name]
    assert options_of(file_of([net])) == {"mst": "on"}
    numbers = Network(Setting(13, 1, False, False, (("small_weights", "64"),)), Random(0), "n_", dyadic=True)
    assert options_of(file_of([numbers])) == {"small_weights": 64}
    for settings, trees in ((net.setting, True), (replace(net.setting, options=()), False)):
        net.setting = settings
        found = examine(file_of([net]), net.feeds, ["portable"])
        assert not found.failures
        assert ("k.sliced_acc" in found.kernels["portable"]) is trees


def test_a_wrong_import_is_found_and_shrunk() -> None:
    """A Sign that gives 2 for 1: the shrunk case has that node alone."""
    net = sum_of_signs()
    with mock.patch.dict("bitc.frontend.elementwise._UNARY", {"Sign": "nn.abs"}):
        found = examine(file_of([net]), net.feeds, ["portable"])
        assert {failure.kind for failure in found.failures} == {"oracle outside"}
        failure = found.failures[0]
        case = shrink(Case(file_of([net]), net.feeds), failure, lambda model, feeds: examine(model, feeds, []))
        assert any(other.key == failure.key for other in examine(case.model, case.feeds, []).failures)
    assert [node.op_type for node in case.model.graph.node] == ["Sign"]
    assert sum(array.size for array in case.feeds.values()) < 6
    assert not examine(case.model, case.feeds, ["portable"]).failures


def test_wrong_c_is_found() -> None:
    """Floor written as ceil: the oracle lies where the file allows, the library does not."""
    net = Network(Setting(13, 1, False, False), Random(0), "n_", dyadic=True)
    net.outputs = [net.node("Floor", net.node("Mul", net.input((6,), np.float32, -8, 8), np.float32(0.25))).name]
    with mock.patch.dict("bitc.codegen.expressions._FLOAT", {"nn.floor": lambda op, args: f"ceilf({args[0]})"}):
        found = examine(file_of([net]), net.feeds, ["portable"])
    assert {(failure.kind, failure.target) for failure in found.failures} >= {("outside", "portable")}


def test_a_crash_is_named_by_its_place() -> None:
    net = sum_of_signs()
    with mock.patch("bitc.fuzz.examine.evaluate_intervals", side_effect=IndexError("planted")):
        found = examine(file_of([net]), net.feeds, ["portable"])
    (failure,) = found.failures
    assert failure.kind.startswith("IndexError in ")
    assert not found.compared


def test_a_death_is_a_failure() -> None:
    net = sum_of_signs()
    with mock.patch("bitc.fuzz.examine.oracle_for", side_effect=SystemExit(3)):
        assert examine(file_of([net]), net.feeds, []).failures == [Failure("dies with status 3")]


def test_one_bad_network_does_not_spoil_its_file() -> None:
    """The file is halved until the network that the oracle declines stands alone."""
    networks = networks_of_file(SEED, 0, 4)
    networks[2].nodes[0].op_type = "NoSuchOperator"
    tally = Tally()
    assert not list(hunt(networks, [], tally))
    assert (tally.networks, tally.invalid.total()) == (3, 1)
