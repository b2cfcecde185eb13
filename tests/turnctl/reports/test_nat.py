"""A NAT's behaviour as text and as JSON."""

from __future__ import annotations

import json

from turnctl.diagnosis.nat import BindingResult, NatEvidence, judge
from turnctl.diagnosis.report import NatReport
from turnctl.reports.nat import as_json, as_text
from turnctl.wire.outcome import Outcome

SEEN = NatEvidence(
    4,
    ("10.0.0.2", 5000),
    (
        BindingResult(
            ("198.51.100.1", 3478),
            Outcome.OK,
            ("203.0.113.10", 5000),
            ("198.51.100.1", 3478),
        ),
        BindingResult(("198.51.100.2", 3478), Outcome.SILENT),
    ),
)
TESTED = NatReport(4, SEEN, judge(SEEN))
SKIPPED = NatReport(6, skipped="no address of stun.example")


def test_as_text() -> None:
    """A paragraph for each family that was tested, with the servers that did not answer."""
    lines = as_text([TESTED, SKIPPED]).splitlines()
    assert "IPv4, seen by one server" == lines[0]
    assert "  mapped     203.0.113.10:5000" in lines
    assert "  198.51.100.2:3478: silent" in lines
    assert judge(SEEN).meaning == lines[-1]


def test_as_json() -> None:
    """Both families; the one that was skipped with its reason."""
    report = json.loads(as_json("stun:a", "2023-11-14T22:13:20.250+00:00", 12.5, [TESTED, SKIPPED]))
    assert ("signalpost.nat/1", "stun:a", 12.5) == (
        report["schema"],
        report["target"],
        report["elapsedMs"],
    )
    tested, skipped = report["families"]
    assert {"family": 6, "skipped": "no address of stun.example"} == skipped
    assert ("unknown", "203.0.113.10:5000") == (tested["mapping"], tested["mapped"])
    assert {
        "asked": "198.51.100.2:3478",
        "outcome": "silent",
        "mapped": None,
        "source": None,
    } == tested["answers"][1]
