"""Tests of kernels take their instruction set as the parameter ``isa``: skip, with the reason, if it cannot run."""

import pytest

from .harness import why_not


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests whose ``isa`` can be neither run nor emulated here."""
    isa = item.callspec.params.get("isa") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    reason = why_not(isa) if isinstance(isa, str) else None
    if reason:
        pytest.skip(reason)
