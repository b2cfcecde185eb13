"""JUnit XML: what a CI system reads out of it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.turnctl.reports.made import BROKEN, EMPTY, HEALTHY, TLS, UDP
from turnctl.diagnosis.report import Report
from turnctl.reports import junit


def parsed(report: Report) -> ET.Element:
    return ET.fromstring(junit.render(report))  # noqa: S314  our own


def case(suite: ET.Element, name: str) -> ET.Element:
    (found,) = [one for one in suite if one.get("name") == name]
    return found


@pytest.mark.parametrize("report", [HEALTHY, BROKEN, EMPTY], ids=["healthy", "broken", "empty"])
def test_counts_are_those_of_the_elements(report: Report) -> None:
    """The suite's attributes count the test cases, failures and skips that it holds."""
    suite = parsed(report)
    counted = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "skipped": len(suite.findall("testcase/skipped")),
        "errors": 0,
    }
    assert counted == {name: int(suite.get(name, "")) for name in counted}


def test_a_url_is_a_test_case() -> None:
    """Each URL over each family is a test case; one without an address is skipped."""
    suite = parsed(HEALTHY)
    assert 6 == len(suite)
    assert "0" == suite.get("failures")
    assert ["skipped"] == [child.tag for child in case(suite, f"{TLS} IPv6")]
    assert ["system-out"] == [child.tag for child in case(suite, f"{UDP} IPv4")]
    assert "2023-11-14T22:13:20" == suite.get("timestamp")
    assert "1.250" == suite.get("time")


def test_a_failing_finding_is_a_failure() -> None:
    """Its code is the failure's type; the text holds the evidence and the fix."""
    (failure,) = case(parsed(BROKEN), f"{UDP} IPv4").findall("failure")
    assert "relay-data-lost" == failure.get("type")
    assert "check max-bps" in (failure.text or "")
    assert "tls-expired" == case(parsed(BROKEN), f"{TLS} IPv4")[0].get("type")


def test_a_finding_without_a_url_has_a_test_case() -> None:
    """A warning about the issuer has a test case of its own, which passes."""
    assert ["system-out"] == [
        child.tag for child in case(parsed(BROKEN), "https://calls.example.org")
    ]


def test_hostile_text_stays_text() -> None:
    """Markup is escaped and what XML cannot hold is replaced."""
    (failure,) = case(parsed(BROKEN), f"{UDP} IPv4").findall("failure")
    assert "<line> & \N{REPLACEMENT CHARACTER}bell" in (failure.get("message") or "")
