"""Every quirk of quantized networks that shows on import or in what the compiled network computes; the item is the test's id.

The tables are in quirks_numbered.py (traps, B1 to B29) and quirks_exporters.py (what domains and exporters emit, A1, A3, A7).
Not in them, because there is nothing of bitc's to test: the vanished Sign of BinaryNet.pytorch (A7: the file is a plain product) and
which versions of onnx and onnxruntime work together (B22: ``bitc doctor`` checks the installation; that bitc itself takes any IR version
is a row).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from frontend.quirks import Quirk
from frontend.quirks_exporters import EXPORTERS
from frontend.quirks_numbered import NUMBERED

from bitc.errors import UnsupportedError
from bitc.frontend import import_model
from bitc.ir import Graph, evaluate
from bitc.oracle import oracle_for
from tests.networks.onnx_net import build_quickly

ROWS = NUMBERED + EXPORTERS


def agree(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    """Same dtypes and shapes; the same values, or close ones."""
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if tolerance and b.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(np.abs(b).max())))
        else:
            np.testing.assert_array_equal(a, b)


def interpreted(graph: Graph, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of the interpreter; of a graph with a free batch image by image."""
    with np.errstate(all="ignore"):
        if not graph.attrs["batch"]:
            return evaluate(graph, feeds)
        (name, images), *_ = feeds.items()
        rows = [evaluate(graph, {name: images[i : i + 1]}) for i in range(len(images))]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("quirk", [pytest.param(row, id=row.item) for row in ROWS])
@pytest.mark.filterwarnings("ignore")  # the oracles warn of half of these models
def test_quirk(quirk: Quirk, tmp_path: Path) -> None:
    """The imported graph gives what the oracle gives, and so does the compiled library where a kernel is the point."""
    path = quirk.save(tmp_path)
    if quirk.refused:
        with pytest.raises(UnsupportedError, match=quirk.refused):
            import_model(path)
        return
    expected = quirk.expected
    if expected is None:
        oracle = oracle_for(path)
        found = oracle.run(quirk.feeds)
        expected = [found[name] for name in oracle.output_names]
    agree(interpreted(import_model(path), quirk.feeds), expected, quirk.tolerance)
    if quirk.compiled:
        agree(build_quickly(path, "portable", tmp_path).run(None, quirk.feeds), expected, quirk.tolerance)


def test_every_numbered_item_has_a_row() -> None:
    """B1 to B29."""
    items = {row.item.split()[0] for row in NUMBERED}
    assert items == {f"B{number}" for number in range(1, 30)}
