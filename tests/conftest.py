"""Fixtures that every suite may use, and the rule about skips under CI."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.lab import coturn
from tests.lab.certs import Authority
from tests.lab.parts import MISSING


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
    return report


@pytest.fixture(scope="session")
def own_address() -> str:
    """This machine's primary IPv4 address, which the local deployment listens on as well."""
    return coturn.own_address()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A root certificate of this test run's own."""
    return Authority(tmp_path_factory.mktemp("certificates"))
