"""The report on a check: what it's made of, and the time its findings are judged at."""

from __future__ import annotations

import datetime

from signalpost.iceservers import IceServer
from tests.turnctl.reports.sample import SEEN, TLS, UDP
from turnctl.diagnosis.plan import make_plan
from turnctl.diagnosis.report import make_report

PLAN = make_plan([IceServer((UDP, TLS), "user", "password")])
STARTED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678_900, datetime.UTC)


def test_all_of_a_check() -> None:
    """The findings, a verdict for each URL and family, and one for the whole."""
    made = make_report("target", STARTED, 1234.5, PLAN, SEEN)
    assert ("target", "2026-01-02T03:04:05.678+00:00", 1234.5) == (
        made.target,
        made.started_at,
        made.elapsed_ms,
    )
    assert made.record.cases == tuple(case for case, _ in made.verdicts)
    assert {"pass", "fail", "skipped"} == {verdict for _, verdict in made.verdicts}
    assert "tls-expired" in {finding.code for finding in made.findings}
    assert "fail" == made.verdict


def test_nothing_was_seen() -> None:
    """Nothing that was planned was tested, so nothing passes."""
    made = make_report("target", STARTED, 0.0, PLAN, [])
    assert "pass" not in {made.verdict, *(verdict for _, verdict in made.verdicts)}
