"""Measured times: what a file of them holds, what is refused, and that they decide between forms without changing a bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from passes.harness import op_names, same_meaning
from passes.test_split_planes import levels_in, network

from bitc.caches import write_entries
from bitc.errors import OptionError
from bitc.ir import Graph, Levels, Op
from bitc.passes import KNOWN_PASSES
from bitc.passes.integers import StoreIntegers
from bitc.passes.measured import Measured, layer_key
from bitc.passes.pipeline import parse_pipeline, pipeline_text
from bitc.passes.split_planes import SplitPlanes, forms_of

LEVELS = Levels(0, 1, 4)


def product() -> Graph:
    """A convolution of 2-bit codes by 2-bit codes: planes, pairs, bytes and words are all possible."""
    weights = np.random.default_rng(0).choice(np.array([-2, -1, 0, 1]), (8, 4, 3, 3))
    return network(LEVELS, weights, Levels(-2, 1, 4), pads=(1, 1, 1, 1), strides=(1, 1), dilations=(1, 1))


def conv_of(graph: Graph) -> Op:
    """The product."""
    (op,) = (op for op in graph.ops if op.name == "q.conv")
    return op


def kept(path: Path, times: Mapping[str, float], isa: str = "avx2") -> Measured:
    """``times`` of the product, as a file."""
    Measured(str(path), isa, {layer_key(conv_of(product())): dict(times)}).write({"cpu": "any"})
    return Measured.parse(str(path))


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = kept(tmp_path / "times.json", {"pairs": 10.0, "u8 integers": 20.5})
    assert found.of(conv_of(product()), "avx2") == {"pairs": 10.0, "u8 integers": 20.5}
    assert found == Measured.parse(str(tmp_path / "times.json"))
    assert found.fingerprint() == kept(tmp_path / "copy.json", {"u8 integers": 20.5, "pairs": 10.0}).fingerprint()


def test_pipelines_name_the_file(tmp_path: Path) -> None:
    step = SplitPlanes("avx2", measured=kept(tmp_path / "times.json", {"pairs": 10.0}))
    text = pipeline_text([step])
    assert f"measured={tmp_path / 'times.json'}" in text
    assert parse_pipeline(text, KNOWN_PASSES) == (step,)


@pytest.mark.parametrize("form", [form.text for form in forms_of(conv_of(product()), "avx2")])
def test_the_least_time_decides_and_changes_no_bit(form: str, tmp_path: Path) -> None:
    graph = product()
    others = {other.text: 100.0 for other in forms_of(conv_of(graph), "avx2")}
    step = SplitPlanes("avx2", measured=kept(tmp_path / "times.json", {**others, form: 1.0}))
    after = step.run(graph)
    ((_, weighed),) = after.attrs["form_costs"]
    assert weighed.startswith(form)
    same_meaning(graph, StoreIntegers("avx2").run(after), levels_in(LEVELS))


def test_forms_without_a_time_are_not_taken_where_others_have_one(tmp_path: Path) -> None:
    graph = product()
    slow = kept(tmp_path / "times.json", {"i16 integers": 1e12})
    assert "q.int_conv" in op_names(SplitPlanes("avx2", measured=slow).run(graph))


def test_layers_that_were_not_measured_are_chosen_by_the_tables(tmp_path: Path) -> None:
    path, graph = tmp_path / "times.json", product()
    Measured(str(path), "avx2", {"q.conv of another shape": {"pairs": 1.0}}).write({})
    assert (
        SplitPlanes("avx2", measured=Measured.parse(str(path))).run(graph).attrs == SplitPlanes("avx2").run(graph).attrs
    )


def test_times_of_other_kernels_are_refused(tmp_path: Path) -> None:
    found = kept(tmp_path / "times.json", {"pairs": 10.0}, isa="portable")
    with pytest.raises(OptionError, match="measured for portable, not for avx2"):
        SplitPlanes("avx2", measured=found).run(product())


def test_what_is_no_file_of_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    with pytest.raises(OptionError, match="No such file"):
        Measured.parse(str(path))
    kept(path, {"pairs": 10.0})
    path.write_text(path.read_text().replace("10.0", "1.0"))
    with pytest.raises(OptionError, match="hash"):
        Measured.parse(str(path))
    for text in ("", "[]", json.dumps({"format": 1, "tuning": {}})):
        path.write_text(text)
        with pytest.raises(OptionError, match="no file of tuning"):
            Measured.parse(str(path))
    write_entries(path, "tuning", 1, {"bitc": "0.0.0", "isa": "avx2", "layers": {}})
    with pytest.raises(OptionError, match=r"measured by bitc 0\.0\.0"):
        Measured.parse(str(path))


def test_layers_differ_by_geometry_and_levels() -> None:
    weights = np.ones((8, 4, 3, 3), np.int64)
    plain = {"strides": (1, 1), "dilations": (1, 1)}
    graphs = [
        network(LEVELS, weights, Levels(-2, 1, 4), pads=(1, 1, 1, 1), **plain),
        network(LEVELS, weights, Levels(-2, 1, 4), pads=(0, 0, 0, 0), **plain),
        network(LEVELS, weights, Levels(-1, 1, 3), pads=(1, 1, 1, 1), **plain),
        network(Levels(0, 1, 8), weights, Levels(-2, 1, 4), pads=(1, 1, 1, 1), **plain),
        network(LEVELS, weights[:4], Levels(-2, 1, 4), pads=(1, 1, 1, 1), **plain),
    ]
    assert len({layer_key(conv_of(graph)) for graph in graphs}) == len(graphs)
