"""An attempt's time, and how the end of a step is recorded."""

from __future__ import annotations

import pytest

from tests.turnctl.check.asked import attempt
from turnctl.check.probes.attempt import STEP_SHARE, OutOfTime
from turnctl.diagnosis.observations import CandidateSeen, Observation
from turnctl.wire.errors import Elsewhere, Silent
from turnctl.wire.outcome import Outcome

URL = "turn:127.0.0.1"


def test_one_step_leaves_time_for_others() -> None:
    """Three fifths of a URL's time at most, less if the step says so, or if less is left."""
    now = 0.0
    made = attempt(URL, clock=lambda: now, timeout=10.0)
    assert (STEP_SHARE * 10, 1.0) == (made.patience(), made.patience(1.0))
    now = 7.0
    assert 3.0 == made.patience()


@pytest.mark.parametrize(("now", "round_trip"), [(8.6, 0.0), (7.0, 2.0)])
def test_a_step_without_time_is_not_begun(now: float, round_trip: float) -> None:
    """Less is left than an answer takes: silence would prove nothing."""
    begun = [0.0]
    made = attempt(URL, clock=lambda: begun[0], timeout=10.0)
    begun[0], made.round_trip = now, round_trip
    with pytest.raises(OutOfTime, match="10 s ran out before this step"):
        made.patience()


def test_how_a_step_ended() -> None:
    """OK without an error, else the error's outcome and text."""
    now = 0.0
    made = attempt(URL, clock=lambda: now)
    now = 0.25
    assert {"outcome": Outcome.OK, "elapsed_ms": 250.0} == made.ending(None, 0.0)
    ended = made.ending(Elsewhere(("192.0.2.1", 7)), 0.0)
    assert (Outcome.ELSEWHERE, ("192.0.2.1", 7)) == (ended["outcome"], ended["came_from"])


def test_silence_that_the_deadline_cut_short() -> None:
    """A server that had answered is not called silent if the step had no time."""
    now = 0.0
    made = attempt(URL, clock=lambda: now, timeout=5.0)
    now = 5.0
    assert Outcome.SILENT == made.ending(Silent("no answer"), 4.9)["outcome"]
    made.answered = True
    assert Outcome.UNKNOWN == made.ending(Silent("no answer"), 4.9)["outcome"]
    assert Outcome.SILENT == made.ending(Silent("no answer"), 0.0)["outcome"]


def test_a_network_of_ours_that_is_gone() -> None:
    """No step's failure is the server's then."""
    made = attempt(URL)
    made.local = "192.0.2.55"  # which this machine does not have
    assert Outcome.UNROUTABLE == made.ending(Silent("no answer"), 0.0)["outcome"]


def test_a_candidate() -> None:
    """With the priority and the foundation of RFC 8445."""
    seen: list[Observation] = []
    made = attempt(URL, seen.append)
    made.candidate("host", ("192.0.2.1", 5), "192.0.2.1")
    [one] = seen
    assert isinstance(one, CandidateSeen)
    assert (URL, 126) == (one.url, one.priority >> 24)
    assert one.foundation


def test_a_login_needs_both_halves() -> None:
    """A STUN URL has none."""
    assert attempt("stun:127.0.0.1").login() is None
    login = attempt(URL).login()
    assert login is not None
    assert ("1:lab", "password") == (login.username, login.password)
