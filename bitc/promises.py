"""Promises about an input's values, as text: ``{-1,1}`` is a set, ``{-128..127}`` an integer range, ``{-3..3:2}`` one with a step."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from bitc.errors import Diagnostic, OptionError

_RANGE = re.compile(r"(-?\d+)\s*\.\.\s*(-?\d+)(?:\s*:\s*(\d+))?")


def parse_values(text: str) -> Sequence[float]:
    """A tuple of floats for a set, a ``range`` for a range. Raises :class:`OptionError`.

    >>> parse_values("{-1, 1}"), parse_values("{-128..127}"), parse_values("{-3..3:2}")
    ((-1.0, 1.0), range(-128, 128), range(-3, 4, 2))
    """
    inner = text.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        raise _bad(text, "it has no braces")
    inner = inner[1:-1].strip()
    if match := _RANGE.fullmatch(inner):
        low, high, step = int(match[1]), int(match[2]), int(match[3] or 1)
        if high < low or step < 1:
            raise _bad(text, "the range is empty")
        return range(low, high + 1, step)
    try:
        values = tuple(sorted({float(item) for item in inner.split(",")}))
    except ValueError:
        raise _bad(text, "its members are not numbers") from None
    if not all(map(math.isfinite, values)):
        raise _bad(text, "its members are not finite")
    return values


def values_text(values: Sequence[float]) -> str:
    """The text form, read back by :func:`parse_values`.

    >>> values_text((-1.0, 0.5)), values_text(range(0, 256)), values_text(range(-3, 4, 2))
    ('{-1,0.5}', '{0..255}', '{-3..3:2}')
    """
    if isinstance(values, range):
        step = f":{values.step}" if values.step != 1 else ""
        return "{" + f"{values.start}..{values[-1]}{step}" + "}"
    return "{" + ",".join(str(int(v)) if float(v).is_integer() else repr(float(v)) for v in values) + "}"


def _bad(text: str, here: str) -> OptionError:
    hint = "write {-1,1} for a set, {-128..127} for integers, {-3..3:2} for every second one"
    return OptionError(Diagnostic("O050", f"cannot read the values {text!r}", here=here, hint=hint))
