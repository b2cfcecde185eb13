"""The client's numbers, against a service that loses the connection whenever it likes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.client.errors import Refused
from signalpost.client.session import Gap, Message, Session
from signalpost.dialects.native import messages
from signalpost.ids import RoomId
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
    """Messages that the service has aren't sent again. The rest is, with its numbers."""
    session = Session()
    session.welcome(welcome(received=0))
    for room in range(1, 5):
        session.send(leave(room))
    frames(session)
    taken, lost, _ = session.welcome(welcome(resumed=True, received=3))
    assert (None, 3) == (lost, len(taken))
    assert [(4, "4")] == frames(session)


def test_forgotten() -> None:
    """Both sides count from one again, and what was not acknowledged is given back."""
    session = Session()
    session.welcome(welcome(received=0))
    assert session.take(1)
    session.send(leave(1))
    session.send(leave(2))
    session.acknowledge(1)
    _, lost, _ = session.welcome(welcome(resumed=False, received=0))
    assert ["2"] == [message.room for message in lost or ()]  # type: ignore[union-attr]
    session.send(leave(3))
    assert [(1, "3")] == frames(session)
    assert session.take(1)


def test_repeats_and_gaps() -> None:
    """A repeat is dropped, a gap is reported, and only received messages are acknowledged."""
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


def signal(size: int) -> Message:
    data = msgspec.Raw(msgspec.json.encode("x" * size))
    return messages.Signal(room=RoomId("r"), data=data)


def sizes(session: Session) -> list[tuple[int, int]]:
    """(number, size of the data) of everything that is to be written."""
    written = []
    while (frame := session.next_frame()) is not None:
        message = msgspec.json.decode(frame)
        written.append((message["seq"], len(message["data"])))
    return written


def limits(message_bytes: int) -> messages.Limits:
    return messages.Limits(message_bytes, 50, 100)


@pytest.mark.parametrize("resumed", [True, False])
def test_a_service_that_takes_less(resumed: bool) -> None:
    """What has become too large is given back, and the rest keeps its order under numbers without
    a gap.
    """
    session = Session()
    session.welcome(welcome(received=0, limits=limits(65_536)))
    for size in (1, 2, 9_000, 3, 8_000):
        session.send(signal(size))
    assert 5 == len(sizes(session))
    again = welcome(resumed=resumed, received=1 if resumed else 0, limits=limits(4_096))
    taken, lost, refused = session.welcome(again)
    assert [9_000, 8_000] == [len(message.data) - 2 for message in refused]  # type: ignore[union-attr]
    if resumed:
        assert (1, None) == (len(taken), lost)
        assert [(2, 2), (3, 3)] == sizes(session)
    else:
        assert [1, 2, 3] == [len(message.data) - 2 for message in lost or ()]  # type: ignore[union-attr]
    with pytest.raises(Refused, match="at most 4096 bytes"):
        session.send(signal(4_000))
    session.send(signal(4))
    assert [(4 if resumed else 1, 4)] == sizes(session)


def test_closed_for_size() -> None:
    """If the service doesn't say its limit, the largest written message is given up."""
    session = Session()
    session.welcome(welcome(received=0))
    assert not session.closed_for_size()
    for size in (10, 9_000, 20):
        session.send(signal(size))
    sizes(session)
    session.send(signal(10_000))  # this one it has not seen
    assert session.closed_for_size()
    _, _, refused = session.welcome(welcome(resumed=True, received=1))
    assert [9_000, 10_000] == [len(message.data) - 2 for message in refused]  # type: ignore[union-attr]
    assert [(2, 20)] == sizes(session)


@settings(max_examples=CASES, deadline=None)
@given(st.lists(st.sampled_from(["send", "write", "take", "ack", "cut"]), max_size=60))
def test_the_service_takes_each_once_and_in_order(steps: list[str]) -> None:
    """Messages are written, lost, acknowledged and resumed in any order."""
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
