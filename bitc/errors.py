"""The one error tree of bitc.

Every error a user can meet is a :class:`BitcError` that carries one or more :class:`Diagnostic`: which node, what the rule is,
what is here, and what to do. All bad nodes are collected before failing. Only ``cli`` prints; a compiler bug is an ``AssertionError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One located complaint, rendered as ``error[CODE]: title`` with indented ``where / rule / here / hint`` lines.

    ``inputs`` names inputs of the network without which there would be nothing to complain of, were they constants.
    """

    code: str
    title: str
    where: str = ""
    rule: str = ""
    here: str = ""
    hint: str = ""
    inputs: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.title}"]
        if self.where:
            lines.append(f"  {self.where}")
        for label, text in (("rule", self.rule), ("here", self.here), ("hint", self.hint)):
            if text:
                lines.append(f"  {label + ':':<6} {text}")
        return "\n".join(lines)


class BitcError(Exception):
    """Base of all errors bitc raises on purpose. ``exit_code`` is what the command line returns for it."""

    exit_code = 70

    def __init__(self, *diagnostics: Diagnostic) -> None:
        assert diagnostics, "an error needs at least one diagnostic"
        self.diagnostics: tuple[Diagnostic, ...] = diagnostics
        super().__init__("\n".join(map(str, diagnostics)))


class ModelError(BitcError):
    """The user's file is broken, truncated or not ONNX."""

    exit_code = 3


class UnsupportedError(BitcError):
    """The model is sound but uses something bitc does not compile; lists every such node."""

    exit_code = 3


class OptionError(BitcError):
    """A command-line or API option makes no sense: unknown target, bad dimension, wrong input name, dtype or shape."""

    exit_code = 2


class ToolchainError(BitcError):
    """No C compiler, or the C compiler failed."""

    exit_code = 4


class CheckFailed(BitcError):
    """A comparison with an oracle or a golden file found a difference outside its contract."""

    exit_code = 1


def first_error(diagnostics: Sequence[Diagnostic], kind: type[BitcError]) -> None:
    """Raise ``kind`` with all ``diagnostics`` if there are any."""
    if diagnostics:
        raise kind(*diagnostics)
