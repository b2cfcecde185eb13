"""Challenge and allocation: what each answer follows from, a row for each branch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    CLOSED,
    ERROR,
    FOREIGN,
    NOW,
    OK,
    REFUSED,
    SILENT,
    TCP,
    UDP,
    UNKNOWN,
    USER,
    Codes,
    codes,
    plan,
    step,
    story,
)
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import Agreement, Allocation, Challenge, WrongCredential
from turnctl.wire.outcome import Outcome


@pytest.mark.parametrize(
    ("code", "expected"), [(508, "relay-ports-exhausted"), (None, "server-unresponsive")]
)
def test_an_allocate_that_another_url_keeps_waiting(code: int | None, expected: str) -> None:
    """A server that answers Allocate over UDP does TURN, even while it is silent over TCP."""
    outcome = OK if code is None else ERROR
    busy = story(step(Allocation, outcome=outcome, code=code))
    waiting = story(step(Challenge, TCP, outcome=SILENT, code=None), url=TCP)
    found = [code for code, severity in codes(plan(UDP, TCP), [*busy, *waiting])]
    assert expected in found
    assert "stun-only" not in found


# --- challenge and credential ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": OK, "code": None}, [("open-relay", "fail")]),
        # Binding was answered: a STUN server, whatever it does with an Allocate that it ignores
        ({"outcome": SILENT, "code": None}, [("stun-only", "fail")]),
        ({"outcome": CLOSED, "code": None}, [("stun-only", "fail")]),
        ({"code": 400}, [("stun-only", "fail")]),
        ({"code": 405}, [("stun-only", "fail")]),
        ({"outcome": FOREIGN, "code": None}, [("not-turn", "fail")]),
        ({"outcome": UNKNOWN, "code": None, "detail": "over"}, [("deadline-reached", "fail")]),
        ({"realm": None}, [("realm-missing", "fail")]),
        ({"nonce": None}, [("realm-missing", "fail")]),
        ({"realm": ""}, [("realm-missing", "fail")]),  # Chromium gathers no relay then
        ({"code": 300}, [("alternate-server", "fail")]),
        ({"code": 403}, [("server-draining", "fail")]),
        ({"code": 438}, [("nonce-loop", "fail")]),
        ({"code": 441}, [("realm-mismatch", "fail")]),
        ({"code": 508}, [("relay-ports-exhausted", "fail")]),
        ({"code": 437, "reason": "Mismatch"}, [("allocation-refused", "fail")]),
    ],
)
def test_the_challenge(facts: dict[str, Any], expected: Codes) -> None:
    """An Allocate without credentials has one right answer: 401 with realm and nonce."""
    assert expected == codes(plan(UDP), story(step(Challenge, **facts)))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": Outcome.LOSSY}, [("relay-data-lost", "warn")]),
        ({"outcome": SILENT}, [("server-unresponsive", "fail")]),
        ({"outcome": REFUSED}, [("server-unresponsive", "fail")]),
        ({"outcome": CLOSED}, [("server-unresponsive", "fail")]),
        ({"outcome": FOREIGN}, [("not-turn", "fail")]),
        ({"outcome": ERROR, "code": 440}, [("allocation-refused", "fail")]),
        ({"outcome": ERROR, "code": 442}, [("allocation-refused", "fail")]),
        ({"outcome": ERROR, "code": 500}, [("allocation-refused", "fail")]),
        ({"outcome": UNKNOWN, "detail": "over"}, [("deadline-reached", "fail")]),
        ({"outcome": ERROR, "code": 300}, [("alternate-server", "fail")]),
        ({"outcome": ERROR, "code": 403}, [("server-draining", "fail")]),
        ({"outcome": ERROR, "code": 508}, [("relay-ports-exhausted", "fail")]),
        ({"outcome": ERROR, "code": 437}, [("allocation-refused", "fail")]),
        ({"outcome": ERROR, "code": 438}, [("nonce-loop", "fail")]),
        ({"outcome": ERROR, "code": 441}, [("realm-mismatch", "fail")]),
        # 486: the server's limit while few of ours are around, maybe our own doing from four on
        ({"outcome": ERROR, "code": 486, "held": 0}, [("quota-user", "fail")]),
        ({"outcome": ERROR, "code": 486, "held": 1, "released": 2}, [("quota-user", "fail")]),
        ({"outcome": ERROR, "code": 486, "held": 2, "released": 2}, [("quota-user", "warn")]),
        ({"outcome": ERROR, "code": 486, "held": 7}, [("quota-user", "warn")]),
    ],
)
@pytest.mark.parametrize("label", ["a", "b"])
def test_a_refused_allocation(label: str, facts: dict[str, Any], expected: Codes) -> None:
    """Of either of the two allocations; the evidence counts this check's own ones."""
    first = [step(Allocation)] if label == "b" else []
    seen = story(*first, step(Allocation, label=label, **facts))
    assert expected == codes(plan(UDP), seen)


