"""One library for several targets of a kind of machine: each is a part with C files of its own, and a dispatcher picks one a call.

The dispatcher asks the CPU (CPUID, or the system's auxiliary vector) and the environment variable ``BITC_ISA``, keeps no state of its
own, and hands the call on. The arena is as large as the hungriest part needs; constants are those of all parts together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitc.codegen import names
from bitc.codegen.crew import POOLS
from bitc.codegen.generate import Generated, banner, characters, generate, rendered
from bitc.codegen.memory_plan import ALIGN_BYTES
from bitc.codegen.plan import Port
from bitc.codegen.state import state_struct
from bitc.codegen.targets import Family, Target
from bitc.ir import Graph
from bitc.version import __version__

_X86_NAMES = {"avx512_vpopcntdq": "avx512vpopcntdq", "avx512_vnni": "avx512vnni"}
"""What compilers call features in ``__builtin_cpu_supports``, where that is not what Linux calls them."""

_ARM_BITS = {"asimd": (16, 1), "asimddp": (16, 20), "i8mm": (26, 13)}
"""Features of 64-bit ARM: the entry of the auxiliary vector (16 is AT_HWCAP, 26 AT_HWCAP2) and the bit in it (Linux, asm/hwcap.h)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One target's share of the library: ``name`` starts its C names, ``condition`` is C, true where the CPU runs it, or empty."""

    target: Target
    name: str
    condition: str


@dataclass(frozen=True, slots=True)
class Facade:
    """What the templates of a library's header and README read of a plan."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    arena_bytes: int
    weight_bytes: int
    layers: Sequence[Mapping[str, object]]


def generate_family(
    graphs: Sequence[tuple[Target, Graph]],
    *,
    family: Family,
    name: str,
    options: Mapping[str, str],
    threads: int = 1,
    pool: str = "none",
) -> Generated:
    """The library ``name`` that holds each of ``graphs``, k graphs of one model for the targets of ``family``, the plainest first.

    Options are those of :func:`bitc.codegen.generate.generate`. The manifest's ``variants`` say what differs between the targets;
    ``layers`` and ``weight_bytes`` at its top are those of the last, and of all together. Raises :class:`UnsupportedError`.
    """
    library = names.library_name(name)
    parts = [Part(target, f"{library}_{target.name}", _condition(target)) for target, _ in graphs]
    made = [
        generate(graph, name=part.name, target=part.target, options=options, threads=threads, inner=True)
        for part, (_, graph) in zip(parts, graphs, strict=True)
    ]
    best = made[-1]
    manifest = _manifest(library, family, parts, made, pool)
    ports = best.program.inputs, best.program.outputs
    state = state_struct(graphs[-1][1], *ports, manifest["arena_bytes"])
    if state is not None:
        manifest |= {"states": state.manifest(), "arena_bytes": state.arena_bytes}
    facade = Facade(library, *ports, manifest["arena_bytes"], manifest["weight_bytes"], manifest["layers"])
    facts = {
        "p": facade,
        "s": state,
        "parts": list(reversed(parts)),
        "arm": any(part.target.features & _ARM_BITS.keys() for part in parts),
        "threads": threads,
        "pool": pool,
        "profile": False,
        "inner": False,
        "upper": library.upper(),
        "batch": manifest["batch"],
        "banner": banner(graphs[-1][1], family.name, family.description, options),
        "sha256": manifest["model"]["sha256"],
        "align": ALIGN_BYTES,
        "target": family,
        "metadata": list(characters(json.dumps(manifest, sort_keys=True))),
        "manifest": manifest,
    }
    texts = [text for one in made for text in one.files.items() if text[0].endswith((".c", ".h"))]
    templates = {
        f"{library}.h": "network.h.j2",
        f"{library}.c": "family.c.j2",
        "README.md": "README.md.j2",
        "CMakeLists.txt": "CMakeLists.txt.j2",
    }
    if pool != "none":
        templates[f"{library}_pool.h"] = f"pool_{pool}.h.j2"
    files = dict(texts) | {file: rendered(template, facts) for file, template in templates.items()}
    files["manifest.json"] = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    return Generated(files, manifest, manifest["arena_bytes"], manifest["weight_bytes"], best.program)


def _condition(target: Target) -> str:
    """C that is true where the CPU has what ``target`` needs; empty if that is nothing.

    >>> from bitc.codegen.targets import PORTABLE, AVX2, NEON_DOT
    >>> _condition(PORTABLE), _condition(NEON_DOT)
    ('', '(getauxval(16) >> 1 & 1) && (getauxval(16) >> 20 & 1)')
    """
    tests = []
    for feature in sorted(target.features):
        if feature in _ARM_BITS:
            entry, bit = _ARM_BITS[feature]
            tests.append(f"(getauxval({entry}) >> {bit} & 1)")
        else:
            tests.append(f'__builtin_cpu_supports("{_X86_NAMES.get(feature, feature)}")')
    return " && ".join(tests)


def _manifest(
    library: str, family: Family, parts: Sequence[Part], made: Sequence[Generated], pool: str
) -> dict[str, Any]:
    best = made[-1].manifest
    own = ("cflags", "features", "arena_bytes", "weight_bytes", "layers")
    variants = {
        part.target.name: {"part": part.name, **{key: one.manifest[key] for key in own}}
        for part, one in zip(parts, made, strict=True)
    }
    return (
        best
        | {
            "bitc": __version__,
            "target": family.name,
            "cflags": list(POOLS[pool]),
            "features": [],
            "name": library,
            "arena_bytes": max(one.arena_bytes for one in made),
            "weight_bytes": sum(one.weight_bytes for one in made),
            "outputs": [_loosest(ports) for ports in zip(*(one.manifest["outputs"] for one in made), strict=True)],
            "variants": variants,
        }
        | ({"threads": best["threads"] | {"pool": pool}} if "threads" in best else {})
    )


def _loosest(ports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One output under the contract that all parts keep."""
    contracts = [port["contract"] for port in ports]
    loosest = {
        "exact": all(c["exact"] for c in contracts),
        **{k: max(c[k] for c in contracts) for k in ("ulp", "floor")},
    }
    return {**ports[0], "contract": loosest}
