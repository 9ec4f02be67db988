"""What a network with states remembers between steps, from Python: memory of the library's own struct, read and set as arrays."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.errors import Diagnostic, OptionError


@dataclass(frozen=True, slots=True)
class StateArg:
    """One state: the input it is given as (its name here), the output that carries it, shape and element type."""

    name: str
    output: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    field: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{','.join(map(str, self.shape))}]"


class State:
    """The states of one sequence; :meth:`bitc.Session.new_state` makes them, :meth:`bitc.Session.step` moves them on.

    Several may be under way at the same time; steps of one state wait for one another.
    """

    def __init__(self, ffi: Any, library: Any, network: str, args: Sequence[StateArg]) -> None:
        self._ffi, self._init = ffi, getattr(library, f"{network}_init")
        self._args = tuple(args)
        self.pointer = ffi.new(f"{network}_state *")
        self._flag: str = ffi.typeof(self.pointer).item.fields[-1][0]
        self.lock = threading.Lock()
        self.reset()

    def __repr__(self) -> str:
        return f"State({', '.join(map(str, self._args))})"

    def reset(self) -> None:
        """Begin a sequence anew."""
        with self.lock:
            self._init(self.pointer)

    def arrays(self) -> dict[str, np.ndarray]:
        """The states by the names of their inputs, as copies: what ``numpy.savez`` takes, and :meth:`load` gives back."""
        with self.lock:
            return {arg.name: self.value(arg) for arg in self._args}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set all states, as :meth:`arrays` gave them. Raises :class:`OptionError` for other names, types or shapes."""
        if arrays.keys() != {arg.name for arg in self._args}:
            here = "given: " + ", ".join(sorted(arrays))
            hint = "states: " + ", ".join(map(str, self._args))
            raise OptionError(
                Diagnostic("O054", "the arrays are not those of this network's states", "", "", here, hint)
            )
        given = {arg: np.asarray(arrays[arg.name]) for arg in self._args}
        for arg, array in given.items():
            if (array.dtype, array.shape) != (arg.dtype, arg.shape):
                here = f"got {array.dtype}[{','.join(map(str, array.shape))}]"
                raise OptionError(
                    Diagnostic("O054", f"state {arg.name!r} does not fit", rule=f"expected {arg}", here=here)
                )
        with self.lock:
            for arg, array in given.items():
                self._view(arg)[...] = array

    def value(self, arg: StateArg) -> np.ndarray:
        """A copy of one state, for who holds ``lock``."""
        return self._view(arg).copy()

    def _view(self, arg: StateArg) -> np.ndarray:
        """The copy of a state that holds its value, in the struct itself."""
        both = np.frombuffer(self._ffi.buffer(getattr(self.pointer, arg.field)), arg.dtype).reshape(2, *arg.shape)
        view: np.ndarray = both[getattr(self.pointer, self._flag) & 1]
        return view


def state_args(metadata: Mapping[str, Any]) -> tuple[StateArg, ...]:
    """The states of a library by its manifest; none where it has none."""
    inputs = {entry["name"]: entry for entry in metadata["inputs"]}
    return tuple(
        StateArg(
            entry["input"],
            entry["output"],
            tuple(inputs[entry["input"]]["shape"]),
            np.dtype(inputs[entry["input"]]["dtype"]),
            entry["field"],
        )
        for entry in metadata.get("states", ())
    )


def no_states(network: str) -> OptionError:
    """Asked to step a network that has no states."""
    hint = "compile it with --state IN=OUT, or --state auto"
    return OptionError(Diagnostic("O055", f"{network} has no states", hint=hint))