@pytest.mark.parametrize(
    ("outcome", "code", "expected"),
    [
        (ERROR, 486, ("quota-total", "fail")),
        (OK, None, ("quota-user", "warn")),
        (ERROR, 401, ("quota-user", "warn")),
    ],
)
def test_whose_quota(outcome: Outcome, code: int | None, expected: tuple[str, str]) -> None:
    """If another user is refused too, it is the server's limit, not one user's."""
    refused = step(Allocation, outcome=ERROR, code=486, held=7)
    other = step(Allocation, label="other-user", outcome=outcome, code=code)
    assert [expected] == codes(plan(UDP), story(refused, other))


def test_a_made_up_password_is_taken() -> None:
    """A server that accepts any password is an open relay, even if everything else works."""
    seen = [*story(), step(WrongCredential, outcome=OK)]
    taken = [one for one in seen if not isinstance(one, WrongCredential) or one.outcome is OK]
    assert [("open-relay", "fail")] == codes(plan(UDP), taken)


@pytest.mark.parametrize(
    ("taken", "refused", "code"),
    [
        (3, 3, "two-servers-one-port"),
        (1, 5, "two-servers-one-port"),
        (0, 6, "secret-mismatch"),
        (0, 0, "secret-mismatch"),
        (6, 0, "secret-mismatch"),
    ],
)
def test_sockets_that_do_not_agree(taken: int, refused: int, code: str) -> None:
    """One credential that a port both takes and refuses is judged by two servers."""
    shown = Agreement(url=UDP, family=4, taken=taken, refused=refused)
    seen = [*story(step(Allocation, outcome=ERROR, code=401, username=USER)), shown]
    assert [(code, "fail")] == codes(plan(UDP), seen)


def test_allocations_that_do_not_agree() -> None:
    """So does one that gets an allocation and is refused the next, even if others agree then."""
    pair = [step(Allocation), step(Allocation, label="b", outcome=ERROR, code=401, username=USER)]
    shown = Agreement(url=UDP, family=4, taken=0, refused=12)
    assert [("two-servers-one-port", "fail")] == codes(plan(UDP), [*story(*pair), shown])


def test_whose_quota_it_is() -> None:
    """Without another user to try, the summary says that it may be the whole server's."""
    refused = step(Allocation, outcome=ERROR, code=486, held=1, username=USER)
    other = step(Allocation, label="other-user")
    [alone] = judge(plan(UDP), story(refused), now=NOW)
    [tried] = judge(plan(UDP), [*story(refused), other], now=NOW)
    assert ("quota-user", "quota-user") == (alone.code, tried.code)
    assert "the server's own limit as well" in alone.summary
    assert "server's own" not in tried.summary


def test_where_a_server_sends_its_clients() -> None:
    """The address of ALTERNATE-SERVER, where it came with the error."""
    sent = step(Challenge, code=300, detail="198.51.100.7 port 3478")
    [finding] = judge(plan(UDP), story(sent), now=NOW)
    expected = "the server sends clients to another server (300), 198.51.100.7 port 3478"
    assert expected == finding.summary
