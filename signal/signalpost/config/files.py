"""SettingsFiles: where the settings of this process come from, and whether something there has changed.

Owns which files were read and how they looked. A file counts as changed when its inode, size, mode
or times differ, so that a rename, an edit and a `chmod` are all seen; what it says is not compared.
Refuses to know what new settings do.
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
"""A listener is opened once: what it was given is left as it is."""

_Look = tuple[int, int, int, int] | None
"""How a file looked: None when it was not there."""


class SettingsFiles:
    """`read` loads the settings and tells its argument of each file before it opens it."""

    __slots__ = ("_looks", "_read")

    def __init__(self, read: Callable[[Callable[[Path], object]], Settings]) -> None:
        self._read = read
        self._looks: dict[Path, _Look] = {}

    def load(self) -> Settings:
        """Raises ConfigError. Either way the files that were read are known from now on, as they
        looked before: what changes while it is read is seen as a change afterwards.
        """
        looks: dict[Path, _Look] = {}

        def opening(path: Path) -> None:
            looks[path] = _look(path)

        try:
            return self._read(opening)
        finally:
            self._looks = looks

    def changed(self) -> bool:
        """Whether a file looks otherwise than when it was read."""
        return any(_look(path) != look for path, look in self._looks.items())


def _look(path: Path) -> _Look:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a path with a zero byte is a ValueError
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def differences(before: Settings, after: Settings) -> list[str]:
    """The keys whose values differ, in the table's order."""
    values = ((setting.key, attrgetter(setting.key)) for setting in SETTINGS)
    return [key for key, value in values if value(before) != value(after)]
