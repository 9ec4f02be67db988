"""The kernels of ``runtime/`` that a network uses, as one header: each file once, after those it includes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bitc.resources import runtime_dir

_LOCAL_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"[^\n]*\n', re.MULTILINE)
_DEFINITION = re.compile(
    r"^(?:(?:static inline|BITC_INLINE)\s[^;{]*?\b(?P<function>bitc_\w+)\(|BITC_\w+\((?P<instance>bitc_\w+), )",
    re.MULTILINE,
)
"""A function, or a macro that defines one: ``BITC_FAMILY(bitc_function, type, ...)``."""


def files_defining(functions: Iterable[str]) -> tuple[str, ...]:
    """The files of ``runtime/`` that define ``functions`` and all they include, dependencies first.

    >>> files_defining(["bitc_copy_4"])
    ('base.h', 'copy.h')
    """
    homes = _homes(runtime_dir())
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for included in _LOCAL_INCLUDE.findall(_text(name)):
                visit(included)
            order[name] = None

    for function in functions:
        visit(homes[function])
    visit("base.h")
    return tuple(order)


def available(function: str, isa: str, lesser: Iterable[str]) -> str:
    """``function``, or if ``runtime/`` has none of that name, its twin for the first of ``lesser`` that has one.

    >>> available("bitc_fconv_neon", "neon", ("portable",)), available("bitc_pairs_acc_neon", "neon", ("portable",))
    ('bitc_fconv_neon', 'bitc_pairs_acc_portable')
    """
    homes = _homes(runtime_dir())
    stem = function.removesuffix(isa)
    if function in homes or stem == function:
        return function
    return next((stem + other for other in lesser if stem + other in homes), function)


def pasted(files: Iterable[str]) -> str:
    """``files`` one after another, without the includes that paste has made needless."""
    return "\n".join(_LOCAL_INCLUDE.sub("", _text(name)).strip() + "\n" for name in files)


@cache
def _homes(folder: Path) -> dict[str, str]:
    homes: dict[str, str] = {}
    for path in sorted(folder.glob("*.h")):
        for found in _DEFINITION.finditer(path.read_text(encoding="utf-8")):
            homes.setdefault(found["function"] or found["instance"], path.name)
    return homes


def _text(name: str) -> str:
    return (runtime_dir() / name).read_text(encoding="utf-8")
