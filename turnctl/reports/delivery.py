"""Putting a report into a file: all of it or nothing, and refused before any packet is sent."""

from __future__ import annotations

import os
import tempfile
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
    if not os.access(folder, os.W_OK):
        raise Failure(f"--output {path}: no permission to write in {folder}")


def write(path: Path, text: str) -> None:
    """A half-written report would be read as a whole one. Raises Failure."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as draft:
            try:
                draft.write(text)
                draft.flush()
                os.fsync(draft.fileno())
                os.replace(draft.name, path)
            except BaseException:
                os.unlink(draft.name)
                raise
    except OSError as error:
        raise Failure(f"--output {path}: {error.strerror}; the report was not written") from error
