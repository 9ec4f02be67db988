"""C text from Python values: identifiers, literals, array bodies, and names safe inside comments."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

import numpy as np

from bitc.ir import DType

_KEYWORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register restrict
    return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool _Complex _Imaginary asm bool
    true false nullptr constexpr alignas alignof thread_local static_assert typeof class new delete private public protected this
    template operator namespace using try catch throw virtual friend and or not xor batch arena io main
"""
_RESERVED = frozenset(_KEYWORDS.split())
# What the headers of C99 or compilers outside strict C99 define as macros without parameters.
_MACROS = re.compile(
    r"NULL|NAN|INFINITY|HUGE_VAL[FL]?|(U?INT|SIZE|PTRDIFF|WCHAR|WINT|SIG_ATOMIC|FP|MATH|M|BITC)_\w+|U?INT\d+_\w+|EOF|EDOM|ERANGE"
    r"|math_errhandling|errno|signgam|linux|unix|i386|near|far"
)

LONGEST = 63
"""Characters of an identifier that every C99 compiler tells apart."""

CTYPES = {
    DType.F32: "float",
    DType.F64: "double",
    DType.F16: "uint16_t",
    DType.I8: "int8_t",
    DType.U8: "uint8_t",
    DType.I16: "int16_t",
    DType.U16: "uint16_t",
    DType.I32: "int32_t",
    DType.U32: "uint32_t",
    DType.I64: "int64_t",
    DType.U64: "uint64_t",
    DType.BOOL: "uint8_t",
}
"""The C type of an element in memory; float16 lies there as its bits."""

VALUE_CTYPES = CTYPES | {DType.F16: "float"}
"""The C type of a number in an expression."""


def identifier(text: str) -> str:
    """``text`` as a C identifier of at most :data:`LONGEST` characters.

    >>> identifier("features.3/Conv:0"), identifier("int"), identifier("3x"), identifier("_a"), identifier("é"), identifier("NAN")
    ('features_3_Conv_0', 'int_', 'n3x', 'a', 'v', 'NAN_')
    """
    cleaned = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    if not cleaned:
        cleaned = "v"
    if cleaned[0].isdigit():
        cleaned = "n" + cleaned
    cleaned = cleaned[:LONGEST]
    return cleaned[: LONGEST - 1] + "_" if cleaned in _RESERVED or _MACROS.fullmatch(cleaned) else cleaned


def library_name(text: str) -> str:
    """``text`` as the name of a library: an identifier, and none of the runtime's own.

    >>> library_name("my net"), library_name("bitc")
    ('my_net', 'net_bitc')
    """
    name = identifier(text)
    return f"net_{name}" if name.lower().startswith("bitc") else name


def unique_identifiers(texts: Iterable[str], taken: Iterable[str] = ()) -> Iterator[str]:
    """Identifiers, all different from one another and from ``taken``.

    >>> list(unique_identifiers(["a.b", "a/b", "c"], taken=["c"]))
    ['a_b', 'a_b_2', 'c_2']
    """
    used = set(taken)
    for text in texts:
        name = base = identifier(text)
        count = 1
        while name in used:
            count += 1
            suffix = f"_{count}"
            name = base[: LONGEST - len(suffix)] + suffix
        used.add(name)
        yield name


def comment(text: str) -> str:
    """``text`` as it may stand inside ``/* ... */``: on one line, and nothing in it that a terminal or editor obeys.

    >>> comment("a */ b /* c ??/ \\\\ d"), comment("a\\x1b[1m\\u202eb")
    ('a * / b / * c ? ?/ / d', 'a?[1m?b')
    """
    flat = "".join(c if c.isprintable() else "?" for c in " ".join(text.replace("\\", "/").split()))
    return re.sub(r"\?(?=\?)", "? ", flat.replace("*/", "* /").replace("/*", "/ *"))


def prose(text: str) -> str:
    """``text`` as it may stand inside backticks in a table of the README.

    >>> prose("a`b|c\\nd")
    "a'b/c d"
    """
    return comment(text).replace("`", "'").replace("|", "/")


def literal(value: np.generic | float | int | bool, dtype: DType) -> str:
    """A C constant of exactly this value.

    >>> literal(0.1, DType.F32), literal(float("inf"), DType.F32), literal(-(2**31), DType.I32)
    ('0x1.99999ap-4f', 'INFINITY', '(-2147483647 - 1)')
    """
    if dtype.is_float:
        number = float(np.float32(value)) if dtype is not DType.F64 else float(value)
        if math.isnan(number):
            return "NAN"
        if math.isinf(number):
            return "INFINITY" if number > 0 else "-INFINITY"
        return _hexadecimal(number) + ("f" if dtype is not DType.F64 else "")
    whole = int(value)
    match dtype:
        case DType.I64:
            return "INT64_MIN" if whole == -(2**63) else f"INT64_C({whole})"
        case DType.U64:
            return f"UINT64_C(0x{whole:x})" if whole > 9 else f"{whole}u"
        case DType.U32:
            return f"{whole}u"
        case DType.I32 if whole == -(2**31):
            return "(-2147483647 - 1)"
    return str(whole)


def _hexadecimal(number: float) -> str:
    """A finite number in the shortest form of C's hexadecimal constants."""
    mantissa, _, exponent = number.hex().partition("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}"


def array_lines(array: np.ndarray, dtype: DType, width: int = 116) -> Iterator[str]:
    """The elements of ``array`` as lines of a C initialiser, all but the last of as many elements as always fit."""
    texts = _element_texts(array.reshape(-1), dtype)
    count = max(1, width // (max(map(len, texts), default=0) + 1))
    for first in range(0, len(texts), count):
        yield ",".join(texts[first : first + count]) + ","


def string_lines(data: bytes, width: int = 28) -> Iterator[str]:
    r"""``data`` as lines of string literals, which C puts together: compilers read them twenty times as fast as numbers.

    ``width``: bytes of a line. Octal escapes only, of as few digits as do, since another escape follows, or the end.

    >>> print(*string_lines(bytes([0, 34, 255]), width=2))
    "\0\42" "\377"
    """
    escape = [f"\\{value:o}" for value in range(256)].__getitem__
    for first in range(0, len(data), width):
        yield f'"{"".join(map(escape, data[first : first + width]))}"'


def _element_texts(flat: np.ndarray, dtype: DType) -> list[str]:
    values = flat.tolist()
    if dtype is DType.F16:
        return [f"0x{value:x}" for value in flat.view(np.uint16).tolist()]
    if (
        dtype is DType.U64
    ):  # of the largest arrays: plain hexadecimal constants get a fitting unsigned type by themselves
        return [f"0x{value:x}" if value > 9 else str(value) for value in values]
    if dtype is DType.F32 and np.isfinite(flat).all():
        return [f"{_hexadecimal(value)}f" for value in values]
    if dtype is DType.BOOL:
        return ["1" if value else "0" for value in values]
    if dtype in (DType.U8, DType.I8, DType.U16, DType.I16) or (dtype is DType.I32 and -(2**31) not in values):
        return list(map(str, values))
    return [literal(value, dtype) for value in values]
