"""Which worker runs which tests, and in which order: groups of pytest-xdist's `loadgroup`."""

from __future__ import annotations

import pytest

__all__ = ["BROWSERS", "SLOWEST", "arrange", "group", "rank"]

BROWSERS = ("tests/browser/", "tests/referee/", "tests/lab/test_scripted.py")
"""They keep a core busy, so one worker has them all. The other tests wait more than they work."""

SLOWEST = (
    "tests/deploy/",
    *BROWSERS,
    "test_rotate.py",
    "test_causes.py",
    "test_turn_causes.py",
    "test_loss.py",
    "test_faults.py",
    "test_nat_matrix.py",
    "test_pairs.py",
    "test_own_network.py",
    "test_nat.py",
    "tests/turnctl/",
)
"""Folders and files, the slowest first. They start first, so that no worker is left with a long one
at the end.
"""


def arrange(items: list[pytest.Item]) -> None:
    """Put each test into a group, unless it has a mark `xdist_group` of its own, and the slow ones
    at the beginning.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group(_file(item))))
    items.sort(key=lambda item: rank(_file(item)))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def group(file: str) -> str:
    """A file's tests stay with one worker, which makes the file's fixtures once."""
    return "browsers" if file.startswith(BROWSERS) else file


def rank(file: str) -> int:
    """When it starts: the lower, the sooner."""
    for place, name in enumerate(SLOWEST):
        if file.startswith(name) or file.endswith(f"/{name}"):
            return place
    return len(SLOWEST)
