"""Secret files: one secret a line, for their owner's eyes only. Both programs read them here.

Errors name the file and say what to do, and never repeat what the file holds.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from signalpost.credentials import Secret

__all__ = ["SecretFileError", "read_secret_file", "read_secrets"]

MAX_BYTES = 65_536
"""A secret file is a few lines. A larger one is a wrong path (a log, a disk image)."""


class SecretFileError(ValueError):
    """The file cannot or must not be read; the text names it and says what to do."""

    def __init__(self, place: Path | str, reason: str) -> None:
        super().__init__(f"{place} {reason}")


def read_secret_file(path: Path) -> list[str]:
    """The lines of a regular file that aren't blank, as a server reads its settings.

    Raises SecretFileError.
    """
    return _lines(path, _content(path, pipes=False))


def read_secrets(path: Path) -> list[Secret]:
    """The secrets that a command was given, the minting one first. The file may be a pipe, as from
    `<(pass show turn)`; "-" reads standard input.

    Raises SecretFileError, also for a secret that coturn would read differently.
    """
    given = str(path) == "-"
    place = "standard input" if given else path
    content = sys.stdin.buffer.read(MAX_BYTES + 1) if given else _content(path, pipes=True)
    secrets = [Secret(line) for line in _lines(place, content)]
    for number, secret in enumerate(secrets, 1):
        if problem := secret.malformation():
            raise SecretFileError(f"{place}, line {number}:", problem)
    return secrets


def _content(path: Path, *, pipes: bool) -> bytes:
    """At most one byte more than a secret file may have."""
    try:
        # Without O_NONBLOCK, a FIFO named by mistake would hold a server's start up for ever.
        descriptor = os.open(path, os.O_RDONLY | (0 if pipes else os.O_NONBLOCK))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SecretFileError(path, f"cannot be read: {reason}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not (pipes or stat.S_ISREG(mode)):
            raise SecretFileError(path, "is not a regular file")
        # Nobody else reads a pipe, whatever its mode says.
        if stat.S_ISREG(mode) and mode & 0o077:
            problem = f"is open to other users (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}"
            raise SecretFileError(path, problem)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretFileError(path, f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _lines(place: Path | str, content: bytes) -> list[str]:
    if len(content) > MAX_BYTES:
        raise SecretFileError(place, f"has more than {MAX_BYTES} bytes, so it isn't a secret file")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SecretFileError(place, "is not text; put one secret on each line") from None
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise SecretFileError(place, "is empty; put one secret on each line")
    return lines
