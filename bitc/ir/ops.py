"""How an op is declared: once, as a class, and everything else is derived from that declaration.

A declaration names its operands and attributes, infers the result types, gives the NumPy meaning and states the equation in its
docstring. Printer, parser, verifier and interpreter read nothing else::

    @op("nn.relu", elementwise=True)
    class Relu(OpDecl):
        \"\"\"y = max(x, 0)\"\"\"

        operands = ("x",)

        @staticmethod
        def infer(x): return x

        @staticmethod
        def evaluate(x): return np.maximum(x, 0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from bitc.ir.types import Type

REQUIRED = object()
"""Marks an attribute without default."""


class InferenceError(ValueError):
    """An op's rule is broken by the given operand types or attributes. The message states the rule and what is here."""


class OpDecl:
    """Base of all op declarations. Never instantiated; the registry holds the classes.

    ``operands`` names the operands; a last name ending in ``*`` takes any number, names ending in ``?`` may be left out from the
    right. ``attrs`` maps attribute names to defaults (``REQUIRED`` for none). ``results`` is the number of results.
    """

    name: ClassVar[str]
    operands: ClassVar[tuple[str, ...]] = ()
    attrs: ClassVar[Mapping[str, Any]] = {}
    results: ClassVar[int] = 1
    elementwise: ClassVar[bool] = False
    """Each result element depends on the elements of the operands at the same (broadcast) position, and on nothing else."""
    monotone: ClassVar[Callable[..., np.ndarray | None] | None] = None
    """For elementwise ops: ``monotone(index, constants, **attrs)`` gives an array of +1 (non-decreasing), -1 (non-increasing) or 0
    (constant) in operand ``index`` when all other operands are the given constants, or None if unknown."""

    infer: ClassVar[Callable[..., Type | tuple[Type, ...]]]
    """Result types: ``infer(*types, **attrs)``. Raises :class:`InferenceError`. Its annotations say what each attribute may be."""
    evaluate: ClassVar[Callable[..., Any]]
    """The NumPy meaning: ``evaluate(*arrays, **attrs)``. Codes are int32 levels in logical shape; several results come as a tuple."""
    evaluate_typed: ClassVar[Callable[..., Any] | None] = None
    """Instead of ``evaluate`` where the meaning depends on operand types: ``evaluate_typed(types, *arrays, **attrs)``."""

    @classmethod
    def apply(
        cls, types: Sequence[Type], arrays: Sequence[Any], attrs: Mapping[str, Any]
    ) -> np.ndarray | tuple[np.ndarray, ...]:
        """The result arrays: by ``evaluate_typed`` if declared, else by ``evaluate``."""
        if cls.evaluate_typed is not None:
            return cls.evaluate_typed(types, *arrays, **attrs)  # type: ignore[no-any-return]
        return cls.evaluate(*arrays, **attrs)  # type: ignore[no-any-return]

    @classmethod
    def operand_range(cls) -> tuple[int, int | None]:
        """Fewest and most operands (None: no bound)."""
        if cls.operands and cls.operands[-1].endswith("*"):
            return len(cls.operands) - 1, None
        optional = sum(name.endswith("?") for name in cls.operands)
        return len(cls.operands) - optional, len(cls.operands)


_REGISTRY: dict[str, type[OpDecl]] = {}
_Decl = TypeVar("_Decl", bound=type[OpDecl])


def op(name: str, *, elementwise: bool = False) -> Callable[[_Decl], _Decl]:
    """Class decorator: enter a declaration under ``name`` (``level.op``)."""

    def enter(decl: _Decl) -> _Decl:
        assert name not in _REGISTRY, f"{name} is declared twice"
        assert decl.__doc__, f"{name} has no docstring: state its equation"
        decl.name = name
        decl.elementwise = elementwise
        _REGISTRY[name] = decl
        return decl

    return enter


def lookup(name: str) -> type[OpDecl]:
    """The declaration of ``name``. Raises ``KeyError``."""
    return _REGISTRY[name]


def declared(name: str) -> type[OpDecl] | None:
    """The declaration of ``name``, None if there is none."""
    return _REGISTRY.get(name)


def all_ops() -> Mapping[str, type[OpDecl]]:
    """All declarations by name."""
    return dict(sorted(_REGISTRY.items()))
