"""One compilation in a process of its own, watched: memory, time, and every file it opens for writing.

The process is a fork of one that has imported everything, so that a case costs what it computes. It may use :data:`MEMORY_BYTES` of
address space and :data:`SECONDS` of processor time. A hook on Python's audit events reports each write that is not below its scratch
folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

SECONDS = 10
"""Of the processor, so that other work on the machine makes no case hang; :data:`WAIT_SECONDS` by the clock."""
WAIT_SECONDS = 60
PEAK_BYTES = 2 << 30
"""What a case may hold in memory at its peak, as the kernel counted it."""
MEMORY_BYTES = 6 << 30
"""A bound far above, so that what breaks the bound is measured before it takes the machine with it."""
_WRITES = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0, "os.symlink": 1, "os.link": 1, "os.chmod": 0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case. ``outcome`` is compiled, the name of a :class:`BitcError`, crash, hang or died.

    ``outside`` lists writes beyond the scratch folder, ``left`` what lies in it that should not.
    """

    outcome: str
    message: str
    seconds: float
    peak_bytes: int
    outside: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """What is bitc's fault; empty for a model that compiles or is refused as it should be."""
        found = [self.outcome] if self.outcome in ("crash", "hang", "died") else []
        found += ["memory"] if self.peak_bytes > PEAK_BYTES else []
        found += ["outside"] if self.outside else []
        found += ["left"] if self.left else []
        return tuple(found)


def watched(work: Callable[[Path], str], scratch: Path) -> Verdict:
    """Run ``work(scratch)`` in a fork. It gives an outcome and text in one line, or raises, which is a crash.

    ``scratch`` is emptied, and is the working directory, the home and the place of temporary files. ``work`` may leave ``scratch/out``
    if the outcome is compiled, and ``scratch/in`` at any rate; else nothing.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "in").mkdir(parents=True)
    report, reporter = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(report)
        _in_child(work, scratch, reporter)
    os.close(reporter)
    status, usage, hung = _waited(child, time.monotonic())
    with os.fdopen(report, "rb") as stream:
        told = stream.read()
    facts = json.loads(told) if told else {"outcome": "died", "message": f"status {status}", "outside": []}
    seconds = usage.ru_utime + usage.ru_stime
    if hung or seconds > SECONDS:
        facts |= {"outcome": "hang", "message": f"{seconds:.1f} s of the processor"}
    allowed = {"compiled": {"in", "out"}, "hang": {"in", "out", _begun(scratch)}}.get(facts["outcome"], {"in"})
    left = tuple(
        sorted(
            str(p.relative_to(scratch)) for p in scratch.rglob("*") if p.relative_to(scratch).parts[0] not in allowed
        )
    )
    return Verdict(facts["outcome"], facts["message"], seconds, usage.ru_maxrss * 1024, tuple(facts["outside"]), left)


def _begun(scratch: Path) -> str:
    """The folder that a compilation which was killed had begun, as it lies beside its place."""
    return next((path.name for path in scratch.glob(".out.bitc-*")), "out")


def _waited(child: int, started: float) -> tuple[int, resource.struct_rusage, bool]:
    hung = False
    pause = 0.001
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return status, usage, hung
        if not hung and time.monotonic() - started > WAIT_SECONDS:
            hung = True
            os.kill(child, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _in_child(work: Callable[[Path], str], scratch: Path, reporter: int) -> None:
    """Never returns."""
    outside: list[str] = []
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 1, SECONDS + 1))
        os.chdir(scratch)
        os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        sys.addaudithook(_hook(scratch, outside))
        outcome, _, message = work(scratch).partition("\n")
    except BaseException as error:
        outcome, message = "crash", _told(error)
    facts = {"outcome": outcome, "message": message[:4000], "outside": outside[:20]}
    with contextlib.suppress(OSError):
        os.write(reporter, json.dumps(facts).encode())
    os._exit(0)


def _told(error: BaseException) -> str:
    """The exception and where it came from, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[:12])
    return f"{type(error).__name__}: {str(error)[:300]} at {places}"


def _hook(scratch: Path, outside: list[str]) -> Callable[[str, tuple[object, ...]], None]:
    """Notes events that change files which do not lie below ``scratch``, and every program that is started."""

    def check(event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        resolved = os.path.realpath(os.fsdecode(path))
        if resolved != os.devnull and not f"{resolved}{os.sep}".startswith(f"{scratch}{os.sep}"):
            outside.append(f"{event} {resolved}")

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                check(event, path)
        elif event == "os.rename":
            check(event, arguments[0])
            check(event, arguments[1])
        elif event in _WRITES:
            check(event, arguments[_WRITES[event]])
        elif event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"):
            outside.append(f"{event} {arguments[0]!r}")

    return hook


def as_json(verdict: Verdict) -> str:
    """One line."""
    return json.dumps(asdict(verdict))
