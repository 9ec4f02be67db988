"""The state struct of a network with states, and the io of one step: what ``<name>_init`` and ``<name>_step`` are printed from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bitc.codegen.memory_plan import ALIGN_BYTES
from bitc.codegen.names import array_lines, literal, unique_identifiers
from bitc.codegen.plan import Port
from bitc.ir import DType, Graph
from bitc.state_codes import Bits, StateCodes, state_codes


@dataclass(frozen=True, slots=True)
class Carried:
    """A state: the ports that a call reads and writes, the struct's ``field``, and the value it begins with, None for zeros.

    With ``codes`` it is kept in few bits, and a call reads it from the arena at ``given_at`` and writes it at ``made_at``, in bytes.
    """

    given: Port
    made: Port
    field: str
    initial: np.ndarray | None
    codes: StateCodes | None = None
    given_at: int = 0
    made_at: int = 0

    @property
    def uniform(self) -> str:
        """The one number that the state begins with everywhere, as C; empty where there are several."""
        assert self.initial is not None
        first = self.initial.reshape(-1)[:1]
        same = self.initial.tobytes() == first.tobytes() * self.initial.size
        return literal(self.initial.flat[0], self.given.dtype) if same and self.given.dtype.numpy != np.float16 else ""

    def lines(self) -> list[str]:
        """The initial value as lines of an initialiser."""
        assert self.initial is not None
        return list(array_lines(self.initial, self.given.dtype))

    @property
    def kept_bytes(self) -> int:
        """The size of its field, in few bits."""
        assert self.codes is not None
        return self.codes.bytes_of(self.given.item_elements)

    def first(self) -> np.ndarray:
        """The bytes that it begins with, in few bits."""
        assert self.codes is not None
        shape = self.given.shape
        return self.codes.encoded(self.initial if self.initial is not None else np.zeros(shape, np.float32))

    @property
    def first_byte(self) -> str:
        """The one byte that all are at the beginning; empty where there are several."""
        kept = np.unique(self.first())
        return str(int(kept[0])) if kept.size == 1 else ""

    def first_lines(self) -> list[str]:
        """The bytes it begins with as lines of an initialiser."""
        return list(array_lines(self.first(), DType.U8))

    def number(self, name: str) -> str:
        """A number of ``codes`` as a C float; for bytes also ``inverse``, what takes an element to its level."""
        value = 1 / self.codes.scale if name == "inverse" else getattr(self.codes, name)  # type: ignore[union-attr]
        return literal(value, DType.F32)

    @property
    def as_bits(self) -> bool:
        """Whether it is kept as bits."""
        return isinstance(self.codes, Bits)


@dataclass(frozen=True, slots=True)
class StateStruct:
    """All states; ``flag`` is the field that says which of the two copies of each holds its value. The other ports are a step's io.

    ``arena_bytes``: those of a step, which behind a call's own memory needs room for the floats of states in few bits.
    """

    carried: tuple[Carried, ...]
    flag: str
    arena_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def manifest(self) -> list[dict[str, Any]]:
        """What the manifest says of each state."""
        return [
            {
                "input": one.given.name,
                "output": one.made.name,
                "field": one.field,
                "initial": "zeros" if one.initial is None else "the model's default",
                **(one.codes.as_dict() if one.codes is not None else {"kept": one.given.dtype.numpy.name}),
            }
            for one in self.carried
        ]


def state_struct(
    graph: Graph, inputs: tuple[Port, ...], outputs: tuple[Port, ...], arena_bytes: int
) -> StateStruct | None:
    """The states of ``graph`` (``attrs["states"]``, ``attrs["state_codes"]``), whose ports are given; None if it has none.

    ``arena_bytes``: what a call needs.
    """
    pairs = graph.attrs.get("states", ())
    if not pairs:
        return None
    codes = {name: state_codes(dict(said)) for name, said in graph.attrs.get("state_codes", ())}
    given, made = ({port.name: port for port in ports} for ports in (inputs, outputs))
    *fields, flag = unique_identifiers([*(given[name].field for name, _, _ in pairs), "now"])
    carried = []
    for (before, after, initial), field in zip(pairs, fields, strict=True):
        one = Carried(given[before], made[after], field, initial)
        if before in codes:
            at = _aligned(arena_bytes)
            behind = _aligned(at + 4 * one.given.item_elements)
            arena_bytes = behind + 4 * one.given.item_elements
            one = replace(one, codes=codes[before], given_at=at, made_at=behind)
        carried.append(one)
    befores, afters = {one.given.name for one in carried}, {one.made.name for one in carried}
    return StateStruct(
        tuple(carried),
        flag,
        arena_bytes,
        tuple(port for port in inputs if port.name not in befores),
        tuple(port for port in outputs if port.name not in afters),
    )


def _aligned(size: int) -> int:
    return -(-size // ALIGN_BYTES) * ALIGN_BYTES
