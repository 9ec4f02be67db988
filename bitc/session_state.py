"""What a network with states remembers between steps, from Python: memory of the library's own struct, read and set as arrays."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitc.errors import Diagnostic, OptionError
from bitc.state_codes import StateCodes, state_codes


@dataclass(frozen=True, slots=True)
class StateArg:
    """One state: the input it is given as (its name here), the output that carries it, shape and element type.

    ``codes``: how the struct keeps it where that is not as its elements.
    """

    name: str
    output: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    field: str
    codes: StateCodes | None = None

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
        """Set all states, as :meth:`arrays` gave them. Raises :class:`OptionError` for other names, types or shapes, and for values that
        a state kept in few bits does not take."""
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
            if arg.codes is not None and not np.array_equal(
                arg.codes.decoded(arg.codes.encoded(array), arg.shape), array
            ):
                rule = f"it is kept as {arg.codes}"
                raise OptionError(Diagnostic("O054", f"state {arg.name!r} takes no such values", rule=rule))
        with self.lock:
            for arg, array in given.items():
                if arg.codes is not None:
                    self._kept(arg)[...] = arg.codes.encoded(array)
                else:
                    self._view(arg)[...] = array

    def value(self, arg: StateArg) -> np.ndarray:
        """A copy of one state, for who holds ``lock``."""
        return self._view(arg).copy() if arg.codes is None else arg.codes.decoded(self._kept(arg), arg.shape)

    def _kept(self, arg: StateArg) -> np.ndarray:
        """The bytes of a state of few bits, in the struct itself."""
        return np.frombuffer(self._ffi.buffer(getattr(self.pointer, arg.field)), np.uint8)

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
            state_codes(entry) if entry.get("kept") in ("bits", "bytes") else None,
        )
        for entry in metadata.get("states", ())
    )


def no_states(network: str) -> OptionError:
    """Asked to step a network that has no states."""
    hint = "compile it with --state IN=OUT, or --state auto"
    return OptionError(Diagnostic("O055", f"{network} has no states", hint=hint))
