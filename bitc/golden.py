"""Golden folders: a model, inputs, and what the oracle computed for them, kept so that a later compiler can be held to it.

``record`` writes one, ``replay`` compiles the model anew and compares. A golden is never approved by bitc itself: the expected
outputs come from the oracle, and recording fails where the compiled network does not agree with it.

Layout: ``golden.json`` (model, options, oracle, contracts), ``inputs.npz`` and ``expected.npz`` (one entry a tensor, with a
leading axis of cases), and ``model.onnx`` unless the model is large or has external data; then its relative path is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

import bitc
from bitc.arrays import arrays_as_bytes, load_arrays
from bitc.compare import Contract, first_difference
from bitc.errors import CheckFailed, Diagnostic, OptionError
from bitc.folders import whole_folder, write_output
from bitc.oracle import Arrays, load_model, model_inputs, oracle_for, random_cases, split_cases, stacked, unstacked
from bitc.promises import parse_values, values_text
from bitc.states import states_of

if TYPE_CHECKING:
    from bitc.compiler import Options

MANIFEST = "golden.json"
COPIED_BYTES = 16 << 20
"""Models up to this size are copied into the golden folder."""


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """A golden that passed: how many cases and output elements were compared, and under which contract each output."""

    directory: Path
    cases: int
    elements: int
    contracts: Mapping[str, Contract]


def record(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    target: str = "native",
    n: int = 8,
    seed: int = 0,
    inputs: Mapping[str, np.ndarray] | None = None,
    options: Options | None = None,
) -> GoldenResult:
    """Write the golden folder ``out`` for ``model`` on ``inputs``, or on ``n`` random samples from ``seed``.

    ``options`` is a :class:`bitc.compiler.Options`; it is stored. Raises :class:`CheckFailed` if the compiled network breaks its
    contract, :class:`OptionError` if ``out`` is in use by something else, and what compiling raises.
    """
    from bitc.compiler import Options

    path, folder = Path(model), Path(out).absolute()
    options = options if options is not None else Options()
    _check_free(folder)
    parsed = load_model(path)
    wanted = model_inputs(parsed, states_of(path, options.states))
    if inputs is None:
        cases = random_cases(wanted, n, seed, options.dims, options.values)
    else:
        cases = split_cases(wanted, inputs)
    oracle = oracle_for(path, parsed)
    expected = [oracle.run(case) for case in cases]
    contracts = _compare(path, target, options, cases, expected, {}, str(path))
    description = {
        "bitc": bitc.__version__,
        "model": {"file": "model.onnx", "sha256": _sha256(path)},
        "options": _options_json(options),
        "oracle": oracle.name,
        "seed": seed if inputs is None else None,
        "contracts": {name: asdict(contract) for name, contract in contracts.items()},
    }
    _write(folder, path, description, cases, expected)
    return _result(folder, expected, contracts)


def replay(directory: str | os.PathLike[str], *, target: str = "native") -> GoldenResult:
    """Compile the golden's model again and compare every output. Raises :class:`CheckFailed` with the first difference."""
    folder = Path(directory)
    description = _describe(folder)
    path = folder / description["model"]["file"]
    if not path.is_file():
        raise _broken(folder, f"its model {path} is missing")
    if _sha256(path) != description["model"]["sha256"]:
        raise CheckFailed(
            Diagnostic(
                "G002", f"the model of {folder} has changed since it was recorded", hint="record the golden again"
            )
        )
    cases, expected = (unstacked(load_arrays(folder / name)) for name in ("inputs.npz", "expected.npz"))
    stored = {name: Contract(**contract) for name, contract in description["contracts"].items()}
    _compare(path, target, _options_of(description["options"]), cases, expected, stored, str(folder))
    return _result(folder, expected, stored)


def _compare(
    model: Path,
    target: str,
    options: Options,
    cases: list[Arrays],
    expected: list[Arrays],
    contracts: Mapping[str, Contract],
    what: str,
) -> dict[str, Contract]:
    """The contracts used: those given, or the artefact's own. Raises :class:`CheckFailed` with the first difference of each output."""
    from bitc.compiler import compile

    with tempfile.TemporaryDirectory(prefix="bitc-golden-") as scratch:
        artifact = compile(model, target=target, out=Path(scratch) / "model", **options.as_arguments())
        used = dict(contracts) or {entry["name"]: Contract.of(entry) for entry in artifact.manifest["outputs"]}
        session = artifact.session()
        found = {}
        for number, (case, truth) in enumerate(zip(cases, expected, strict=True)):
            outputs = dict(zip((arg.name for arg in session.get_outputs()), session.run(None, case), strict=True))
            for name, contract in used.items():
                difference = first_difference(name, truth[name], outputs[name], contract)
                if difference is not None and name not in found:
                    found[name] = Diagnostic(
                        "G001", f"{what} differs from its oracle", f"case {number}", here=str(difference)
                    )
    if found:
        raise CheckFailed(*found.values())
    return used


def _write(
    folder: Path,
    model: Path,
    description: dict[str, Any],
    cases: list[Arrays],
    expected: list[Arrays],
) -> None:
    with whole_folder(folder, _check_free) as made:
        if model.stat().st_size <= COPIED_BYTES and not _has_external_data(model):
            shutil.copyfile(model, made / "model.onnx")
        else:
            description["model"]["file"] = os.path.relpath(model.absolute(), folder)
        (made / MANIFEST).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        save_arrays(made / "inputs.npz", stacked(cases))
        save_arrays(made / "expected.npz", stacked(expected))


def _has_external_data(model: Path) -> bool:
    """Whether tensors lie in other files. Asked of the file: loading with the data replaces the references."""
    return any(map(uses_external_data, onnx.load(str(model), load_external_data=False).graph.initializer))


def _check_free(folder: Path) -> None:
    if folder.exists() and not (folder / MANIFEST).is_file() and (folder.is_file() or any(folder.iterdir())):
        hint = "choose a folder that is new, empty or an older golden"
        raise OptionError(
            Diagnostic("O070", f"{folder} would be overwritten", here="it is not a golden folder", hint=hint)
        )


def _describe(folder: Path) -> dict[str, Any]:
    try:
        description = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise _broken(folder, f"no {MANIFEST} in it") from error
    except ValueError as error:
        raise _broken(folder, f"{MANIFEST}: {error}") from error
    assert isinstance(description, dict)
    return description


def _broken(folder: Path, here: str) -> OptionError:
    hint = "give a folder that `bitc golden record MODEL -o DIR` wrote"
    return OptionError(Diagnostic("O071", f"{folder} is not a golden folder", here=here, hint=hint))


def _options_json(options: Options) -> dict[str, Any]:
    stored = {
        "dims": dict(options.dims),
        "sign_zero": options.sign_zero,
        "mst": options.mst,
        "pipeline": options.pipeline,
        **({"states": options.states} if options.states else {}),
        **({"small_weights": options.small_weights} if options.small_weights else {}),
    }
    return stored | {"values": {name: values_text(values) for name, values in options.values.items()}}


def _options_of(stored: Mapping[str, Any]) -> Options:
    from bitc.compiler import Options

    return Options(**{**stored, "values": {name: parse_values(text) for name, text in stored["values"].items()}})


def _result(folder: Path, expected: list[Arrays], contracts: Mapping[str, Contract]) -> GoldenResult:
    elements = sum(array.size for case in expected for array in case.values())
    return GoldenResult(folder, len(expected), elements, contracts)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """``arrays`` as the file ``path``, byte-identical for the same arrays. Raises :class:`OptionError` if it cannot be written."""
    write_output(path, arrays_as_bytes(arrays))
