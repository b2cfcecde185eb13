"""The files that this process read its settings from, and whether one of them has changed.

A file counts as changed if its inode, size, mode or times differ, so that a rename, an edit and a
`chmod` are all noticed. The contents aren't compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

from signalpost.config.loading import SETTINGS
from signalpost.config.settings import Settings

__all__ = ["NEEDS_RESTART", "SettingsFiles", "differences"]

NEEDS_RESTART = frozenset({"http.host", "http.port", "metrics.host", "metrics.port"})
"""A listener is opened once and isn't changed later."""

_Look = tuple[int, int, int, int] | None
"""A file's inode, size and times; None if it didn't exist."""


class SettingsFiles:
    """`read` loads the settings, and calls its argument with each file before it opens it."""

    __slots__ = ("_looks", "_read")

    def __init__(self, read: Callable[[Callable[[Path], object]], Settings]) -> None:
        self._read = read
        self._looks: dict[Path, _Look] = {}

    def load(self) -> Settings:
        """Raises ConfigError. Either way the files are remembered as they were before reading: a
        change during the reading is noticed afterwards.
        """
        looks: dict[Path, _Look] = {}

        def opening(path: Path) -> None:
            looks[path] = _look(path)

        try:
            return self._read(opening)
        finally:
            self._looks = looks

    def changed(self) -> bool:
        """Whether a file has changed since it was read."""
        return any(_look(path) != look for path, look in self._looks.items())


def _look(path: Path) -> _Look:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a path with a zero byte raises ValueError
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def differences(before: Settings, after: Settings) -> list[str]:
    """The keys whose values differ, in the order of the table."""
    values = ((setting.key, attrgetter(setting.key)) for setting in SETTINGS)
    return [key for key, value in values if value(before) != value(after)]
