"""The client's numbers, against a service that loses the connection whenever it likes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost import messages
from signalpost.client.errors import Refused
from signalpost.client.session import Gap, Message, Session
from signalpost.rooms import RoomId
from tests.signalpost.cases import CASES


def leave(room: int) -> Message:
    return messages.Leave(room=RoomId(str(room)))


def welcome(**members: object) -> messages.Welcome:
    return messages.Welcome("peer", "user", [], session="proof", **members)  # type: ignore[arg-type]


def frames(session: Session) -> list[tuple[int, str]]:
    """(number, room) of everything that is to be written."""
    written = []
    while (frame := session.next_frame()) is not None:
        message = msgspec.json.decode(frame)
        written.append((message["seq"], message["room"]))
    return written


def test_numbers_from_one_on() -> None:
    """Messages are numbered in the order they are sent, whenever the connection opens."""
    session = Session()
    session.send(leave(1))
    session.welcome(welcome(received=0))
    session.send(leave(2))
    assert [(1, "1"), (2, "2")] == frames(session)
    assert session.waits
    assert ["1", "2"] == [message.room for message in session.acknowledge(2)]  # type: ignore[union-attr]
    assert not session.waits


def test_resumed() -> None:
    """What the service has is not sent again; the rest is, with its numbers."""
    session = Session()
    session.welcome(welcome(received=0))
    for room in range(1, 5):
        session.send(leave(room))
    frames(session)
    forgotten, taken = session.welcome(welcome(resumed=True, received=3))
    assert (False, 3) == (forgotten, len(taken))
    assert [(4, "4")] == frames(session)


def test_forgotten() -> None:
    """Both sides count from one again, and what was not acknowledged is given back."""
    session = Session()
    session.welcome(welcome(received=0))
    assert session.take(1)
    session.send(leave(1))
    session.send(leave(2))
    session.acknowledge(1)
    forgotten, lost = session.welcome(welcome(resumed=False, received=0))
    assert (True, ["2"]) == (forgotten, [message.room for message in lost])  # type: ignore[union-attr]
    session.send(leave(3))
    assert [(1, "3")] == frames(session)
    assert session.take(1)


def test_repeats_and_gaps() -> None:
    """A repeat is dropped, a gap is told, and nothing is acknowledged that has not come."""
    session = Session()
    session.welcome(welcome(received=0))
    assert session.take(1)
    assert not session.take(1)
    with pytest.raises(Gap):
        session.take(3)
    assert 1 == session.owed
    assert b'{"type":"ack","seq":1}' == session.ack()
    assert 0 == session.owed


def test_what_cannot_be_sent_takes_no_number() -> None:
    """The next message has the number that it would have had."""
    session = Session()
    with pytest.raises(Refused):
        session.send(messages.Leave(room=RoomId("")))
    session.send(leave(1))
    assert [(1, "1")] == frames(session)


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.sampled_from(["send", "write", "take", "ack", "cut"]), max_size=60))
def test_the_service_takes_each_once_and_in_order(steps: list[str]) -> None:
    """Whatever is written, lost, acknowledged and resumed in whatever order."""
    session, sent = Session(), 0
    wire: list[tuple[int, str]] = []
    taken: list[str] = []
    session.welcome(welcome(received=0))
    for step in [*steps, "cut", "write", *["take"] * 60]:
        match step:
            case "send":
                sent += 1
                session.send(leave(sent))
            case "write":
                wire += frames(session)
            case "take" if wire:
                number, room = wire.pop(0)
                assert len(taken) + 1 == number
                taken.append(room)
            case "ack":
                session.acknowledge(len(taken))
            case "cut":
                wire.clear()
                session.welcome(welcome(resumed=True, received=len(taken)))
    assert [str(number) for number in range(1, sent + 1)] == taken
