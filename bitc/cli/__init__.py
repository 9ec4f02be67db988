"""The command line. It parses, calls one function, prints; nothing below it prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from bitc.cli import benching, build, doctor, explaining, inspecting, operators, reporting, running, stepping, verify
from bitc.cli.console import report_crash, report_error
from bitc.errors import BitcError, Diagnostic, ModelError

app = typer.Typer(
    name="bitc",
    help="Compile quantized and binarized ONNX networks to self-contained C99.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compile")(build.compile_command)
app.command("step")(stepping.step_command)
app.command("check")(verify.check_command)
app.command("run")(running.run_command)
app.command("inspect")(inspecting.inspect_command)
app.command("explain")(explaining.explain_command)
app.command("report")(reporting.report_command)
app.command("bench")(benching.bench_command)
app.command("ops")(operators.ops_command)
app.add_typer(verify.golden, name="golden")
app.command("targets")(doctor.targets_command)
app.command("doctor")(doctor.doctor_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 all is well, 1 a check failed, 2 wrong usage, 3 the model is broken or unsupported, 4 the C toolchain, 70 a bug of bitc.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        app(args=arguments, prog_name="bitc")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BitcError as error:
        report_error(error, as_json="--json" in arguments)
        return error.exit_code
    except MemoryError:
        report_error(_out_of_memory(), as_json="--json" in arguments)
        return ModelError.exit_code
    except Exception as error:
        report_crash(error, arguments)
        return 70
    return 0


def _out_of_memory() -> ModelError:
    hint = "compile it on a larger machine, or lower --limit constant_bytes=N to see which node asks for much"
    return ModelError(Diagnostic("M010", "this machine has too little memory for the model", hint=hint))
