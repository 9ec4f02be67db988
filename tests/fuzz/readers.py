"""What reads untrusted bytes, for a coverage-guided fuzzer: the importer and the parser of the IR's text form.

``guided.py`` runs them under atheris; ``test_readers.py`` runs them on random mutations, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from bitc.errors import BitcError
from bitc.frontend import import_model
from bitc.fuzz import file_of, networks_of_file
from bitc.ir.parser import IrSyntaxError, parse_graph
from bitc.ir.printer import print_graph
from bitc.ir.verifier import verify

CORPUS = 12
WORDS = (
    *("graph @g(", "%x: f32[1,4]", ") -> (%y) {", "nn.conv", "nn.matmul", "q.encode", "q.conv", "nn.constant", "k.map"),
    *("{levels = {-1,1}}", "code<{-1,1} * 0.5>[1,4]", "mem<u64>[1,4]", "dense<f32[2]: 1.0, nan>", "{-128..127:2}"),
    *('loc("a")', 'origin("a")', "attrs {", "@nhwc", "pads = [1, 1, 1, 1]", "-inf", "1e400", '"\\u0000"', "// \n"),
)
"""The fuzzer's dictionary for the text form."""


def read_model(data: bytes) -> None:
    """Import ``data``; a refusal is an answer, and a graph that was imported verifies."""
    try:
        graph = import_model(data)
    except BitcError:
        return
    verify(graph)


def read_text(data: bytes) -> None:
    """Parse ``data``; what parses prints as a text that parses to the same text."""
    try:
        graph = parse_graph(data.decode("utf-8", "replace"))
    except IrSyntaxError:
        return
    constants: dict[str, np.ndarray] = {}
    text = print_graph(graph, constants)
    assert print_graph(parse_graph(text, constants), {}) == text


def models() -> list[bytes]:
    """Small files to mutate."""
    return [file_of(networks_of_file(1, i, 1)).SerializeToString(deterministic=True) for i in range(CORPUS)]


def texts() -> list[bytes]:
    """The imported graphs of :func:`models`, without what is too long to print inline."""
    return [print_graph(import_model(data), {}).encode() for data in models()]


READERS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "importer": (read_model, models),
    "parser": (read_text, texts),
}


def mutated(data: bytes, choose: Random) -> bytes:
    """``data`` with a few bytes changed, cut, doubled or replaced by words of the text form."""
    changed = bytearray(data)
    for _ in range(choose.randint(1, 6)):
        at = choose.randrange(len(changed) + 1)
        end = at + choose.choice([1, 1, 2, 4, 16])
        kind = choose.randrange(5)
        if kind == 0:
            changed[at:end] = choose.randbytes(end - at)
        elif kind == 1:
            del changed[at:end]
        elif kind == 2:
            changed[at:at] = changed[at:end]
        elif kind == 3:
            changed[at:at] = choose.choice(WORDS).encode()
        else:
            changed[at : at + 1] = bytes([choose.choice([0, 1, 0x7F, 0x80, 0xFF])])
    return bytes(changed)
