"""What the URLs of a run share: their attempts' time, and candidates that count once."""

from __future__ import annotations

from typing import Literal

from tests.turnctl.check.asked import probe, shared
from turnctl.check.shared import once_each
from turnctl.diagnosis.observations import CandidateSeen, Observation, Resolution
from turnctl.wire.outcome import Outcome

URL = "turn:turn.example"


def candidate(kind: Literal["host", "srflx"], port: int) -> CandidateSeen:
    return CandidateSeen(
        url=URL,
        family=4,
        type=kind,
        address="192.0.2.1",
        port=port,
        priority=1,
        foundation="1",
        relay_protocol=None,
    )


def test_a_candidate_counts_once() -> None:
    """A host candidate whatever its port, any other with its port."""
    seen: list[Observation] = []
    report = once_each(seen.append)
    for one in (candidate("host", 1), candidate("host", 2)):
        report(one)
    for one in (candidate("srflx", 1), candidate("srflx", 1), candidate("srflx", 2)):
        report(one)
    assert [candidate("host", 1), candidate("srflx", 1), candidate("srflx", 2)] == seen


def test_other_observations_all_count() -> None:
    """The same step may be made twice."""
    seen: list[Observation] = []
    report = once_each(seen.append)
    one = Resolution(url=URL, family=4, outcome=Outcome.OK, host="turn.example", addresses=())
    report(one)
    report(one)
    assert [one, one] == seen


def test_an_attempt_has_its_whole_time() -> None:
    """From when it is made; and again, for what comes after the URL's own steps."""
    now = 100.0
    made = shared(clock=lambda: now, timeout=5.0)
    first = made.attempt(probe(URL))
    now = 104.0
    assert (105.0, 109.0) == (first.deadline, made.again(first).deadline)


def test_attempts_of_one_user_share_an_allowance() -> None:
    """As coturn counts them."""
    made = shared()
    first, second = made.attempt(probe(URL)), made.attempt(probe("turn:other.example"))
    assert first.allowance is second.allowance
    assert first.allowance is not made.attempt(probe("stun:turn.example")).allowance
