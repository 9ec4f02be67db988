"""The ``isa`` marker: skip, with the reason, where the instruction set can be neither run nor emulated."""

import pytest

from .harness import why_not


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "isa(name): needs the instruction set, native or emulated")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("isa"):
        reason = why_not(marker.args[0])
        if reason:
            pytest.skip(reason)
