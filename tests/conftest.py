"""Fixtures that every suite may use, and the rule about skips under CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import coturn
from tests.lab.certs import Authority
from tests.lab.matrix import table
from tests.lab.parts import MISSING

OUTCOMES = pytest.StashKey[list[tuple[str, str, str]]]()
"""(code, how, outcome) of each test that injected a fault."""

WORDS = {"passed": "found", "skipped": "skipped", "failed": "NOT FOUND"}
"""Outcomes of a test in the fault matrix, the worst last: that of several tests counts."""


def pytest_configure() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and so would everything
    be that tests start, and stop as Ctrl-C does.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # An example takes as long as this process has to wait for the processor.
    settings.register_profile(
        "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skip for want of a real part is a failure: the gate must run them all."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if MISSING in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {reason} (a failure, since CI=true)"
    if report.when == "call" or (report.when == "setup" and not report.passed):
        item.config.stash.setdefault(OUTCOMES, []).extend(
            (str(mark.args[0]), str(mark.args[1]), report.outcome)
            for mark in item.iter_markers("fault")
        )
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault matrix: each cause that was injected, and whether it was found."""
    outcomes = terminalreporter.config.stash.get(OUTCOMES, [])
    if outcomes:
        worst: dict[tuple[str, str], str] = {}
        for code, how, outcome in outcomes:
            known = worst.get((code, how), "found")
            worst[code, how] = max(known, WORDS[outcome], key=[*WORDS.values()].index)
        rows = [("code", "made to happen by", "")]
        rows += [(code, how, found) for (code, how), found in worst.items()]
        terminalreporter.section("fault matrix")
        terminalreporter.write_line(table(rows))
        found = sum(one == "found" for one in worst.values())
        terminalreporter.write_line(f"{found} of {len(worst)} faults found")


@pytest.fixture(scope="session")
def own_address() -> str:
    """This machine's primary IPv4 address, which the local deployment listens on as well."""
    return coturn.own_address()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A root certificate of this test run's own."""
    return Authority(tmp_path_factory.mktemp("certificates"))
