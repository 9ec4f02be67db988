"""Times of layers that were measured on a machine, form by form: what ``split-planes`` believes before any table of costs.

:mod:`bitc.tuning` measures them and writes the file. A layer is known by its geometry and levels; of layers that differ only in their
weights one was measured, with its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitc.caches import hash_of, read_entries, write_entries
from bitc.errors import Diagnostic, OptionError
from bitc.ir import CodeType, Op
from bitc.version import __version__

_KIND, _FORMAT = "tuning", 1


@dataclass(frozen=True, slots=True)
class Measured:
    """Nanoseconds by layer and form, of the kernels of ``isa``, and the file ``source`` that holds them; nothing where that is "".

    Its text is ``source``.
    """

    source: str = ""
    isa: str = ""
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Measured:
        """What the file called ``text`` holds. Raises :class:`OptionError`."""
        try:
            kept = read_entries(Path(text), _KIND, _FORMAT)
            made_by, isa, layers = str(kept["bitc"]), str(kept["isa"]), _times(kept["layers"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            here = getattr(error, "strerror", None) or f"{error}"
            hint = "`bitc compile MODEL --tune --tuning FILE` makes one"
            raise OptionError(Diagnostic("O029", f"{text} is no file of tuning", here=here, hint=hint)) from error
        if made_by != __version__:
            hint = "measure again: --tune --tuning FILE with a new FILE"
            raise OptionError(Diagnostic("O029", f"{text} was measured by bitc {made_by}", hint=hint))
        return cls(text, isa, layers)

    def write(self, machine: Mapping[str, str]) -> None:
        """Keep it in its file; ``machine`` says what it was measured on. Raises ``OSError``."""
        kept = {"bitc": __version__, "isa": self.isa, "machine": dict(machine), "layers": self.layers}
        write_entries(Path(self.source), _KIND, _FORMAT, kept)

    def of(self, op: Op, isa: str) -> Mapping[str, float]:
        """Nanoseconds of the forms of a product of codes. Raises :class:`OptionError` where another ISA was measured."""
        if self.source and self.isa != isa:
            raise OptionError(Diagnostic("O029", f"{self.source} was measured for {self.isa}, not for {isa}"))
        return self.layers.get(layer_key(op), {})

    def fingerprint(self) -> str:
        """Of all times: two compilations with the same one make the same choices."""
        return hash_of([self.isa, self.layers])[:16]

    def __str__(self) -> str:
        return self.source


NOTHING = Measured()
"""No times."""


def layer_key(op: Op) -> str:
    """Geometry and levels of a ``q.conv`` or ``q.matmul`` of codes, as text."""
    x, w = (operand.type for operand in op.operands)
    assert isinstance(x, CodeType)
    assert isinstance(w, CodeType)
    text = f"{op.name} {_shape(x)} {x.levels} by {_shape(w)} {w.levels}"
    if op.name == "q.conv":
        attrs = op.attrs
        text += f" strides {_sizes(attrs['strides'])} dilations {_sizes(attrs['dilations'])} group {attrs['group']}"
        text += f" pads {_sizes(attrs['pads'])} of {attrs['pad_level']}" if any(attrs["pads"]) else ""
    return text


def _shape(type: CodeType) -> str:
    return _sizes(type.shape)


def _sizes(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _times(layers: Any) -> dict[str, dict[str, float]]:
    return {str(key): {str(form): float(ns) for form, ns in forms.items()} for key, forms in layers.items()}
