"""Every fourth node test of onnx.backend.test; see node_suite."""

from __future__ import annotations

import pytest
from backend.node_suite import check, shard
from onnx.backend.test.case.test_case import TestCase


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in shard(0, 4)])
def test_comes_to_what_the_page_says(case: TestCase) -> None:
    check(case)
