"""What a pass is: a frozen dataclass whose fields are its options, a name, and ``run(graph) -> graph``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from bitc.ir import Graph


@dataclass(frozen=True)
class Pass:
    """Base of all passes. The subclass' docstring states the identity it rests on, with a before and after.

    Its text form is ``name`` or ``name{option=value,...}`` with only the options that differ from their defaults.
    """

    name: ClassVar[str]

    def run(self, graph: Graph) -> Graph:
        """The rewritten graph; the given one is left as it is."""
        raise AssertionError("every pass defines run")

    def __str__(self) -> str:
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        if not changed:
            return self.name
        return self.name + "{" + ",".join(f"{key.replace('_', '-')}={_text(value)}" for key, value in changed) + "}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
