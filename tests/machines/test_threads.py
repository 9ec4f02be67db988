"""Libraries for several threads, with their own pool, on machines that are emulated: the bits of one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bitc
from tests.machines.machines import AARCH64, RISCV64, S390X, Machine, build, run

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits_mixed_w8_w1.onnx"
ITEMS = 2
MOST = 4


@pytest.mark.parametrize(
    ("machine", "target"),
    [(AARCH64, "neon"), (RISCV64, "portable"), (S390X, "portable")],
    ids=lambda value: value.name if isinstance(value, Machine) else value,
)
def test_threads_of_the_generated_pool(machine: Machine, target: str, tmp_path: Path) -> None:
    if (reason := machine.why_not()) is not None:
        pytest.skip(reason)
    artifact = bitc.compile(MODEL, target=target, out=tmp_path / "made", emit=("c",), threads=MOST)
    with np.load(MODEL.with_name("digits_test.npz")) as data:
        x = data["x"][:ITEMS]
    (wanted,) = run(build(artifact, machine, ITEMS), artifact, machine, [x], ITEMS)
    assert len(np.unique(wanted)) > 10
    for threads in (2, MOST):
        (got,) = run(build(artifact, machine, ITEMS, threads=threads), artifact, machine, [x], ITEMS)
        assert got.tobytes() == wanted.tobytes()
