"""Reads a file together with its owner and mode."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from turnctl.doctor.look import Unseen

__all__ = ["File", "read", "text_of"]

MOST_READ = 4_194_304
"""Bytes. Of a log this is the beginning, where coturn reports what it refuses."""


@dataclass(frozen=True, slots=True)
class File:
    """A file's content, permission bits and owner's uid."""

    mode: int
    owner: int
    content: bytes = field(repr=False)


def read(path: Path) -> File | None:
    """None if there is no such file. Raises Unseen if it can't be read."""
    try:
        # O_NONBLOCK: don't wait for a writer if the path is a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unseen(f"{path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unseen(f"{path} isn't a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return File(stat.S_IMODE(status.st_mode), status.st_uid, file.read(MOST_READ))
    finally:
        os.close(descriptor)


def text_of(place: str, content: bytes) -> str:
    """The text of a configuration. coturn reads bytes, so bytes that aren't UTF-8 become escapes.
    Raises Unseen for UTF-16 and the like."""
    if b"\0" in content:
        raise Unseen(f"{place} isn't text: it has null bytes, as UTF-16 does; save it as UTF-8")
    return content.decode(errors="backslashreplace")
