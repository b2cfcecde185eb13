"""Judgement of whole stories: nothing found where nothing is wrong, order, verdicts, evidence."""

from __future__ import annotations

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ADDRESS,
    ERROR,
    NOW,
    SILENT,
    STUN,
    TCP,
    TLS,
    UDP,
    UNROUTABLE,
    codes,
    plan,
    step,
    story,
    verdicts,
)
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    Challenge,
    Connection,
    Echo,
    Inbound,
    Observation,
    Refresh,
    Resolution,
)


@pytest.mark.parametrize("url", [UDP, TCP, TLS, STUN])
def test_a_healthy_story_has_no_findings(url: str) -> None:
    """Where nothing is wrong nothing is found, and the verdict is pass."""
    made, seen = plan(url), story(url=url)
    assert [] == codes(made, seen)
    assert ("pass", ["pass"]) == verdicts(made, seen)


def test_what_is_broken_comes_before_what_is_missing() -> None:
    """Advice on the whole list follows the URLs' own findings."""
    seen = story(step(Challenge, code=403))
    expected = [("server-draining", "fail"), ("no-tcp-fallback", "warn")]
    assert expected == codes(plan(UDP, complete=True), seen)


# --- verdicts ----------------------------------------------------------------------------------


LOSSY = step(Echo, rtts_ms=(1.0,) * 15)
REFRESH_FAILS = step(Refresh, outcome=SILENT)


@pytest.mark.parametrize(
    ("urls", "seen", "expected"),
    [
        pytest.param([], [], ("fail", []), id="nothing was asked"),
        pytest.param([UDP], story(LOSSY), ("warn", ["warn"]), id="a warning"),
        pytest.param([UDP], story(REFRESH_FAILS), ("fail", ["fail"]), id="a failure"),
        pytest.param(
            [UDP], story(step(Inbound, same_host=True)), ("pass", ["pass"]), id="a remark"
        ),
        pytest.param(
            [UDP, TCP],
            [*story(), *story(step(Connection, TCP, outcome=UNROUTABLE), url=TCP)],
            ("fail", ["pass", "fail"]),
            id="one URL of two",
        ),
        pytest.param(
            [UDP],
            [one for one in story() if not isinstance(one, Inbound | Echo)],
            ("fail", ["fail"]),
            id="what carried no data does not pass, even without a finding",
        ),
        pytest.param(
            [STUN, UDP],
            [*story(url=STUN), *story(step(Echo, rtts_ms=()), step(Inbound, replied=False))],
            ("fail", ["pass", "fail"]),
            id="STUN that answers is no relay that carries data",
        ),
        pytest.param([STUN], story(url=STUN), ("pass", ["pass"]), id="STUN alone"),
        pytest.param(
            [STUN],
            story(step(Binding, STUN, outcome=ERROR, code=400, mapped=None), url=STUN),
            ("fail", ["fail"]),
            id="STUN that answers with an error",
        ),
        pytest.param(
            [UDP],
            [step(Resolution, addresses=())],
            ("fail", ["fail"]),
            id="a name without address is no skipped family",
        ),
    ],
)
def test_verdicts(
    urls: list[str], seen: list[Observation], expected: tuple[str, list[str]]
) -> None:
    """A relay URL passes when it carried data, STUN when it answered, the whole when both hold."""
    assert expected == verdicts(plan(*urls), seen)


def test_a_finding_without_family_counts_for_both() -> None:
    """What concerns the URL concerns it over IPv4 and over IPv6."""
    made = plan(UDP, families=(4, 6))
    seen = [step(Resolution, addresses=()), step(Resolution, family=6, addresses=())]
    assert ["fail", "fail"] == verdicts(made, seen)[1]


def test_evidence_says_what_was_seen_and_where() -> None:
    """Address, STUN error and time stand beside the fix, which names the port."""
    refused = step(Allocation, outcome=ERROR, code=508, reason="No ports", elapsed_ms=12.34)
    [finding] = judge(plan(UDP), story(refused), now=NOW)
    assert isinstance(finding, Finding)
    assert {
        "address": ADDRESS,
        "outcome": "error",
        "elapsedMs": 12.3,
        "stunError": "508 No ports",
    } == finding.evidence
    assert (UDP, 4) == (finding.url, finding.family)
