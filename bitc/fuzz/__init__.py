"""A fuzzer of networks: random quantized graphs, compiled for every target of this machine and held to what their file allows.

A *network* is one connected random graph with inputs and outputs of its own. Many share an ONNX file, so that one C library holds
them; see :mod:`bitc.fuzz.grammar` for what they are made of and :mod:`bitc.fuzz.examine` for what counts as a failure.
``python -m bitc.fuzz`` runs it.
"""

from bitc.fuzz.examine import Failure, Findings, examine
from bitc.fuzz.hunt import Tally, hunt, networks_of_file
from bitc.fuzz.network import Network, file_of
from bitc.fuzz.shrink import Case, shrink

__all__ = [
    "Case",
    "Failure",
    "Findings",
    "Network",
    "Tally",
    "examine",
    "file_of",
    "hunt",
    "networks_of_file",
    "shrink",
]
