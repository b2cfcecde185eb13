"""Putting a report into a file: all of it or nothing, and refused before any packet is sent."""

from __future__ import annotations

import os
from pathlib import Path

from turnctl.commands import Failure, Misuse

__all__ = ["refuse_unwritable", "write"]


def refuse_unwritable(path: Path) -> None:
    """A report that cannot be kept is no reason to make one. Raises Misuse or Failure."""
    folder = path.parent
    if path.is_dir():
        raise Misuse(f"--output {path}: is a directory; give a file")
    if not folder.is_dir():
        raise Misuse(f"--output {path}: there is no directory {folder}")
    if not _special(path) and not os.access(folder, os.W_OK):
        raise Failure(f"--output {path}: no permission to write in {folder}")


def write(path: Path, text: str) -> None:
    """A half-written report would be read as a whole one. Raises Failure."""
    try:
        if _special(path):
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # of a link, what it points to is replaced
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failure(f"--output {path}: {error.strerror}; the report was not written") from error


def _special(path: Path) -> bool:
    """A device or a pipe, such as /dev/stdout: it is written to, never replaced."""
    return path.exists() and not path.is_file()
