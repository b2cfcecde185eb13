"""Packages are installed when nobody else is at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import packages
from deploy.processes import Failed

APT_GET = """#!/bin/sh
echo "$*" >> {calls}
{fails}
"""
LOCKED = 'test "$(wc -l < {calls})" -gt 2 || {{ echo "E: Could not get lock x" >&2; exit 100; }}'


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a stand-in for apt-get was asked; it fails as `_stand_in` says."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "LOCK_PAUSE", 0)
    return tmp_path / "calls"


def _stand_in(calls: Path, fails: str) -> None:
    program = calls.with_name("apt-get")
    program.write_text(APT_GET.format(calls=calls, fails=fails.format(calls=calls)))
    program.chmod(0o755)


def _asked(calls: Path) -> list[str]:
    """The last word of each command."""
    return [line.split()[-1] for line in calls.read_text().splitlines()]


async def test_a_lock_is_waited_for(calls: Path) -> None:
    """Asked again while somebody holds apt's lock; then both steps are taken."""
    _stand_in(calls, LOCKED)
    await packages.install("coturn")
    assert ["update", "update", "update", "coturn"] == _asked(calls)


@pytest.mark.parametrize(
    ("fails", "patience"),
    [("echo 'E: no network' >&2; exit 100", 60), (LOCKED, -1)],
    ids=["another error", "a lock that stays"],
)
async def test_what_cannot_be_had(
    calls: Path, monkeypatch: pytest.MonkeyPatch, fails: str, patience: int
) -> None:
    """Another error ends it at once, a lock after a time; apt's own words are told."""
    monkeypatch.setattr(packages, "LOCK_PATIENCE", patience)
    _stand_in(calls, fails)
    with pytest.raises(Failed, match=r"apt-get update failed with status 100:\nE: "):
        await packages.install("coturn")
    assert ["update"] == _asked(calls)
