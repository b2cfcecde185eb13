"""The data directory: secrets that are made once and never overwritten, files that are replaced
whole or not at all.

A file appears under its name only when it is complete and on the disk, so that a killed run or a
full disk leaves either the old one or none, and the next run goes on from there. It is read and
written as the owner of its directory, so that it belongs to whom the directory belongs to: no
file is ever given away, and root needs no right to read what is not its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from signalpost.credentials import Secret
from signalpost.secretfile import SecretFileError, read_secrets

__all__ = ["Unusable", "locked", "make_directory", "owned", "secret_mode", "secrets_in", "write"]

SECRET_BYTES = 32


class Unusable(Exception):
    """A file or directory cannot serve; the text names it, what is wrong and what to do."""


@contextlib.contextmanager
def owned(directory: Path) -> Iterator[None]:
    """For the block, be the owner of the directory, where this is root; else change nothing.

    Blocks may stand in each other. Raises Unusable when the directory is not there.
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
    """The group first: whoever has ceased to be root cannot change it."""
    os.seteuid(os.getuid())
    os.setegid(group)
    os.seteuid(user)


def secret_mode(directory: Path) -> int:
    """Of a secret in there: for another's service 0400, which only reads it; for oneself 0600."""
    return 0o600 if directory.stat().st_uid == os.getuid() else 0o400


def make_directory(directory: Path) -> None:
    """Make it if need be, for its owner alone, as the owner of the one it lies in."""
    if not directory.is_dir():
        with owned(directory.parent), _named(directory):
            directory.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Create the directory if need be, and hold it: two runs at once take turns."""
    with _named(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with owned(directory), _named(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def secrets_in(path: Path) -> tuple[tuple[Secret, ...], bool]:
    """The secrets in this file, and whether one was made just now because there was no file.

    Raises Unusable for a file that is unreadable or open to others, and for a weak secret.
    """
    if not path.exists():
        made = Secret(secrets.token_hex(SECRET_BYTES))
        write(path, made.reveal() + "\n", mode=secret_mode(path.parent))
        return (made,), True
    try:
        with owned(path.parent):
            found = read_secrets(path)
    except SecretFileError as error:
        raise Unusable(f"{error}; or remove the file and run init again for a new one") from error
    for secret in found:
        if weakness := secret.weakness():
            raise Unusable(
                f"{path}: a secret in it is too weak: {weakness}; remove the file and run init "
                "again for a new one"
            )
    return tuple(found), False


def write(path: Path, text: str, *, mode: int) -> None:
    """Put a file in place whole, as the directory's owner: written beside it, on the disk, renamed.

    The name beside it is fixed, so that killed runs leave one file at most. Raises Unusable.
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
    """Turn the system's error into one that names what was wanted."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from error
