"""Networks by the batch: many in one file, examined together; one that spoils the file is taken out of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from bitc.fuzz.examine import Failure, Findings, Load, build_fast, examine
from bitc.fuzz.grammar import random_network, random_setting
from bitc.fuzz.network import Network, file_of

PER_FILE = 32
"""Networks of one C library: a library costs seconds whatever is in it."""


@dataclass(slots=True)
class Tally:
    """What was done. ``networks`` were compiled for every target and compared; the others were refused by bitc or by the oracle.
    ``kernels``: how many libraries of each target have a k op."""

    networks: int = 0
    nodes: int = 0
    outputs: int = 0
    exact: int = 0
    rounded: int = 0
    differing: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    invalid: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    kernels: dict[str, Counter[str]] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)


def networks_of_file(seed: int, index: int, count: int = PER_FILE) -> list[Network]:
    """The networks of file ``index`` of a run; the same ones each time."""
    choose = Random(f"bitc-fuzz {seed} {index}")
    setting = random_setting(choose)
    return [random_network(setting, choose, f"n{i}_") for i in range(count)]


def hunt(
    networks: Sequence[Network], targets: Sequence[str], tally: Tally, load: Load = build_fast
) -> Iterator[tuple[Network, Failure]]:
    """The failures of networks that share a setting, each with the network it belongs to; what was done is added to ``tally``."""
    feeds = {name: array for network in networks for name, array in network.feeds.items()}
    found = examine(file_of(networks), feeds, targets, load)
    if not found.compared and len(networks) > 1:
        for part in _parted(networks, found):
            yield from hunt(part, targets, tally, load)
        return
    _count(tally, networks, found)
    for network in networks:
        own = [failure for failure in found.failures if failure.output.startswith(network.prefix) or not failure.output]
        if own:
            tally.failed += 1
            yield network, own[0]


def _parted(networks: Sequence[Network], found: Findings) -> tuple[Sequence[Network], Sequence[Network]]:
    """The network that the complaint names and the others; halves where it names none."""
    said = " ".join((found.refused, found.invalid, *map(str, found.failures)))
    named = set(re.findall(r"\bn\d+_", said))
    spoilt = [network for network in networks if network.prefix in named]
    if len(spoilt) == 1:
        return spoilt, [network for network in networks if network.prefix not in named]
    middle = len(networks) // 2
    return networks[:middle], networks[middle:]


def _count(tally: Tally, networks: Sequence[Network], found: Findings) -> None:
    if found.refused or found.invalid:
        reasons = tally.refused if found.refused else tally.invalid
        reasons[_reason(found.refused or found.invalid)] += 1
        return
    if not found.compared:
        return
    tally.networks += len(networks)
    tally.nodes += sum(len(network.nodes) for network in networks)
    tally.outputs += sum(len(network.outputs) for network in networks)
    tally.exact += found.exact
    tally.rounded += found.rounded
    tally.differing += found.differing
    for target, names in found.kernels.items():
        tally.kernels.setdefault(target, Counter()).update(names)
    tally.operators.update(node.op_type for network in networks for node in network.nodes)


def _reason(message: str) -> str:
    """What a refusal says, without the names of a network and of a file."""
    said = " ".join(line.strip() for line in message.splitlines() if not line.strip().startswith("node "))
    return re.sub(r"\S*/fuzzed\.onnx|\bn\d+_\w+", "...", said)[:200]
