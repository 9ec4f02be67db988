"""The C plan: what the templates print, in small explicit pieces. All names, expressions and decisions are already in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bitc.codegen.names import CTYPES, array_lines, string_lines
from bitc.codegen.sharing import Share
from bitc.ir import DType


@dataclass(frozen=True, slots=True)
class Array:
    """A constant array of the library: of numbers, or where ``text`` of strings that hold its bytes, the lowest first."""

    name: str
    dtype: DType
    values: np.ndarray
    note: str = ""
    text: bool = False

    @property
    def ctype(self) -> str:
        """C type of an element."""
        return CTYPES[self.dtype]

    @property
    def count(self) -> int:
        """Number of elements."""
        return int(self.values.size)

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.bytes

    @property
    def pointer(self) -> str:
        """The expression that points to the first element."""
        return f"{self.name}.elements" if self.text and self.dtype.bytes > 1 else self.name

    def lines(self) -> Iterator[str]:
        """The initialiser."""
        if self.text:
            little = self.values.dtype.newbyteorder("<")
            return string_lines(np.ascontiguousarray(self.values, little).tobytes())
        return array_lines(self.values, self.dtype)


@dataclass(frozen=True, slots=True)
class Geometry:
    """A constant struct handed to a kernel: its type and (field, value) pairs."""

    name: str
    struct: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """A local pointer to a buffer of the arena; where each part of a shared step has a buffer of its own, ``stride`` bytes apart."""

    name: str
    ctype: str
    offset: int
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call; with ``per_row`` it stands in a loop over rows ``r`` from ``y`` to ``end``. ``layer``: of ``Program.layers``."""

    function: str
    arguments: tuple[str, ...]
    per_row: bool = False
    layer: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Calls that belong together: over ``images`` images, and over ``rows`` rows in strides of ``row_step`` if that is less.

    Where threads ``share`` them, they stand in a function of their own, which begins with the lines of ``setup``.
    """

    note: str
    images: int
    rows: int
    row_step: int
    calls: tuple[Call, ...]
    share: Share | None = None
    setup: tuple[str, ...] = ()

    @property
    def by_rows(self) -> bool:
        """Whether there is a loop over rows."""
        return self.row_step < self.rows

    def words(self) -> set[str]:
        """All identifiers in the calls."""
        return set(re.findall(r"\w+", " ".join(argument for call in self.calls for argument in call.arguments)))

    @property
    def repeats(self) -> int:
        """How often each of the calls is reached in a run of one item."""
        return self.images * -(-self.rows // self.row_step)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an elementwise function."""

    name: str
    ctype: str
    const: bool


@dataclass(frozen=True, slots=True)
class MapFunction:
    """An elementwise function over ``rows`` rows of ``pixels`` pixels of ``channels`` channels, and the lines of its innermost loop."""

    name: str
    note: str
    parameters: tuple[Parameter, ...]
    pixels: int
    channels: int
    lines: tuple[str, ...]

    @property
    def is_short(self) -> bool:
        """Whether the innermost loop is one of few rounds of which four 256-bit vectors leave some over."""
        return self.channels < 1024 and self.channels % 32 != 0


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the library."""

    name: str
    field: str
    dtype: DType
    shape: tuple[int, ...]
    item_elements: int

    @property
    def ctype(self) -> str:
        """C type of an element."""
        return CTYPES[self.dtype]


@dataclass(slots=True)
class Program:
    """Everything that is printed."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    arena_bytes: int
    arrays: list[Array] = field(default_factory=list)
    geometries: list[Geometry] = field(default_factory=list)
    maps: list[MapFunction] = field(default_factory=list)
    pointers: list[Pointer] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    layers: list[dict[str, object]] = field(default_factory=list)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constant arrays."""
        return sum(array.bytes for array in self.arrays)

    def laps(self) -> list[int]:
        """For each layer, how many calls of a run of one item a profiling build times."""
        counts = [0] * len(self.layers)
        for step in self.steps:
            for call in step.calls:
                counts[call.layer] += step.repeats
        return counts

    def unused_parameters(self) -> list[str]:
        """Parameters of the function of one item that nothing reads or, being of no elements, nothing writes."""
        read = {word for step in self.steps for word in step.words()}
        ports = [name for name, _ in self.ports()]
        named = [name for name in ports if name not in read]
        return named if self.pointers else [*named, "at"]

    def ports(self) -> list[tuple[str, str]]:
        """The names of inputs and outputs in the function of one item, and their C types."""
        inputs = [(f"in{i}", f"const {port.ctype}") for i, port in enumerate(self.inputs)]
        return inputs + [(f"out{i}", port.ctype) for i, port in enumerate(self.outputs)]

    @property
    def most_parts(self) -> int:
        """Parts of the step that has most."""
        return max((step.share.parts for step in self.steps if step.share is not None), default=1)

    def shared_steps(self) -> list[Step]:
        """The steps that several threads share."""
        return [step for step in self.steps if step.share is not None]

    def pointers_of(self, steps: list[Step]) -> list[Pointer]:
        """The pointers into the arena that ``steps`` use."""
        read = {word for step in steps for word in step.words()}
        return [pointer for pointer in self.pointers if pointer.name in read]

    def own_pointers(self) -> list[Pointer]:
        """The pointers that the function of one item uses itself."""
        return self.pointers_of([step for step in self.steps if step.share is None])

    def functions(self) -> list[str]:
        """The functions of the runtime that are called, each once, in order."""
        called = [call.function for step in self.steps for call in step.calls]
        called += re.findall(r"\w+(?=\()", "\n".join(line for function in self.maps for line in function.lines))
        return list(dict.fromkeys(name for name in called if name.startswith("bitc_")))
