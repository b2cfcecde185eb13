"""Which worker runs which tests, and in which order.

The groups of pytest-xdist (`--dist loadgroup`) have no effect with pytest 9.2: xdist reads them at
the end of a test's id, where pytest no longer puts them. The scheduler here goes by the file.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["GROUPS", "SLOWEST", "Scheduler", "group", "rank", "sort"]

GROUPS = {
    "browsers": ("tests/browser/", "tests/referee/", "tests/lab/test_scripted.py"),
    "host": (
        "tests/deploy/test_acme.py",
        "tests/deploy/test_compose.py",
        "tests/deploy/test_first_run.py",
        "tests/deploy/test_image.py",
        "tests/deploy/test_observe.py",
        "tests/deploy/test_rotate.py",
        "tests/deploy/test_up.py",
        "tests/test_main_job.py",
    ),
    "composed": (
        "tests/deploy/test_bridge.py",
        "tests/deploy/test_browsers.py",
        "tests/deploy/test_distance.py",
    ),
}
"""Files that one worker has together. Browsers keep a core busy, and the other tests mostly wait.
`host` has what runs on this host's own ports, and `composed` shares one deployment.
"""

SLOWEST = (
    "tests/deploy/test_upgrade",
    "tests/deploy/",
    *GROUPS["browsers"],
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


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # has no types
    """Gives each group to one worker as a whole, which makes the group's fixtures once."""

    def _split_scope(self, nodeid: str) -> str:
        return group(_file(nodeid))


def group(file: str) -> str:
    """Each file is a group of its own unless GROUPS has it."""
    return next((name for name, files in GROUPS.items() if file.startswith(files)), file)


def rank(file: str) -> int:
    """When it starts: the lower, the sooner."""
    for place, name in enumerate(SLOWEST):
        if file.startswith(name) or file.endswith(f"/{name}"):
            return place
    return len(SLOWEST)


def sort(items: list[pytest.Item]) -> None:
    """Put the slow ones at the beginning."""
    items.sort(key=lambda item: rank(_file(item.nodeid)))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
