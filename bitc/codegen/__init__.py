"""From a k graph to C: a small explicit plan of buffers, arrays and calls, printed by templates that decide nothing."""

from bitc.codegen.generate import Generated, generate
from bitc.codegen.targets import TARGETS, Target, native, supported_here, target

__all__ = ["TARGETS", "Generated", "Target", "generate", "native", "supported_here", "target"]
