"""Random quantized networks against onnxruntime: the very bits where the manifest says so, else inside what rounding allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bitc.check import check
from bitc.compiler import Options, lower_stages
from bitc.errors import UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate
from bitc.ir.interval import Interval
from bitc.ir.intervals import evaluate_intervals
from tests.networks.onnx_net import build_quickly, same, truth
from tests.networks.random_models import RandomNetwork, random_network

EXAMPLES = {"portable": 25, "avx2": 25, "avx512": 4}
INTERPRETED, CHECKED = 120, 4
MOST_REFUSED = 0.05


def for_random_networks(count: int, test: Callable[[RandomNetwork], None]) -> None:
    """Run ``test`` on ``count`` networks, the same ones each time; a few may be refused, if a diagnostic says why."""
    refused = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.integers(0, 2**32 - 1))
    def run(seed: int) -> None:
        try:
            test(random_network(Random(seed)))
        except UnsupportedError as error:
            refused.append(error)

    run()
    assert all(diagnostic.title and diagnostic.rule for error in refused for diagnostic in error.diagnostics)
    assert len(refused) <= MOST_REFUSED * count, refused


def possible(model: Path, x: np.ndarray) -> list[Interval]:
    """Which values each output may have, item by item as the imported graph takes them."""
    graph = import_model(model)
    batch = graph.inputs[0].shape[0]
    rows = [evaluate_intervals(graph, [x[i : i + batch]]) for i in range(0, len(x), batch)]
    ends = ("lo", "hi")
    return [Interval(*(np.concatenate([getattr(row[v], end) for row in rows]) for end in ends)) for v in graph.outputs]


def assert_agrees(
    model: Path, network: RandomNetwork, got: Sequence[np.ndarray], exact: Sequence[bool], names: Sequence[str]
) -> None:
    """Every output inside its interval, and onnxruntime's bits where promised; the oracle must be inside too."""
    wanted = truth(model, network.feeds)
    (x,) = network.feeds.values()
    with np.errstate(all="ignore"):
        intervals = possible(model, x)
    for name, ours, theirs, interval, promised in zip(names, got, wanted, intervals, exact, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), name
        assert interval.holds(theirs).all(), f"{name}: the oracle is outside"
        assert interval.holds(ours).all(), name
        assert not promised or same(ours, theirs), name


@pytest.mark.parametrize("target", EXAMPLES)
def test_libraries(target: str, tmp_path: Path) -> None:
    def compare(network: RandomNetwork) -> None:
        model = network.net.save(tmp_path / "net.onnx")
        session = build_quickly(model, target, tmp_path, values=network.values)
        outputs = session.metadata["outputs"]
        exact = [output["contract"]["exact"] for output in outputs]
        assert_agrees(model, network, session.run(None, network.feeds), exact, [output["name"] for output in outputs])

    for_random_networks(EXAMPLES[target], compare)


def test_kernel_graphs_in_the_interpreter(tmp_path: Path) -> None:
    """Many more networks, without a C compiler; targets take turns, for they pack weights in different orders."""
    targets = list(EXAMPLES)

    def compare(network: RandomNetwork) -> None:
        model = network.net.save(tmp_path / "net.onnx")
        target = targets[len(model.read_bytes()) % len(targets)]
        graph = lower_stages(model, target=target, options=Options(values=network.values))[-1][1]
        (x,) = network.feeds.values()
        batch = graph.inputs[0].shape[0]
        with np.errstate(all="ignore"):
            rows = [evaluate(graph, [x[i : i + batch]]) for i in range(0, len(x), batch)]
        got = [np.concatenate(column) for column in zip(*rows, strict=True)]
        contracts = {name: exact for name, exact, *_ in graph.attrs["output_contracts"]}
        names = graph.attrs["output_names"]
        assert_agrees(model, network, got, [contracts[name] for name in names], names)

    for_random_networks(INTERPRETED, compare)


def test_every_stage(tmp_path: Path) -> None:
    """Each pass' graph and the library as users build it."""

    def compare(network: RandomNetwork) -> None:
        model = network.net.save(tmp_path / "net.onnx")
        report = check(model, stages=True, inputs=network.feeds, options=Options(values=network.values))
        assert report.passed, report.findings
        assert report.library == "run"

    for_random_networks(CHECKED, compare)
