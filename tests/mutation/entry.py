"""One deliberate break of a kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Break:
    """The first ``old`` of ``runtime/<file>`` becomes ``new``; ``tests``, a module of tests/runtime and words for -k, must fail."""

    family: str
    what: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.file.removesuffix('.h')}: {self.what}"


PORTABLE, AVX2, AVX512, NEON = " -k portable", " -k avx2", " -k avx512", " -k neon"
