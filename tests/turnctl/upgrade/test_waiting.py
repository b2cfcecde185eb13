"""The wait for a relay's last call."""

from __future__ import annotations

from dataclasses import replace

from turnctl.upgrade.facts import Container, Facts, Host, Note, Result
from turnctl.upgrade.moves import Move, Step
from turnctl.upgrade.waiting import Over, still_draining, waiting

PATIENCE = 600


def facts(now: float, note: Note, *, calls: int = 0, started: str = "t0") -> Facts:
    """A host with one old relay that has so many calls."""
    coturn = Container("sha256:old", "coturn/coturn:old", True, started, 0)
    return Facts(
        now=now,
        asked="coturn/coturn:new",
        patience=PATIENCE,
        host=Host({"coturn": coturn}, "sha256:new", Result()),
        handed_out="coturn-next",
        allocations={"coturn": calls},
        next_port=3479,
        note=note,
    )


NOTE = Note(was_version="4.18.0", version="4.99.0")


def test_a_wait_has_an_end() -> None:
    """It is noted when the wait begins, and the operator sees how long it may take."""
    move = waiting(facts(1000, NOTE, calls=3), ("coturn",))
    assert isinstance(move, Move)
    assert move.note is not None
    assert (Step("wait"), 1000 + PATIENCE) == (move.step, move.note.until)
    assert ("waiting for the calls on coturn, at most 600 s",) == move.says


def test_an_empty_relay_is_drained() -> None:
    """After two looks in a row without a call; what tells its restart is noted."""
    note = replace(NOTE, until=2000.0, told=1000.0, quiet=1)
    move = waiting(facts(1002, note), ("coturn",))
    assert isinstance(move, Move)
    assert move.note is not None
    assert (Step("drain", ("coturn",)), {"coturn": "t0"}) == (move.step, move.note.draining)
    assert ("coturn",) == still_draining(facts(1004, move.note))


def test_a_busy_relay_is_drained_at_half_time() -> None:
    """Its calls continue, and nobody new is let in."""
    note = replace(NOTE, until=1600.0, told=1290.0)
    early, late = (waiting(facts(now, note, calls=1), ("coturn",)) for now in (1299.0, 1300.0))
    assert isinstance(early, Move)
    assert isinstance(late, Move)
    assert ["wait", "drain"] == [early.step.verb, late.step.verb]


def test_a_restart_shows_that_the_drain_has_ended() -> None:
    """Docker starts a relay again once it has served its last call."""
    note = replace(NOTE, until=2000.0, told=1000.0, draining={"coturn": "t0"})
    over = waiting(facts(1100, note, started="t1"), ("coturn",))
    assert isinstance(over, Over)
    assert ("coturn has served its last call",) == over.says


def test_a_client_with_older_ice_servers_begins_the_wait_again() -> None:
    """A relay that had ended is busy again."""
    note = replace(NOTE, until=2000.0, told=1000.0, draining={"coturn": "t0"}, ended=["coturn"])
    move = waiting(facts(1100, note, started="t1", calls=1), ("coturn",))
    assert isinstance(move, Move)
    assert move.note is not None
    assert ([], {}) == (move.note.ended, move.note.draining)


def test_the_time_is_over() -> None:
    """The calls that are cut are named."""
    over = waiting(facts(2000, replace(NOTE, until=2000.0), calls=1), ("coturn",))
    assert isinstance(over, Over)
    assert ("600 s are over; cutting the calls on coturn",) == over.says


def test_a_coturn_that_cannot_drain() -> None:
    """The signal would end it: it counts as ended as soon as it is empty."""
    note = Note(was_version="4.6.1", version="4.99.0")
    move = waiting(facts(1000, note), ("coturn",))
    assert isinstance(move, Move)
    assert "coturn can't drain: only coturn 4.8 and later can" in move.says
    assert move.note is not None
    assert isinstance(waiting(facts(1002, move.note), ("coturn",)), Over)
