"""Whether times can be measured on this machine at all."""

from __future__ import annotations

import time

from bitc.codegen.targets import Target, supported_here
from bitc.errors import Diagnostic, OptionError, ToolchainError
from bitc.toolchain import find_compiler


def refuse_unmeasurable(target: Target) -> None:
    """Raise a :class:`bitc.errors.BitcError` if this machine cannot time what is compiled for ``target``: it says why."""
    if not supported_here(target):
        hint = "give a target that runs here; see `bitc targets`"
        raise OptionError(Diagnostic("O034", f"this CPU cannot run target {target.name}", hint=hint))
    if not hasattr(time, "clock_gettime"):
        here = "this system has no clock_gettime"
        raise ToolchainError(Diagnostic("T006", "layers cannot be timed here", here=here, hint="use --no-time"))
    find_compiler()
