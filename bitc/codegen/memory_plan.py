"""Memory plan of a k graph: which values share memory, and where in the one arena each lies.

Takes a k graph (after ``fuse-rows`` or without it). Guarantees: two arena buffers that are alive at one moment do not overlap; every
offset is a multiple of :data:`ALIGN_BYTES`. A view and its operand are one buffer, ``k.fill_halo`` works in place, an elementwise
map takes over the memory of an operand that nobody reads after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from bitc.codegen.sharing import Share, scratch_rows
from bitc.ir import Graph, Op, Value
from bitc.ir.k_rows import inner_values
from bitc.ir.types import BufferType

ALIGN_BYTES = 64

Home = Literal["input", "output", "constant", "arena"]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a value lies: in the graph's input or output number ``place``, in the constants, or at offset ``place`` of the arena.

    Where each part of a shared step has its own, they lie ``stride`` bytes apart.
    """

    home: Home
    place: int
    stride: int = 0


@dataclass(slots=True)
class Block:
    """A buffer of the arena: bytes, and the first and last moment (op, counted through all bodies) it is alive."""

    name: str
    size_bytes: int
    first: int
    last: int
    offset: int = 0

    def overlaps_in_time(self, other: Block) -> bool:
        """Whether both are alive at some moment."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Storage of every value, inner values of ``k.rows`` included (they hold ``step`` rows); and what the plan achieved."""

    storage: dict[Value, Storage]
    blocks: tuple[Block, ...]
    arena_bytes: int
    sum_bytes: int
    """Bytes without sharing."""
    peak_bytes: int
    """The most that is alive at one moment: no plan can be smaller."""


@dataclass(slots=True)
class _Lives:
    """Values that share memory, by their root; of each root its bytes and the moments it is made and last read."""

    root: dict[Value, Value] = field(default_factory=dict)
    size: dict[Value, int] = field(default_factory=dict)
    first: dict[Value, int] = field(default_factory=dict)
    last: dict[Value, int] = field(default_factory=dict)
    maps: list[tuple[Op, int]] = field(default_factory=list)
    """All elementwise maps with their moments."""
    strides: dict[Value, int] = field(default_factory=dict)
    """Bytes of one part's own, of values that each part of a shared step has."""
    spans: dict[Value, tuple[int, int]] = field(default_factory=dict)
    """When the step begins and ends: parts do not keep pace with one another, so such values live through all of it."""

    sharers: dict[Value, list[Value]] = field(default_factory=dict)
    """For each root the values that lie in its memory."""

    def make(self, value: Value, size: int, moment: int) -> None:
        self.root[value] = value
        self.sharers[value] = [value]
        self.size[value], self.first[value], self.last[value] = size, moment, moment

    def make_for_parts(self, value: Value, size: int, parts: int, span: tuple[int, int]) -> None:
        """``value`` in as many copies of ``size`` bytes as a step has parts."""
        self.make(value, parts * _aligned(size), span[0])
        self.strides[value], self.spans[value] = _aligned(size), span

    def share(self, value: Value, other: Value) -> None:
        self.root[value] = self.root[other]
        self.sharers[self.root[other]].append(value)

    def read(self, value: Value, moment: int) -> None:
        root = self.root[value]
        self.last[root] = max(self.last[root], moment)

    def join(self, later: Value, earlier: Value) -> None:
        """Root ``later`` takes over the memory of root ``earlier``."""
        self.last[earlier] = self.last[later]
        moved = self.sharers.pop(later)
        self.root.update(dict.fromkeys(moved, earlier))
        self.sharers[earlier] += moved


def plan_memory(graph: Graph, guard_bytes: int = 0, shares: Mapping[Op, Share] | None = None) -> MemoryPlan:
    """The plan of ``graph``. ``guard_bytes`` leaves a gap after each buffer, which nothing may write (for tests).

    ``shares``: the ops that threads share. What stays inside one of them is there once for each part.
    """
    lives = _lifetimes(graph, shares or {}, guard_bytes)
    storage: dict[Value, Storage] = {value: Storage("input", i) for i, value in enumerate(graph.inputs)}
    for index, value in enumerate(graph.outputs):
        storage.setdefault(lives.root[value], Storage("output", index))
    for value in set(lives.root.values()):
        if value.constant is not None:
            storage[value] = Storage("constant", 0)
    for op, moment in lives.maps:
        _work_in_place(op, moment, lives, storage)
    for value, (first, last) in lives.spans.items():
        if lives.root[value] is value:
            lives.first[value], lives.last[value] = first, last
    blocks = {
        root: Block(root.name, _aligned(lives.size[root] + guard_bytes), lives.first[root], lives.last[root])
        for root in dict.fromkeys(lives.root.values())
        if root not in storage
    }
    arena_bytes = place(list(blocks.values()))
    storage |= {root: Storage("arena", block.offset, lives.strides.get(root, 0)) for root, block in blocks.items()}
    return MemoryPlan(
        {value: storage[root] for value, root in lives.root.items()},
        tuple(blocks.values()),
        arena_bytes,
        sum(block.size_bytes for block in blocks.values()),
        _peak(list(blocks.values())),
    )


