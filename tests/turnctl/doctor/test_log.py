"""The look at coturn's log."""

from __future__ import annotations

from turnctl.doctor.log import judge, look
from turnctl.doctor.storage import CoturnLog

LOG = """0: : Bad configuration format: x
0: : Cannot bind DTLS/UDP listener socket to addr 192.0.2.77:3478
0: : Bad configuration format: x
"""


def test_each_complaint_is_a_finding() -> None:
    """With coturn's own words and the whole line, once each."""
    assert [
        ("configuration-refused", "log", "coturn says: Bad configuration format: x"),
        (
            "listener-failed",
            "log",
            "coturn says: Cannot bind DTLS/UDP listener socket to addr 192.0.2.77:3478",
        ),
    ] == [(one.code, one.url, one.summary) for one in judge(CoturnLog("log", LOG))]
    assert ["0: : Bad configuration format: x"] == [
        one.evidence["line"] for one in look(CoturnLog("log", LOG.splitlines()[0])).findings
    ]


def test_a_log_without_complaints() -> None:
    """The look says how long it is."""
    seen = look(CoturnLog("the log", "a\nb\n"))
    assert ("the log: 2 lines", "pass") == (seen.seen, seen.verdict)
