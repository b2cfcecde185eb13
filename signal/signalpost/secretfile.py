"""Secret files: one value per line, readable only by their owner.

A file is refused if others may read it, if it isn't a regular file, or if it's too large.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["SecretFileError", "read_secret_file"]

MAX_BYTES = 65_536
"""A secret file has a few lines. A larger file is a wrong path (a log, a disk image)."""


class SecretFileError(Exception):
    """The file can't or mustn't be read. The text names it and says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")


def read_secret_file(path: Path) -> list[str]:
    """The non-blank lines of the file. Raises SecretFileError."""
    try:
        # O_NONBLOCK: a FIFO given by mistake must not block the start for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SecretFileError(path, f"cannot be read: {reason}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretFileError(path, "is not a regular file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            problem = f"is readable by other users (mode {mode:04o}): chmod 600 {path}"
            raise SecretFileError(path, problem)
        content = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise SecretFileError(path, f"has more than {MAX_BYTES} bytes, so it isn't a secret file")
    lines = [line for line in content.decode("utf-8", "replace").split("\n") if line.strip()]
    if not lines:
        raise SecretFileError(path, "is empty")
    return [line.removesuffix("\r") for line in lines]
