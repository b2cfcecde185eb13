"""Doctor's report."""

from __future__ import annotations

import datetime
import json

from turnctl.diagnosis.catalogue import Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look
from turnctl.doctor.report import DoctorReport

FIRST = found("stun-only", Severity.WARN, "a:1", "one")
SECOND = found("stun-only", Severity.WARN, "b:2", "two")
WRONG = found("loopback-peers-allowed", Severity.FAIL, "c", "three", port=5)
REPORT = DoctorReport(
    (
        Look("configuration", "f: 3 options", (FIRST, WRONG)),
        Look("firewall", unknown=("nft isn't installed here",)),
        Look("log", "f: 2 lines", (SECOND,)),
    ),
    datetime.datetime(2026, 11, 28, 10, 0, 0, 123456, tzinfo=datetime.UTC),
    1234.5678,
)


def test_the_text() -> None:
    """A line per look, each cause once with all its places, and the verdict."""
    assert f"""FAIL     configuration  f: 3 options
SKIPPED  firewall
                        not seen: nft isn't installed here
WARN     log            f: 2 lines

WARN  stun-only
  a:1: one
  b:2: two
  → {FIRST.fix}

FAIL  loopback-peers-allowed
  c: three
  → {WRONG.fix}

FAIL  looks: 1 warn, 1 fail, 1 skipped, 1.23 s
""" == REPORT.text()


def test_the_json() -> None:
    """The schema's members; a look that wasn't made has seen null."""
    document = json.loads(REPORT.json())
    assert ("signalpost.doctor/1", "fail") == (document["schema"], document["verdict"])
    assert ("2026-11-28T10:00:00.123+00:00", 1234.568) == (
        document["startedAt"],
        document["elapsedMs"],
    )
    assert {
        "name": "firewall",
        "verdict": "skipped",
        "seen": None,
        "unknown": ["nft isn't installed here"],
    } == document["looks"][1]
    assert {
        "code": "loopback-peers-allowed",
        "severity": "fail",
        "url": "c",
        "summary": "three",
        "evidence": {"port": 5},
        "fix": WRONG.fix,
    } == document["findings"][1]
