"""Folders and files that appear whole or not at all, whatever stops the program, and whoever else writes at the same time.

A folder is made beside its place, in ``.<name>.bitc-<random>``, flushed to the disk, and then exchanged with what is there by one system
call. Where the system has no such call, two renames take its place. What a killed program left beside it is removed by the next one: a
folder in use is locked.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bitc.errors import Diagnostic, OptionError

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing is locked, and concurrent writers may refuse one another
    fcntl = None  # type: ignore[assignment]

_MARK = ".bitc-"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextlib.contextmanager
def whole_folder(
    out: Path,
    check: Callable[[Path], None] = lambda out: None,
    keep: Callable[[Path], list[str]] = lambda out: [],
) -> Iterator[Path]:
    """A new folder that takes the place of ``out`` when the block ends; if it raises, nothing has changed.

    ``check`` raises if what lies at ``out`` may not be replaced, and is asked before and after the block. ``keep`` names the entries of an
    old folder that move to the new one; files are linked and not copied where the file system can. Of several writers the last one wins.
    Raises :class:`OptionError` where the folder cannot be written, as on a full disk.
    """
    out = out.absolute()
    if out.is_symlink():
        out = out.resolve()
    check(out)
    with _explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with _locked(out.parent):
            _remove_stale(out)
            scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}{_MARK}", dir=out.parent))
            in_use = _lock(scratch)
        try:
            made = scratch / "new"
            made.mkdir()
            yield made
            with _locked(out.parent):
                check(out)
                for entry in keep(out) if out.is_dir() else []:
                    _share(out / entry, made / entry)
                _flush_tree(made)
                _put(made, out, scratch / "old")
                _flush(out.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            _unlock(in_use)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or, if that fails, as it was before. Raises ``OSError``."""
    made = path.with_name(f".{path.name}{_MARK}{secrets.token_hex(4)}")
    try:
        with made.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def write_output(path: Path, content: bytes) -> None:
    """:func:`write_whole` for a file that was asked for, or a plain write into a device or pipe. Raises :class:`OptionError`."""
    with _explained(path):
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            write_whole(path.resolve(), content)


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        here = error.strerror or str(error)
        raise OptionError(Diagnostic("O043", f"{out} cannot be written", here=here)) from error


# ------------------------------------------------------------------------------------------------------------ exchange


def _put(made: Path, out: Path, old: Path) -> None:
    """``made`` in the place of ``out``, and what was there, if anything, in the place of ``made`` or at ``old``."""
    try:
        made.rename(out)  # nothing there, or an empty folder
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchanged(made, out):
            out.rename(old)
            try:
                made.rename(out)
            except OSError:
                old.rename(out)
                raise


def _exchanged(a: Path, b: Path) -> bool:
    """Exchange two entries in one step; False where the system or the file system cannot."""
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(b))


@cache
def _renameat2() -> Any:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function


def _share(source: Path, target: Path) -> None:
    """``source`` also at ``target``, unless something is there."""
    if os.path.lexists(target):
        return
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, copy_function=_link)
    else:
        _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


# --------------------------------------------------------------------------------------------------------------- disk


def _flush_tree(folder: Path) -> None:
    """What was written into ``folder`` is on the disk before the folder is at its place."""
    for entry in folder.iterdir():
        if entry.is_file() and not entry.is_symlink():
            _flush(entry)
    _flush(folder)


def _flush(path: Path) -> None:
    with contextlib.suppress(PermissionError):  # a kept file of the user's that cannot be read
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# -------------------------------------------------------------------------------------------------------------- locks


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among the writers into ``folder``, as far as its file system has locks."""
    handle = _lock(folder)
    try:
        yield
    finally:
        _unlock(handle)


def _lock(folder: Path) -> int | None:
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder one may write to and not list
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _remove_stale(out: Path) -> None:
    """Remove what killed writers of ``out`` left. Called while the parent is locked, so a folder without a lock is nobody's."""
    for folder in out.parent.glob(f".{_literally(out.name)}{_MARK}????????") if fcntl is not None else ():
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _literally(name: str) -> str:
    """``name`` in a glob pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
