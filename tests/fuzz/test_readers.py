"""The importer and the parser of the IR on mutated files: an answer or a refusal, never another exception."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from fuzz.readers import READERS, mutated

MUTATIONS = 250


@pytest.mark.parametrize("name", READERS)
def test_what_is_mutated_is_refused_or_read(name: str) -> None:
    read, corpus = READERS[name]
    choose, files = Random(0), corpus()
    for data in files:
        read(data)
    for _ in range(MUTATIONS):
        read(mutated(choose.choice(files), choose))


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("name", READERS)
def test_guided_by_coverage(name: str) -> None:
    """A few seconds: that the harness works."""
    command = [sys.executable, str(Path(__file__).with_name("guided.py")), name, "5"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
