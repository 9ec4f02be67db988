"""Compile a network for a target and load it; ``avx512`` is emulated with SIMDe where the CPU lacks it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import bitc
from bitc.artifact import Artifact
from bitc.codegen.targets import supported_here, target
from bitc.session import Session
from bitc.toolchain import find_compiler
from tests.runtime import harness

TARGETS = ("portable", "avx2", "avx512")


@cache
def _scratch() -> Path:
    folder = tempfile.mkdtemp(prefix="bitc-networks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def built(model: Path, target_name: str) -> Session:
    """The network with default options, compiled once a test session (see :func:`build`), ``native`` as the target it is here."""
    return _built(model, target(target_name).name)


@cache
def _built(model: Path, target_name: str) -> Session:
    return build(model, target_name, _scratch() / model.stem)


def emulated(target_name: str) -> bool:
    """Whether ``target_name`` runs in emulation here, some hundred times slower."""
    return not supported_here(target(target_name))


def build(model: str | Path, target_name: str, folder: Path, **options: Any) -> Session:
    """The network as a session. Skips where the target can be neither run nor emulated, saying why."""
    if not emulated(target_name):
        return bitc.compile(model, target=target_name, out=folder / target_name, **options).session()
    reason = harness.why_not(target_name)
    if reason is not None:
        pytest.skip(reason)
    artifact = bitc.compile(model, target=target_name, out=folder / target_name, emit=("c",), **options)
    return emulated_session(artifact, "-O2")


def emulated_session(artifact: Artifact, optimise: str) -> Session:
    """The C of ``artifact`` built with SIMDe, which runs on any CPU."""
    flags = ("-std=c99", optimise, "-ffp-contract=off", *harness.emulation_flags(), "-fPIC", "-shared")
    files = ("-o", str(artifact.library), str(artifact.source), "-lm")
    subprocess.run([*find_compiler().command, *flags, *files], check=True)
    with mock.patch("bitc.session.cpu_features", return_value=frozenset(artifact.manifest["features"])):
        return artifact.session()


def outputs(session: Session, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs for all samples; a session with a fixed batch is run sample by sample."""
    free = not isinstance(session.get_inputs()[0].shape[0], int)
    if free:
        return session.run(None, dict(inputs))
    count = len(next(iter(inputs.values())))
    rows = [session.run(None, {name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def right_answers(logits: np.ndarray, labels: Sequence[int] | np.ndarray) -> int:
    """How many rows have their largest score at the label."""
    return int((logits.reshape(len(labels), -1).argmax(axis=1) == np.asarray(labels)).sum())
