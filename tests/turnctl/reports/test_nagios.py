"""Nagios' plugin format: the first line, performance data, and the four statuses."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.lab.prober import TURNCTL
from tests.turnctl.reports.made import BROKEN, EMPTY, HEALTHY
from turnctl.diagnosis.report import Report
from turnctl.reports import nagios

PERFORMANCE = re.compile(r"^[a-z0-9]+=[0-9.]+(s|ms|%)?(;[0-9.]*){0,4}$")


@pytest.mark.parametrize(
    ("report", "first"),
    [
        (HEALTHY, "TURN OK - 2/2 relay paths carry data"),
        (BROKEN, "TURN CRITICAL - 0/2 relay paths carry data: issuer-refused, relay-data-lost"),
        (EMPTY, "TURN CRITICAL - 0/0 relay paths carry data"),
    ],
    ids=["healthy", "broken", "empty"],
)
def test_the_first_line(report: Report, first: str) -> None:
    """It begins with the state, and what follows its only bar is performance data."""
    line = nagios.render(report).splitlines()[0]
    text, bar, performance = line.partition(" | ")
    assert bar
    assert text.startswith(first)
    assert [one for one in performance.split(" ") if not PERFORMANCE.match(one)] == []


def test_performance_data() -> None:
    """Round trip and loss of each relay, and how many of how many carry data."""
    performance = nagios.render(HEALTHY).splitlines()[0].partition(" | ")[2].split(" ")
    assert {"time=1.250s", "relays=2;;;0;2", "rtt0=3.000ms", "loss0=0.0%", "loss2=25.0%"} <= set(
        performance
    )


def test_hostile_text_keeps_its_line() -> None:
    """A server's words bring neither a bar nor a line of their own."""
    lines = nagios.render(BROKEN).splitlines()
    assert 4 == len(lines)
    assert [line for line in lines[1:] if "|" in line] == []
    assert "\x07" not in nagios.render(BROKEN)


def test_statuses() -> None:
    """pass, warn and fail are 0, 1 and 2."""
    assert {"pass": 0, "warn": 1, "fail": 2} == nagios.STATUS


def test_unknown_is_three(tmp_path: Path) -> None:
    """A check that cannot be made says UNKNOWN on its first line and ends with 3."""
    argv = [TURNCTL, "check", "--format", "nagios", str(tmp_path / "missing.json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert 3 == done.returncode
    assert done.stdout.startswith("TURN UNKNOWN - target file ")
    assert 1 == len(done.stdout.splitlines())
