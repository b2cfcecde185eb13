"""The list of looks."""

from __future__ import annotations

from pathlib import Path

from turnctl.doctor.look import Unseen
from turnctl.doctor.looks import CONTAINER, HOST, host_looks
from turnctl.doctor.storage import DirectoryStorage
from turnctl.doctor.subject import of_host


def test_a_look_that_cannot_be_made_is_skipped(tmp_path: Path) -> None:
    """With its reason, and the others go on, in their order."""
    subject = of_host(
        DirectoryStorage(tmp_path), Unseen("no engine"), lambda: "not asked", lambda: None
    )
    made = {look.name: look for look in host_looks(subject)}
    assert list(HOST) == list(made)
    assert ("skipped", ("no engine",)) == (made["containers"].verdict, made["containers"].unknown)
    assert "skipped" == made["configuration"].verdict
    assert made["buffers"].seen


def test_the_looks_at_one_container() -> None:
    """It has no data directory, and the host's counters aren't its own."""
    assert {"secrets", "buffers"} == set(HOST) - set(CONTAINER)
