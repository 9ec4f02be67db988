"""The node tests of ``onnx.backend.test``: what each of them comes to, and the page that says so.

Each test is a file of one operator (or of the operators its definition expands to) with inputs and expected outputs, compared as the
suite does. ``python tests/backend/node_suite.py`` runs all of them and writes docs/backend-score.md; the tests demand that each comes to
what the page says.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from bitc import backend
from bitc.errors import Diagnostic

PAGE = Path(__file__).resolve().parents[2] / "docs" / "backend-score.md"
SUITE = "1.19"
PASSED, LATE, NOTHING_LEFT, DISPUTED = (
    "passed",
    "passed, compiled when first run",
    "passed, nothing left to run",
    "as onnxruntime, not as the test",
)
DISPUTES = {
    **dict.fromkeys(
        [f"test_qlinearmatmul_{dims}_int8_{scale}" for dims in ("2D", "3D") for scale in ("float16", "float32")],
        "int8 wraps around in the test; the operator's text, like onnxruntime, saturates",
    ),
    **dict.fromkeys(
        [f"test_resize_downsample_scales_{mode}_align_corners" for mode in ("linear", "cubic")],
        "corners are those of the resized image; in the test, those of an image of a fractional size",
    ),
    "test_maxunpool_export_with_output_shape": "indices count in the larger image; in the test, in the smaller one",
    "test_l2normalization_axis_0": "a norm of 0 gives 0; in the test, 0 / 0",
}
"""Tests in which onnxruntime gives another answer than the test expects; bitc gives onnxruntime's, which :func:`run` makes sure of."""
QUICK = ("-O0",)
"""Flags for the C compiler: the networks are tiny and run once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test came to: one of the kinds above, or the reason of a refusal."""

    name: str
    result: str


def cases() -> list[TestCase]:
    """All node tests by name."""
    return sorted(load_model_tests(kind="node"), key=lambda case: str(case.name))


def shard(number: int, of: int) -> list[TestCase]:
    """Every ``of``-th test, beginning with ``number``."""
    return cases()[number::of]


def run(case: TestCase) -> Outcome:
    """Compile and run one test. Raises ``AssertionError`` for a wrong answer, and whatever is no refusal."""
    folder = Path(str(case.model_dir))
    model = onnx.load(folder / "model.onnx")
    try:
        compiled = backend.prepare(model, c_flags=QUICK)
        for data in sorted(folder.glob("test_data_set*")):
            inputs = _tensors(data, "input", model.graph.input)
            expected = _tensors(data, "output", model.graph.output)
            found = compiled.run(inputs)
            disputed = case.name in DISPUTES
            wanted = _by_onnxruntime(model, inputs) if disputed else expected
            Runner.assert_similar_outputs(wanted, found, rtol=case.rtol, atol=case.atol, model_dir=str(folder))
            if disputed:
                return Outcome(case.name, DISPUTED)
    except backend.NotCompiled as refusal:
        return Outcome(case.name, reason(refusal.diagnostics[0]))
    if compiled.session is not None:
        return Outcome(case.name, PASSED)
    return Outcome(case.name, NOTHING_LEFT if len(compiled.fixed) == len(model.graph.input) else LATE)


def _by_onnxruntime(model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in model.graph.input]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def reason(diagnostic: Diagnostic) -> str:
    """A refusal in one line, without what differs from one tensor to the next."""
    title = re.sub(r"(?<=dimension )'[^']*'|(?<=output )'[^']*'", "", diagnostic.title).replace("  ", " ")
    kind = diagnostic.here if diagnostic.code == "U004" and "[" not in diagnostic.here else ""
    return ": ".join(filter(None, (f"{diagnostic.code} {title}", diagnostic.rule, kind)))


