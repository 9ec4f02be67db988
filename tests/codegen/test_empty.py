"""Networks with ports that hold nothing, or that need nothing: as C under all warnings, and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.nets import Net

from bitc.codegen import TARGETS
from bitc.ir import DType

PORTABLE = TARGETS["portable"]


@pytest.mark.parametrize("alone", [True, False])
def test_an_output_without_elements(alone: bool, tmp_path: Path) -> None:
    """Beside another, and as the only one, where the function does nothing."""
    n = Net(0)
    x = n.input(2, 3)
    empty = n.b.constant(np.empty((2, 0), np.int64))
    outputs = [empty] if alone else [n.b.add("nn.relu", x), empty]
    array = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)
    got = build(generated(lowered(n.graph(*outputs), PORTABLE), PORTABLE), PORTABLE, tmp_path).run([array])
    assert (got[-1].shape, got[-1].dtype) == ((2, 0), np.int64)
    if not alone:
        np.testing.assert_array_equal(got[0], np.maximum(array, 0))


def test_a_network_without_inputs(tmp_path: Path) -> None:
    n = Net(0)
    output = n.b.constant(np.arange(6, dtype=np.int8).reshape(2, 3))
    (got,) = build(generated(lowered(n.graph(output), PORTABLE), PORTABLE), PORTABLE, tmp_path).run([])
    np.testing.assert_array_equal(got, output.constant, strict=True)


def test_a_concatenation_with_nothing_in_it(tmp_path: Path) -> None:
    """Passes may leave a part of no elements; no array of that size is declared."""
    n = Net(0)
    x = n.input(1, 3, dtype=DType.I32)
    joined = n.b.add("nn.concat", x, n.b.constant(np.empty((1, 0), np.int32)), axis=1)
    array = np.array([[5, -1, 7]], np.int32)
    (got,) = build(generated(lowered(n.graph(joined), PORTABLE), PORTABLE), PORTABLE, tmp_path).run([array])
    np.testing.assert_array_equal(got, array, strict=True)
