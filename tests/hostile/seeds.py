"""Sound models to damage: every operator's test case, the quirks of exporters, random quantized networks, the trained digits."""

from __future__ import annotations

import warnings
from functools import cache
from random import Random

import onnx
from frontend.cases import Case
from frontend.cases_compute import COMPUTE
from frontend.cases_functions import FUNCTION_CASES
from frontend.cases_images import IMAGE_CASES
from frontend.cases_lookups import LOOKUP_CASES
from frontend.cases_move import MOVE
from frontend.oracle import model
from frontend.quirks_exporters import EXPORTERS
from frontend.quirks_numbered import NUMBERED

from tests.conftest import REPOSITORY
from tests.networks.random_models import random_network

RANDOM_NETWORKS = 60


@cache
def operators() -> tuple[bytes, ...]:
    """One model for each case of an operator, in its newest opset."""
    cases: list[Case] = COMPUTE + MOVE + FUNCTION_CASES + IMAGE_CASES + LOOKUP_CASES
    protos = (model(c.nodes, c.inputs, c.constants, c.outputs, max(c.opsets)) for c in cases)
    return tuple(proto.SerializeToString(deterministic=True) for proto in protos)


@cache
def networks() -> tuple[bytes, ...]:
    """Quantized networks of several layers, and what exporters make of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # qonnx and onnx warn of odd files while they are made
        protos = [row.model for row in NUMBERED + EXPORTERS]
        protos += [random_network(Random(number)).net.model() for number in range(RANDOM_NETWORKS)]
    return tuple(proto.SerializeToString(deterministic=True) for proto in protos)


@cache
def digits() -> tuple[bytes, ...]:
    """The trained networks of ``models/``."""
    return tuple(path.read_bytes() for path in sorted((REPOSITORY / "models").glob("*.onnx")))


def chosen(choose: Random) -> bytes:
    """A seed: mostly a network, often an operator, now and then a trained one."""
    (pool,) = choose.choices((networks(), operators(), digits()), weights=(10, 7, 1))
    return choose.choice(pool)


def parsed(data: bytes) -> onnx.ModelProto:
    """The seed as a message."""
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    return proto
