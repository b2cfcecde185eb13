"""The log of `turnctl watch`: JSON, or sentences that a terminal can take."""

from __future__ import annotations

import json

import pytest

from tests.turnctl.reports.made import BROKEN, HEALTHY
from turnctl.diagnosis.changes import changes, standings
from turnctl.reports.watchlog import WatchLog


def logged(*, terminal: bool) -> list[str]:
    """What two checks write, of which the second finds a broken URL."""
    lines: list[str] = []
    log = WatchLog(lines.append, terminal=terminal)
    for one in changes(standings(HEALTHY), standings(BROKEN)):
        log.changed(one)
    return lines


def test_on_a_terminal_a_line_is_a_sentence() -> None:
    """Verdict, URL, codes, what it was before, and the cause; nothing that a terminal obeys."""
    *_, said, hostile = logged(terminal=True)
    assert "FAIL turns:turn.example.org IPv4 tls-expired (was PASS): has expired" in said
    assert hostile.endswith("bell")
    assert hostile.isprintable()


def test_elsewhere_a_line_is_json() -> None:
    """The same facts as members; what is empty is left out."""
    entry = json.loads(logged(terminal=False)[1])
    assert ("changed", "fail", "pass", ["tls-expired"]) == (
        entry["event"],
        entry["verdict"],
        entry["was"],
        entry["codes"],
    )
    assert [] == entry["wasCodes"]
    assert None not in entry.values()


@pytest.mark.parametrize(
    ("problem", "said"), [("it moved", "WARN it moved"), (None, "PASS clients are sent to")]
)
def test_an_address(problem: str | None, said: str) -> None:
    """A warning, and the line that ends it."""
    lines: list[str] = []
    WatchLog(lines.append, terminal=True).address(problem)
    assert said in lines[0]


def test_a_check_that_could_not_be_made() -> None:
    """Its cause, with the traceback in JSON."""
    lines: list[str] = []
    WatchLog(lines.append, terminal=False).broke_off("OSError: no", OSError("no"))
    entry = json.loads(lines[0])
    assert ("broke-off", "OSError: no") == (entry["event"], entry["error"])
    assert "OSError" in entry["traceback"]


def test_a_full_disk_does_not_end_the_watch() -> None:
    """A reader that is gone does."""

    def fail(error: OSError) -> None:
        def write(_: str) -> None:
            raise error

        WatchLog(write, terminal=True).started(("x",), 60.0, "127.0.0.1:9465")

    fail(OSError(28, "No space left on device"))
    with pytest.raises(BrokenPipeError):
        fail(BrokenPipeError())
