"""The steps that undo an upgrade."""

from __future__ import annotations

from dataclasses import replace

from turnctl.upgrade.back import back, busy, refuse, removed, returned, settled
from turnctl.upgrade.facts import Container, Facts, Host, Note, Result
from turnctl.upgrade.moves import Step, ending

NEW, OLD = "coturn/coturn:new", "coturn/coturn:old"
NOTE = Note(image="sha256:new", version="4.99.0", was=OLD, was_version="4.18.0")


def container(image: str) -> Container:
    return Container(f"sha256:{image}", f"coturn/coturn:{image}", True, "t0", 0)


FACTS = Facts(
    now=1000.0,
    asked=NEW,
    patience=600,
    host=Host(
        {"coturn": container("old"), "coturn-next": container("new")}, "sha256:new", Result()
    ),
    handed_out="coturn",
    allocations={},
    next_port=3479,
    note=NOTE,
)


def test_a_version_that_no_client_used_is_removed() -> None:
    """The reason is said and noted; the failed step's result counts for nothing any more."""
    failed = replace(FACTS, host=replace(FACTS.host, result=Result("start", 1, "no")))
    move = refuse(failed, "it relays no data", "a line of its log")
    assert ("a line of its log", f"rejecting {NEW}: it relays no data") == move.says
    assert Step("remove", ("coturn-next",)) == move.step
    assert move.note is not None
    assert "it relays no data" == move.note.refused


def test_clients_are_sent_back_first() -> None:
    """New ones use the old relay before anything is removed."""
    move = back(replace(FACTS, handed_out="coturn-next", note=replace(NOTE, sent=True)))
    assert Step("hand-out", ("coturn",)) == move.step


def test_when_nothing_is_left_beside_it_is_over() -> None:
    """With status 1, and where clients are."""
    host = Host({"coturn": container("old")}, "sha256:new", Result())
    for sent, where in ((False, "stay where they are"), (True, "are back on the previous relay")):
        move = back(replace(FACTS, host=host, note=replace(NOTE, sent=sent)))
        assert (Step("end", number=1), True) == (move.step, move.over)
        assert (f"{NEW} doesn't work; new clients {where}",) == move.says


def test_the_new_version_on_the_usual_ports_is_replaced() -> None:
    """By the previous image, which .env gets first."""
    host = replace(FACTS.host, containers={"coturn": container("new")})
    move = back(replace(FACTS, host=host))
    assert Step("record", ("was",)) == move.step
    unknown = back(replace(FACTS, host=host, note=replace(NOTE, was="")))
    assert "the previous image is unknown" == unknown.says[0]
    assert "Fix the problem and run this again" in unknown.says[-1]


def test_a_step_that_fails_stops_the_upgrade() -> None:
    """With its own text: the next run tries it again."""
    done = replace(FACTS, done=Result("hand-out", 1, "the service doesn't hand it out"))
    host = replace(FACTS.host, result=Result("remove", 1, "permission denied"))
    for move in (returned(done), removed(replace(FACTS, host=host))):
        assert Step("end", number=1) == move.step
        assert not move.over
        assert move.says


def test_the_end_leaves_what_compose_would_start() -> None:
    """.env, then init, then the last message."""
    last = ending(0, "done")
    assert Step("record") == settled(FACTS, last).step
    assert Step("settle") == settled(replace(FACTS, done=Result("record")), last).step
    result = replace(FACTS.host, result=Result("settle"))
    assert last == settled(replace(FACTS, host=result), last)


def test_who_has_calls() -> None:
    """Relays on the usual ports, by the version that they run."""
    calls = replace(FACTS, allocations={"coturn": 1, "coturn-next": 1})
    assert (("coturn",), ()) == (busy(calls, new=False), busy(calls, new=True))