def _tensors(folder: Path, kind: str, described: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    """The arrays ``input_0.pb``, ``input_1.pb`` ... of a test; None for what is no tensor, which bitc refuses before."""
    found: list[Any] = []
    for index in range(len(list(folder.glob(f"{kind}_*.pb")))):
        data = (folder / f"{kind}_{index}.pb").read_bytes()
        is_tensor = described[index].type.HasField("tensor_type")
        found.append(numpy_helper.to_array(onnx.TensorProto.FromString(data)) if is_tensor else None)
    return found


def check(case: TestCase) -> None:
    """The test comes to what the page says."""
    expected = recorded().get(case.name)
    found = run(case).result
    assert found == expected, f"the page says {expected!r}; run {Path(__file__).name} if the change is meant"


def write_page(outcomes: Iterable[Outcome]) -> str:
    """docs/backend-score.md."""
    results = {outcome.name: outcome.result for outcome in outcomes}
    counts = Counter(result for result in results.values() if result in (PASSED, LATE, NOTHING_LEFT, DISPUTED))
    refused = len(results) - counts.total()
    passed = counts[PASSED] + counts[LATE] + counts[NOTHING_LEFT]
    lines = [
        "# Score in onnx.backend.test",
        "",
        "<!-- Written by tests/backend/node_suite.py; do not edit. -->",
        "",
        f"`bitc.backend` is the interface of `onnx.backend.base`. Of the {len(results):,} node tests of onnx {SUITE}",
        f"**{passed:,} pass**, {refused:,} are refused for the reason below, and {counts[DISPUTED]} give what onnxruntime gives, which",
        "is not what the test expects. Target portable; the suite's own tolerances.",
        "",
        "```python",
        "import bitc.backend",
        "",
        "outputs = bitc.backend.prepare(model).run(inputs)  # a ModelProto; arrays in the order of its inputs",
        "```",
        "",
        "| | tests |",
        "|---|---|",
        f"| {PASSED}: compiled ahead of time, run on the test's inputs | {counts[PASSED]:,} |",
        f"| {LATE}: an input of the test is a shape, axes or the like, or a shape is open | {counts[LATE]:,} |",
        f"| {NOTHING_LEFT}: all inputs of the test are such inputs | {counts[NOTHING_LEFT]:,} |",
        f"| refused | {refused:,} |",
        f"| {DISPUTED} | {counts[DISPUTED]:,} |",
    ]
    groups: dict[str, list[str]] = defaultdict(list)
    for name, result in sorted(results.items()):
        groups[result].append(name.removeprefix("test_"))
    reasons = sorted(groups.keys() - {PASSED, LATE, NOTHING_LEFT, DISPUTED}, key=lambda key: (-len(groups[key]), key))
    lines += ["", "## Refused", "", "| reason | | tests |", "|---|---|---|"]
    lines += [_row(key, groups[key]) for key in reasons]
    lines += ["", "## Passed, but not ahead of time; disputed", "", "| | | tests |", "|---|---|---|"]
    lines += [_row(key, groups[key]) for key in (LATE, NOTHING_LEFT, DISPUTED) if key in groups]
    lines += ["", "| disputed test | onnxruntime and bitc |", "|---|---|"]
    lines += [f"| {name.removeprefix('test_')} | {DISPUTES[name]} |" for name in sorted(DISPUTES)]
    return "\n".join(lines) + "\n"


def _row(title: str, names: Sequence[str]) -> str:
    return f"| {title.replace('|', chr(92) + '|')} | {len(names)} | {' '.join(names)} |"


@cache
def recorded() -> Mapping[str, str]:
    """By name what each test comes to, read from the page."""
    results = dict.fromkeys((case.name for case in cases()), PASSED)
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| (.+) \| (\d+) \| (\S+( \S+)*) \|", line)
        if row:
            results.update((f"test_{name}", row[1].replace("\\|", "|")) for name in row[3].split())
    return results


def _outcome_or_failure(case: TestCase) -> Outcome | str:
    try:
        return run(case)
    except Exception as failure:  # a wrong answer or a bug, to be listed with the others
        return f"{case.name}: {type(failure).__name__}: {failure}"


def main() -> None:
    """Run the suite on all CPUs and write the page; with a wrong answer or a bug, list them and write nothing."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_outcome_or_failure, cases(), chunksize=8))
    failures = [item for item in found if isinstance(item, str)]
    if failures:
        raise SystemExit("\n".join(failures))
    PAGE.write_text(write_page(item for item in found if isinstance(item, Outcome)), encoding="utf-8")


if __name__ == "__main__":
    main()
