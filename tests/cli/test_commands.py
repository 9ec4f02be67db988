"""The command line: arguments, exit codes, and what is said on errors. The compiler behind it is a stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from cli.toy import FakeCompiler
from session import abi

from bitc.artifact import write_artifact
from bitc.cli import main
from bitc.errors import Diagnostic, UnsupportedError
from bitc.limits import Limits
from bitc.toolchain import Compiler

Capture = pytest.CaptureFixture[str]


def test_compile_passes_every_option_on(fake: FakeCompiler, tmp_path: Path, capsys: Capture) -> None:
    arguments = [
        "compile",
        "net.onnx",
        "-o",
        str(tmp_path / "out"),
        "--target",
        "portable",
        "--name",
        "n",
        "--emit",
        "c",
    ]
    arguments += [
        "--dim",
        "N=1",
        "--dim",
        "seq=16",
        "--values",
        "x={-1,1}",
        "--values",
        "b.0={0..3}",
        "--sign-zero",
        "plus",
        "--mst",
        "on",
    ]
    arguments += ["--limit", "nodes=70", "--limit", "rank=5", "--threads", "3", "--pool", "openmp"]
    arguments += ["--tune", "--tuning", "times.json", "--state", "h=h_out", "--state", "auto"]
    arguments += ["--calibrate", "samples.npz", "--small-weights", "4096"]
    assert main([*arguments, "--pipeline", "a,b{c=1}", "--time-passes"]) == 0
    (call,) = fake.calls
    del call["trace"]
    assert call == {
        "path": Path("net.onnx"),
        "out": tmp_path / "out",
        "emit": ["c"],
        "target": "portable",
        "name": "n",
        "threads": 3,
        "pool": "openmp",
        "tune": True,
        "tuning": "times.json",
        "dims": {"N": 1, "seq": 16},
        "values": {"x": (-1.0, 1.0), "b.0": range(4)},
        "sign_zero": "plus",
        "mst": "on",
        "states": "h=h_out,auto",
        "calibrate": "samples.npz",
        "small_weights": 4096,
        "pipeline": "a,b{c=1}",
        "limits": Limits(nodes=70, rank=5),
    }
    printed = capsys.readouterr().out
    assert "products 1: 1 as float32" in printed
    assert "arena    128 bytes" in printed
    assert "total" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dim", "N"], "cannot read --dim 'N'"),
        (["--dim", "N=0"], "a dimension cannot be '0'"),
        (["--dim", "N=1", "--dim", "N=2"], "--dim is given twice for 'N'"),
        (["--values", "x=-1,1"], "cannot read the values '-1,1'"),
        (["--values", "x={a}"], "its members are not numbers"),
        (["--values", "x={3..1}"], "the range is empty"),
        (["--emit", "exe"], "cannot emit 'exe'"),
        (["--sign-zero", "maybe"], "maybe"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_wrong_usage_is_exit_code_2(arguments: list[str], message: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["compile", "net.onnx", "-o", str(tmp_path / "out"), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_every_unsupported_node_is_named_and_the_exit_code_is_3(fake: FakeCompiler, capsys: Capture) -> None:
    nodes = [
        Diagnostic("U014", f"LSTM 'cell{i}' cannot be compiled", here="opset 13", hint="unroll it") for i in range(2)
    ]
    fake.error = UnsupportedError(*nodes)
    assert main(["compile", "net.onnx"]) == 3
    printed = capsys.readouterr().err
    assert "error[U014]: LSTM 'cell0' cannot be compiled\n  here:  opset 13\n  hint:  unroll it" in printed
    assert "LSTM 'cell1'" in printed


def test_a_missing_compiler_is_exit_code_4(
    fake: FakeCompiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("CC", "absent-cc")
    assert main(["compile", "net.onnx", "-o", str(tmp_path / "out")]) == 4
    assert "there is no C compiler" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bug_is_exit_code_70_with_a_report(
    fake: FakeCompiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    fake.error = KeyError("lost value")
    assert main(["compile", "net.onnx"]) == 70
    printed = capsys.readouterr().err
    assert "internal error: KeyError: 'lost value'" in printed
    (report,) = tmp_path.glob("bitc-crash-*/report.txt")
    assert str(report) in printed
    text = report.read_text()
    assert text.startswith("bitc compile net.onnx\nbitc ")
    assert "Traceback" in text


def test_json_errors(fake: FakeCompiler, capsys: Capture) -> None:
    fake.error = UnsupportedError(Diagnostic("U001", "no LSTM", hint="unroll it"))
    assert main(["inspect", "net.onnx", "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 3
    assert error["diagnostics"][0]["code"] == "U001"
    assert error["diagnostics"][0]["hint"] == "unroll it"


def test_inspect_shows_each_layer_and_why(fake: FakeCompiler, tmp_path: Path, capsys: Capture) -> None:
    assert main(["inspect", "net.onnx"]) == 0
    from_model = capsys.readouterr().out
    write_artifact(tmp_path / "toy", "toy", abi.texts(), emit=["c"])
    assert main(["inspect", str(tmp_path / "toy")]) == 0
    assert capsys.readouterr().out == from_model
    assert "sum3" in from_model
    assert "input x is float32" in from_model
    assert main(["inspect", str(tmp_path / "toy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == abi.METADATA
    assert main(["inspect", str(tmp_path)]) == 2


@pytest.fixture
def network(tmp_path: Path, compiler: Compiler) -> Path:
    """The toy, built."""
    return write_artifact(tmp_path / "toy", "toy", abi.texts()).directory


def test_run_reads_and_writes_arrays(network: Path, tmp_path: Path, capsys: Capture) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    np.savez(tmp_path / "more.npz", bias=np.array([4], np.int8))
    inputs = ["--input", f"x=@{tmp_path}/x.npy", "--input", f"b.0=@{tmp_path}/more.npz:bias"]
    assert main(["run", str(network), *inputs]) == 0
    assert "y: float32[2]\n[7. 7.]" in capsys.readouterr().out
    assert main(["run", str(network), *inputs, "-o", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as stored:
        assert {name: stored[name].tolist() for name in stored} == {"y": [7.0, 7.0], "z": [1, 1]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "x=1"], "cannot read the array '1'"),
        (["--input", "x=@absent.npy"], "cannot read the array absent.npy"),
        (["--input", "x=@{tmp}/two.npz"], "holds several arrays"),
        (["--input", "x=@{tmp}/two.npz:c"], "has no array 'c'"),
        (["--input", "x=@{tmp}/two.npz:a"], "input 'b.0' is missing"),
        (["--input", "x=@{tmp}/two.npz:b"], "expected x: float32[N,3]"),
        (["--input", "x=@{tmp}/two.npz:a", "--input", "b.0=@{tmp}/two.npz:i", "-o", "{tmp}/y.npy"], "use .npz"),
    ],
)
def test_run_explains_wrong_inputs(
    arguments: list[str], message: str, network: Path, tmp_path: Path, capsys: Capture
) -> None:
    np.savez(tmp_path / "two.npz", a=np.ones((2, 3), np.float32), b=np.ones((2, 3)), i=np.zeros(1, np.int8))
    assert main(["run", str(network), *(item.replace("{tmp}", str(tmp_path)) for item in arguments)]) == 2
    assert message in capsys.readouterr().err


class FakeReport(SimpleNamespace):
    """The part of a CheckReport that is printed."""

    def as_dict(self) -> dict[str, object]:
        return {"passed": self.passed, "samples": self.samples}


@pytest.mark.parametrize("passed", [True, False])
def test_check_prints_the_report_and_its_verdict(
    passed: bool, fake: FakeCompiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    findings = [] if passed else [Diagnostic("C001", "stage 'dense' differs")]
    row = SimpleNamespace(name="conv1", elements=4096, differing=3, outside=0, exact=False)
    report = FakeReport(
        model="net.onnx", target="avx2", samples=5, oracle="onnxruntime 1", layers=[row], stages=[], outputs=[]
    )
    report.__dict__.update(library="run", labels_equal=5, passed=passed, findings=findings)
    seen: list[dict[str, object]] = []
    module = ModuleType("bitc.check")
    module.check = lambda model, **options: seen.append(options) or report  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitc.check", module)
    np.savez(tmp_path / "in.npz", x=np.zeros(3))
    arguments = ["check", "net.onnx", "-t", "avx2", "-n", "5", "--stages", "--inputs", str(tmp_path / "in.npz")]
    assert main(arguments) == int(not passed)
    assert (seen[0]["n"], seen[0]["stages"], seen[0]["target"]) == (5, True, "avx2")
    captured = capsys.readouterr()
    assert "conv1" in captured.out
    assert "4,096" in captured.out
    assert ("passed" in captured.out) == passed
    assert ("stage 'dense' differs" in captured.err) == (not passed)
    assert main([*arguments, "--json"]) == int(not passed)
    assert json.loads(capsys.readouterr().out) == {"passed": passed, "samples": 5}


def test_help_is_fast_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, bitc.cli\ntry: bitc.cli.app(['--help'])\nexcept SystemExit: pass\n"
        "sys.stderr.write(str(sorted({'numpy', 'onnx', 'onnxruntime', 'scipy', 'jinja2', 'lark'} & sys.modules.keys())))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "compile" in result.stdout
    assert result.stderr == "[]"
