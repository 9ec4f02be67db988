"""`bitc golden` over the project's networks and the shared ones: recorded from the oracle, compiled anew, compared.

The shared networks lie beside the checkout; of them those are taken that compile within seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bitc.golden import record, replay

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "models"
LARGEST_BYTES = 150_000
MODELS = sorted((ROOT / "models").glob("*.onnx"))
OTHERS = sorted(
    path
    for path in SHARED.rglob("*.onnx")
    if path.stat().st_size <= LARGEST_BYTES and not {"systems", "spiking"} & set(path.relative_to(SHARED).parts)
)


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_own_networks(model: Path, tmp_path: Path) -> None:
    recorded = record(model, tmp_path / "golden", n=2)
    assert replay(tmp_path / "golden").elements == recorded.elements


@pytest.mark.skipif(not OTHERS, reason="the shared networks are not here")
@pytest.mark.parametrize("model", OTHERS or [Path("none")], ids=lambda path: path.stem)
def test_shared_networks(model: Path, tmp_path: Path) -> None:
    assert record(model, tmp_path / "golden", n=2).elements > 0
