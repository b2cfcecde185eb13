"""Files that are replaced whole or not at all, written as the owner of their directory.

A file appears under its name only when it is complete and on the disk. A killed run or a full disk
therefore leaves the old file or none, and the next run continues from there. Files are read and
written as the owner of their directory and belong to that user: no file is ever given away, and
root needs no right to read another user's files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Unusable", "locked", "make_directory", "owned", "write"]


class Unusable(Exception):
    """A file or directory can't be used. The text names it, the problem and what to do."""


@contextlib.contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Act as the directory's owner inside the block, if this process is root; else change nothing.

    Blocks can be nested. Raises Unusable when the directory doesn't exist.
    """
    with _named(directory):
        status = directory.stat()
    before = os.geteuid(), os.getegid()
    acts = os.getuid() == 0 and status.st_uid != before[0]
    try:
        if acts:
            with _named(directory):
                _become(status.st_uid, status.st_gid)
        yield
    finally:
        if acts:
            _become(*before)


def _become(user: int, group: int) -> None:
    """Set the group first: a process that is no longer root can't change it."""
    os.seteuid(os.getuid())
    os.setegid(group)
    os.seteuid(user)


def make_directory(directory: Path) -> None:
    """Make the directory if it's missing: mode 0700, owned by its parent's owner."""
    if not directory.is_dir():
        with owned(directory.parent), _named(directory):
            directory.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make the directory if it's missing and lock it, so that two runs at once take turns."""
    with _named(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with owned(directory), _named(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write(path: Path, text: str, *, mode: int) -> None:
    """Replace a file as the directory's owner: write beside it, sync to the disk, rename.

    The temporary name is fixed, so that killed runs leave at most one file. Raises Unusable.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    with owned(path.parent), _named(path):
        try:
            with contextlib.suppress(FileNotFoundError):
                unfinished.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(unfinished, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the system's error into one that names the path."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from error
