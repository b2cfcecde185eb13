"""Fixtures that every suite may use, how tests are shared among workers, and the rule about skips
under CI.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest
from xdist.remote import Producer

from tests.lab import coturn, order
from tests.lab.certs import Authority
from tests.lab.matrix import table
from tests.lab.parts import MISSING

SHOWN = 25
"""Files in the summary; `tests/lab/order.py` starts the slowest first."""

FAULT = "fault"
"""The property of a report that says a fault was injected: code, how, outcome."""

WORDS = {"passed": "found", "skipped": "skipped", "failed": "NOT FOUND"}
"""Outcomes of a test in the fault matrix, the worst last: that of several tests counts."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order.sort(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> order.Scheduler:
    return order.Scheduler(config, log)


def pytest_configure() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and so would everything
    be that tests start, and stop as Ctrl-C does.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What Hypothesis measures by the clock says how busy the machine is.
    hypothesis.settings.register_profile(
        "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("untimed")


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
        # A worker's report reaches the process that prints the summary with these alone.
        report.user_properties += [
            (FAULT, [*mark.args, report.outcome]) for mark in item.iter_markers("fault")
        ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured, the files that take long when there are workers, and the fault
    matrix: each cause that was injected, and whether it was found.
    """
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
    ]
    told: list[tuple[str, Any]] = [each for report in reports for each in report.user_properties]
    for title, text in {key: value for key, value in told if key != FAULT}.items():
        terminalreporter.section(title)
        terminalreporter.write_line(text)
    if terminalreporter.config.getoption("numprocesses", None):
        seconds: dict[str, float] = defaultdict(float)
        for report in reports:
            seconds[report.nodeid.partition("::")[0]] += report.duration
        terminalreporter.section("slowest files")
        for file in sorted(seconds, key=lambda file: -seconds[file])[:SHOWN]:
            terminalreporter.write_line(f"{seconds[file]:6.1f} s  {file}")
    outcomes = [value for key, value in told if key == FAULT]
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
