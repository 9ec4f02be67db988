"""Bounds on what a model may ask of the compiler, so that a small hostile file ends in an error and not in a full memory.

Every bound is far above real networks and can be raised: ``compile(..., limits=Limits(nodes=200_000))``, ``--limit nodes=200000``.
They change which models are taken, never what a model compiles to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from bitc.errors import Diagnostic, ModelError, OptionError

OVER_LIMIT = "M009"


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds. Each is the largest number that is still taken."""

    model_bytes: int = (1 << 31) - 1
    """Bytes of the model file, without external data; protobuf reads no larger ones."""
    nodes: int = 20_000
    """Nodes, counted with those of subgraphs and of local functions wherever they are called."""
    nesting: int = 32
    """Subgraphs, and calls of local functions, within one another."""
    name_characters: int = 4096
    """Characters of a name: of tensors, nodes, operators, attributes, dimensions."""
    rank: int = 32
    """Axes of a tensor."""
    tensor_elements: int = 1 << 28
    """Elements of one tensor: a constant, an input, or what a node computes."""
    constant_bytes: int = 1 << 28
    """Bytes of all constants that are computed when compiling, beyond :data:`GROWTH` times those the file holds."""
    constant_work: int = 1 << 27
    """Elements touched to compute them, a product's terms counted, beyond :data:`GROWTH_OF_WORK` times the elements the file holds."""

    @classmethod
    def of(cls, given: Mapping[str, int]) -> Limits:
        """The default limits with some replaced. Raises :class:`OptionError` for an unknown name or a negative number."""
        known = [field.name for field in fields(cls)]
        for name, number in given.items():
            if name not in known:
                raise OptionError(Diagnostic("O005", f"there is no limit {name!r}", hint="limits: " + ", ".join(known)))
            if number < 0:
                raise OptionError(Diagnostic("O005", f"limit {name!r} cannot be negative", here=str(number)))
        return cls(**given)


GROWTH = 8
"""Folding makes several constants of one weight (its sign, its scale, its transpose), so the bound on them grows with the file."""
GROWTH_OF_WORK = 256
"""The same for the work of folding: enough to multiply two weights of 1024 x 1024."""


def over_limit(name: str, limit: int, found: int | str, where: str) -> Diagnostic:
    """The complaint that something at ``where`` is beyond the limit ``name``."""
    rule = f"{name.replace('_', ' ')}: at most {limit}"
    hint = f"if the model is meant to be like this, raise the limit with --limit {name}=NUMBER"
    return Diagnostic(OVER_LIMIT, "the model is beyond a limit of bitc", where, rule, str(found), hint)


def check_limit(limits: Limits, name: str, found: int, where: str) -> None:
    """Raise :class:`ModelError` if ``found`` is more than the limit ``name``."""
    limit = getattr(limits, name)
    if found > limit:
        raise ModelError(over_limit(name, limit, found, where))
