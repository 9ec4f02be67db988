"""``generate``: the text files of a self-contained C library, from a k graph.

Takes a k graph (after ``lower``, with or without ``fuse-rows``), gives header, source, kernels, weights, README and CMakeLists as
text. Guarantees: the same graph, name, target and options give the same bytes; the C is clean under
:data:`bitc.toolchain.STRICT_WARNINGS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bitc.codegen import names
from bitc.codegen.build import build_program
from bitc.codegen.crew import POOLS
from bitc.codegen.memory_plan import ALIGN_BYTES
from bitc.codegen.plan import Port, Program
from bitc.codegen.runtime_files import files_defining, pasted
from bitc.codegen.sharing import LEAST_NS, shares
from bitc.codegen.state import state_struct
from bitc.codegen.targets import Target
from bitc.ir import Graph
from bitc.version import __version__


@dataclass(frozen=True, slots=True)
class Generated:
    """Text files by name, the manifest (``manifest.json`` as data), bytes of the arena and of all constants, and the plan."""

    files: dict[str, str]
    manifest: dict[str, Any]
    arena_bytes: int
    weight_bytes: int
    program: Program


def generate(
    graph: Graph,
    *,
    name: str,
    target: Target,
    options: Mapping[str, str],
    guard_bytes: int = 0,
    profile: bool = False,
    threads: int = 1,
    pool: str = "none",
    least_ns: float = LEAST_NS,
    inner: bool = False,
) -> Generated:
    """The library ``name`` (made a C identifier) for ``graph`` on ``target``.

    ``options`` go into the banner. ``graph.attrs`` may hold ``batch`` (the symbol of a free batch dimension; the graph is then for one
    item), ``model_name``, ``model_sha256``, ``states``, ``layer_contracts`` and ``output_contracts`` (see ``state-contracts``).
    ``guard_bytes`` leaves gaps between buffers (for tests). ``profile`` adds ``<name>_run_profiled``, which times each layer, and the
    manifest's ``profile``: how many calls of each layer it times in a run of one item.
    ``threads``: how many may share the steps that take long enough (parts of ``least_ns`` nanoseconds at least); ``pool``: which of
    :data:`bitc.codegen.crew.POOLS` comes with them. ``inner``: it is a part of a library (:mod:`bitc.codegen.families`), seen by that
    alone. Raises :class:`UnsupportedError`.
    """
    shared = shares(graph, threads, target.isa, least_ns)
    program = build_program(graph, names.library_name(name), target, guard_bytes, shared)
    state = None if inner else state_struct(graph, program.inputs, program.outputs, program.arena_bytes)
    if state is not None:
        program.arena_bytes = state.arena_bytes
    manifest = _manifest(graph, program, target, pool)
    if state is not None:
        manifest["states"] = state.manifest()
    if profile:
        manifest["profile"] = {"laps": program.laps()}
    if threads > 1:
        manifest["threads"] = {"most": threads, "pool": pool}
    facts = {
        "threads": threads,
        "pool": pool,
        "p": program,
        "s": state,
        "profile": profile,
        "inner": inner,
        "parts": (),
        "upper": program.name.upper(),
        "batch": graph.attrs.get("batch") or None,
        "banner": banner(graph, target.name, target.description, options),
        "sha256": manifest["model"]["sha256"],
        "align": ALIGN_BYTES,
        "target": target,
        "kernels": pasted(files_defining(program.functions())),
        "metadata": list(characters(json.dumps(manifest, sort_keys=True))),
        "manifest": manifest,
    }
    files = {
        file: rendered(template, facts)
        for template, file in (
            ("network.h.j2", f"{program.name}.h"),
            ("network.c.j2", f"{program.name}.c"),
            ("kernels.h.j2", f"{program.name}_kernels.h"),
            ("weights.h.j2", f"{program.name}_weights.h"),
            ("README.md.j2", "README.md"),
            ("CMakeLists.txt.j2", "CMakeLists.txt"),
        )
    }
    if pool != "none":
        files[f"{program.name}_pool.h"] = rendered(f"pool_{pool}.h.j2", facts)
    files["manifest.json"] = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    return Generated(files, manifest, program.arena_bytes, program.weight_bytes, program)


def rendered(template: str, facts: Mapping[str, Any]) -> str:
    """The text of a template; a fact it asks for that is not given is an error."""
    return _environment().get_template(template).render(facts)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bitc.codegen"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters["comment"] = names.comment
    environment.filters["prose"] = names.prose
    return environment


def banner(graph: Graph, target: str, description: str, options: Mapping[str, str]) -> list[str]:
    """The lines that begin each file, as comments."""
    chosen = ", ".join(f"{key}={value}" for key, value in sorted(options.items())) or "none"
    lines = [
        f"Made by bitc {__version__} from {graph.attrs.get('model_name', graph.name)}.",
        f"Model sha256: {graph.attrs.get('model_sha256', 'unknown')}",
        f"Target: {target} ({description})",
        f"Options: {chosen}",
    ]
    return [names.comment(line) for line in lines]


def _manifest(graph: Graph, program: Program, target: Target, pool: str) -> dict[str, Any]:
    batch = graph.attrs.get("batch") or None
    contracts = {
        name: {"exact": exact, "ulp": ulp, "floor": floor}
        for name, exact, ulp, floor in graph.attrs.get("output_contracts", ())
    }
    sha256 = graph.attrs.get("model_sha256", "unknown")
    unstated = {"exact": True, "ulp": 0.0, "floor": 0.0}

    def port(p: Port) -> dict[str, Any]:
        shape: list[Any] = list(p.shape)
        if batch is not None:
            shape[0] = batch
        return {"name": p.name, "field": p.field, "dtype": p.dtype.numpy.name, "shape": shape}

    return {
        "bitc": __version__,
        "target": target.name,
        "cflags": [*target.cflags, *POOLS[pool]],
        "features": sorted(target.features),
        "name": program.name,
        "model": {"name": graph.attrs.get("model_name", graph.name), "sha256": sha256},
        "batch": batch,
        "arena_bytes": program.arena_bytes,
        "weight_bytes": program.weight_bytes,
        "inputs": [port(p) for p in program.inputs],
        "outputs": [{**port(p), "contract": contracts.get(p.name, unstated)} for p in program.outputs],
        "layers": program.layers,
    }


def characters(text: str) -> Iterator[str]:
    """ASCII ``text`` as lines of an array initialiser: C99 promises no more than 4095 characters in a string literal."""
    codes = [*text.encode("ascii"), 0]
    for start in range(0, len(codes), 28):
        yield ", ".join(map(str, codes[start : start + 28])) + ","