def _aligned(size: int) -> int:
    return -(-size // ALIGN_BYTES) * ALIGN_BYTES


def _lifetimes(graph: Graph, shares: Mapping[Op, Share], guard_bytes: int) -> _Lives:
    lives = _Lives()
    for value in graph.inputs:
        lives.make(value, 0, 0)
    moment = 0
    for op in graph.ops:
        moment += 1
        if op in shares:
            _make_scratch(op, shares[op], lives, moment, guard_bytes)
        if op.name == "k.rows":
            moment = _rows_lifetimes(op, lives, moment)
        else:
            _op_lifetimes(op, lives, moment, {})
    for value in graph.outputs:
        lives.read(value, moment)
    return lives


def _make_scratch(op: Op, share: Share, lives: _Lives, moment: int, guard_bytes: int) -> None:
    """Make what each part of ``op`` needs for itself."""
    end = moment + (len(op.attrs["body"].ops) if op.name == "k.rows" else 0)
    for value, rows in scratch_rows(op, share).items():
        lives.make_for_parts(value, step_bytes(value, rows) + guard_bytes, share.parts, (moment, end))


def _op_lifetimes(op: Op, lives: _Lives, moment: int, sizes: dict[Value, int]) -> None:
    for operand in op.operands:
        lives.read(operand, moment)
    if op.name in ("k.view", "k.fill_halo"):
        lives.share(op.result, op.operands[0])
        return
    for result in op.results:
        if result not in lives.root:
            lives.make(result, sizes.get(result, 0 if result.constant is not None else _bytes(result)), moment)
    if op.name == "k.map":
        lives.maps.append((op, moment))


def _rows_lifetimes(op: Op, lives: _Lives, moment: int) -> int:
    """Lifetimes of a row region: what it reads and gives lives through all of it, what stays inside from op to op of one step."""
    body: Graph = op.attrs["body"]
    end = moment + len(body.ops)
    for value, operand in zip(body.inputs, op.operands, strict=True):
        lives.read(operand, end)
        lives.share(value, operand)
    for value, result in zip(body.outputs, op.results, strict=True):
        lives.make(result, _bytes(result), moment)
        lives.read(result, end)
        lives.share(value, result)
    sizes = {value: step_bytes(value, op.attrs["step"]) for value in inner_values(body)}
    for index, step in enumerate(body.ops):
        _op_lifetimes(step, lives, moment + index, sizes)
    return end


def _work_in_place(op: Op, moment: int, lives: _Lives, storage: dict[Value, Storage]) -> None:
    """Let results of a map take over operands that are read for the last time here, element for element of one dtype."""
    if any(any(halo) for halo in (*op.attrs["x_halos"], *op.attrs["halos"])):
        return
    roots = [lives.root[operand] for operand in op.operands]
    free = dict(zip(op.operands, roots, strict=True))
    for result in op.results:
        made = lives.root[result]
        if made in storage or lives.first[made] != moment:
            continue
        for operand, root in free.items():
            if lives.strides.get(root) != lives.strides.get(made):
                continue
            same_dtype = operand.type.dtype is result.type.dtype  # type: ignore[union-attr]
            ends_here = same_dtype and root not in storage and lives.last[root] == moment and roots.count(root) == 1
            if ends_here and lives.size[root] == lives.size[made] and operand.shape == result.shape:
                lives.join(made, root)
                del free[operand]
                break


def step_bytes(value: Value, step: int) -> int:
    """Bytes of ``step`` rows of an image buffer."""
    return _bytes(value) // (value.shape[0] * value.shape[1]) * step


def _bytes(value: Value) -> int:
    assert isinstance(value.type, BufferType)
    return value.type.bytes


_ORDERS: Sequence[Callable[[Block], tuple[int, ...]]] = (
    lambda b: (-b.size_bytes, b.first),
    lambda b: (b.first, -b.size_bytes),
    lambda b: (-(b.last - b.first), -b.size_bytes),
    lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first),
    lambda b: (-b.last, -b.size_bytes),
)


def place(blocks: list[Block]) -> int:
    """Give each block the lowest offset free during its life, in several orders; the best order stays. Returns the arena's bytes.

    >>> a, b, c = Block("a", 128, 0, 1), Block("b", 64, 1, 2), Block("c", 128, 2, 3)
    >>> place([a, b, c]), a.offset == c.offset
    (192, True)
    """
    best: tuple[int, list[int]] | None = None
    for order in _ORDERS:
        placed = _Calendar()
        for block in sorted(blocks, key=order):
            block.offset = _lowest_gap(block, placed.alive_with(block))
            placed.add(block)
        total = max((b.offset + b.size_bytes for b in blocks), default=0)
        if best is None or total < best[0]:
            best = total, [b.offset for b in blocks]
    assert best is not None
    for block, offset in zip(blocks, best[1], strict=True):
        block.offset = offset
    return best[0]


class _Calendar:
    """Blocks by the time they are alive, in bins of 1, 8, 64, ... moments: each lies in the smallest bin that holds its whole life."""

    _LEVELS = range(0, 33, 3)

    def __init__(self) -> None:
        self._bins: dict[tuple[int, int], list[Block]] = {}

    def add(self, block: Block) -> None:
        """Enter a block."""
        level = next(level for level in self._LEVELS if block.first >> level == block.last >> level)
        self._bins.setdefault((level, block.first >> level), []).append(block)

    def alive_with(self, block: Block) -> list[Block]:
        """The blocks that are alive at some moment of the life of ``block``."""
        bins = (
            self._bins.get((level, number), ())
            for level in self._LEVELS
            for number in range(block.first >> level, (block.last >> level) + 1)
        )
        return [other for entered in bins for other in entered if other.overlaps_in_time(block)]


def _lowest_gap(block: Block, alive: Sequence[Block]) -> int:
    offset = 0
    for other in sorted(alive, key=lambda b: b.offset):
        if other.offset - offset >= block.size_bytes:
            break
        offset = max(offset, other.offset + other.size_bytes)
    return offset


def _peak(blocks: Sequence[Block]) -> int:
    changes: dict[int, int] = {}
    for block in blocks:
        changes[block.first] = changes.get(block.first, 0) + block.size_bytes
        changes[block.last + 1] = changes.get(block.last + 1, 0) - block.size_bytes
    return max(accumulate(changes[moment] for moment in sorted(changes)), default=0)
