"""Who runs the parts of a network for several threads: how many threads at most, and the pool that comes with the library."""

from __future__ import annotations

from dataclasses import dataclass

from bitc.codegen.sharing import MOST_THREADS
from bitc.errors import Diagnostic, OptionError

POOLS: dict[str, tuple[str, ...]] = {"none": (), "pthreads": ("-pthread",), "openmp": ("-fopenmp",)}
"""The pools, and what the C compiler must be told for each. ``none``: the program that calls brings the threads."""


@dataclass(frozen=True, slots=True)
class Crew:
    """At most ``threads`` threads of ``pool``; one thread needs none."""

    threads: int = 1
    pool: str = "none"

    @property
    def cflags(self) -> tuple[str, ...]:
        """Flags for the C compiler."""
        return POOLS[self.pool]

    def recorded(self) -> dict[str, str]:
        """The options of more than one thread, as text for the banner."""
        return {"threads": str(self.threads), "pool": self.pool} if self.threads > 1 else {}


def crew_of(threads: int, pool: str | None, profile: bool = False) -> Crew:
    """The crew that options ask for. Raises :class:`OptionError` for too many or too few threads, an unknown pool, a pool for one
    thread, and for several threads in a build that times layers."""
    if not 1 <= threads <= MOST_THREADS:
        rule = f"a network is compiled for 1 to {MOST_THREADS} threads"
        raise OptionError(Diagnostic("O026", f"a network cannot have {threads} threads", rule=rule))
    if pool is not None and pool not in POOLS:
        raise OptionError(Diagnostic("O027", f"there is no pool {pool!r}", hint="pools: " + ", ".join(POOLS)))
    if threads == 1 and pool not in (None, "none"):
        hint = "give --threads too"
        raise OptionError(Diagnostic("O027", f"one thread needs no pool, and {pool} is asked for", hint=hint))
    if threads > 1 and profile:
        rule = "a profiling build times its layers in one thread"
        raise OptionError(Diagnostic("O028", f"layers cannot be timed in {threads} threads", rule=rule))
    return Crew(threads, (pool or "pthreads") if threads > 1 else "none")
