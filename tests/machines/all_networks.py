"""Every published network on every target of this machine and on every other machine: a table for docs/guarantees.md.

    python -m tests.machines.all_networks --shared ../shared
    python -m tests.machines.all_networks --shared ../shared --only resnet8 --machine s390x --samples 8

Exit code 1 if an output is not what it must be: see :mod:`tests.machines.agreement`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bitc.oracle import load_model, model_inputs
from tests.machines.agreement import Agreement, Case, agreement, compiled, prepare
from tests.machines.machines import AARCH64, MACHINES, build, run
from tests.networks import building
from tests.networks.published import PUBLISHED, QUANTIZED, Published
from tests.runtime import harness

X86 = ("avx2", "avx512")
ARM = ("neon", "neon_dot", "neon_i8mm")


def columns(chosen: str) -> list[str]:
    """Names of what is compared: targets of this machine, then other machines, for which portable is compiled, then targets of
    aarch64. Those that cannot be run here are left out."""
    here = [name for name in X86 if not building.emulated(name) or harness.why_not(name) is None]
    there = [machine.name for machine in MACHINES if machine.why_not() is None]
    return [name for name in (*here, *there, *(ARM if AARCH64.name in there else ())) if chosen in name]


def answers(case: Case, model: Path, column: str, folder: Path) -> Iterator[Sequence[np.ndarray]]:
    """The outputs of each item on ``column``."""
    machine = AARCH64 if column in ARM else next((m for m in MACHINES if m.name == column), None)
    if machine is not None:
        artifact = compiled(case, column if column in ARM else "portable")
        program = build(artifact, machine, 1)
        for inputs in case.inputs:
            yield run(program, artifact, machine, inputs, 1)
        return
    session = building.build(model, column, folder)
    names = [node.name for node in session.get_inputs()]
    for inputs in case.inputs:
        yield session.run(None, dict(zip(names, inputs, strict=True)))


def verdict(found: Sequence[Agreement]) -> str:
    """One cell: what is wrong, or how many elements of all items are not the oracle's bits, and not those of portable here."""
    complaints = [complaint for one in found for complaint in one.complaints]
    if complaints:
        return "WRONG: " + "; ".join(dict.fromkeys(complaints))
    elements, oracle, portable = (
        sum(getattr(one, name) for one in found) for name in ("elements", "unlike_oracle", "unlike_portable")
    )
    return "equal" if not oracle + portable else f"{oracle}, {portable} of {elements}"


def row(network: Published, shared: Path, names: Sequence[str], samples: int) -> list[str]:
    """The cells of a network."""
    model = shared / "models" / network.file
    feeds = {model_inputs(load_model(model))[0].name: network.samples(shared)[0]}
    with tempfile.TemporaryDirectory(prefix="bitc-machines-") as scratch:
        folder = Path(scratch)
        case = prepare(model, folder, feeds, samples)
        labels = network.right is not None and not network.close
        here = [agreement(case, i, outputs, labels) for i, outputs in enumerate(case.portable)]
        cells = [verdict(here)]
        for name in names:
            made = answers(case, model, name, folder / "here")
            cells.append(verdict([agreement(case, i, outputs, labels) for i, outputs in enumerate(made)]))
    return cells


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="the folder with models/ and data/")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--machine", default="", help="targets and machines whose name contains this")
    parser.add_argument("--samples", type=int, default=2, help="items of each network")
    given = parser.parse_args()
    names, wrong = columns(given.machine), 0
    networks = [network for network in (*PUBLISHED, *QUANTIZED) if given.only in str(network)]
    print(" | ".join(["| network", "portable", *names]) + " |", "---".join("|" * (len(names) + 3)), sep="\n")
    for network in networks:
        cells = row(network, given.shared, names, given.samples)
        wrong += sum(cell.startswith("WRONG") for cell in cells)
        print(" | ".join([f"| {network}", *cells]) + " |", flush=True)
    print(f"{len(networks)} networks, {given.samples} items each: {wrong} wrong")
    return bool(wrong) or not networks


if __name__ == "__main__":
    sys.exit(main())
