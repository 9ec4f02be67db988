"""Golden outputs of the exported systems: the smallest network of each, and with ``BITC_LONG_TESTS`` all of them on every target."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.networks.building import TARGETS
from tests.systems.goldens import SAME, Agreement
from tests.systems.operands import Operands
from tests.systems.run import outcome
from tests.systems.systems import DIMS, EXCEPTIONS, SYSTEMS, System, system_of

SHARE = {system.name: TARGETS[index % len(TARGETS)] for index, system in enumerate(SYSTEMS)}
"""On which target the smallest network of a system runs in every run of the tests: each in its turn."""


def everything(shared: Path) -> list[Path]:
    return [path for folder in ("systems", "spiking") for path in sorted((shared / "models" / folder).glob("*.onnx"))]


def agrees(path: Path, target: str, folder: Path) -> None:
    found = outcome(path, target, folder)
    assert not found.complaint, f"{path.stem} on {target}: {found.complaint}: {found.agreement}"


def test_every_file_is_a_systems_and_every_name_a_files(shared: Path) -> None:
    files = everything(shared)
    assert {system_of(path) for path in files} == set(SYSTEMS)
    assert {*EXCEPTIONS, *DIMS} <= {path.stem for path in files}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_smallest_network_gives_its_golden_outputs(system: System, shared: Path, tmp_path: Path) -> None:
    agrees(system.smallest(shared), SHARE[system.name], tmp_path / "net")


@pytest.mark.skipif(
    not os.environ.get("BITC_LONG_TESTS"), reason="221 networks on three targets take an hour: set BITC_LONG_TESTS=1"
)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_network_gives_its_golden_outputs(system: System, target: str, shared: Path, tmp_path: Path) -> None:
    for path in system.files(shared):
        agrees(path, target, tmp_path / path.stem)


def test_an_element_off_by_more_than_the_bound_is_counted() -> None:
    found = Agreement()
    found.add(np.array([1.0, -4.0, 0.5], np.float32), np.array([1.0, -4.0 + 3 * SAME, 0.5 + 5 * SAME], np.float32))
    assert (found.elements, found.differing, found.beyond) == (3, 2, 1)
    found.add(np.array([1.0], np.float32), np.array([np.nan], np.float32))
    assert found.beyond == 2


@pytest.mark.parametrize(
    ("x", "w", "both", "kind"),
    [
        ("A1", "W1", False, "codes"),
        ("A4", "W1x2/2b", False, "codes"),
        ("A1", "A1", True, "activations"),
        ("Af", "W1", False, "weights"),
        ("A1", "Wf", False, "spikes"),
        ("Af", "Wf", False, "float"),
        ("Af", "A1", True, "float"),
    ],
)
def test_kinds_of_products(x: str, w: str, both: bool, kind: str) -> None:
    assert Operands("", x, w, both).kind == kind
