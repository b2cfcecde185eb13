"""The room state machine, against a model that is a list of names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signalpost.errors import AlreadyJoined, NoSuchPeer, NotInRoom, NotPossible, RoomFull
from signalpost.rooms import (
    Join,
    Joined,
    Leave,
    Left,
    Neighbour,
    PeerId,
    PeerJoined,
    PeerLeft,
    Room,
    RoomId,
    Signal,
    Signalled,
    Tell,
    step,
)

A, B, C, D = (PeerId(name) for name in "abcd")
ROOM = RoomId("r")


def test_first_to_join() -> None:
    """The first peer is told of nobody and nobody is told of it."""
    room, tells = step(Room(ROOM, 2), Join(A, ref=7))
    assert room.members == (A,)
    assert tells == (Tell((A,), Joined(ROOM, (), 7)),)


def test_newcomer_is_polite() -> None:
    """The newcomer yields to those who were there, who are told that they need not."""
    _, tells = step(Room(ROOM, 3, (A, B)), Join(C))
    assert tells == (
        Tell((C,), Joined(ROOM, (Neighbour(A, True), Neighbour(B, True)), None)),
        Tell((A, B), PeerJoined(ROOM, Neighbour(C, False))),
    )


def test_leave() -> None:
    """Who leaves is told so, and the others by whom they were left."""
    room, tells = step(Room(ROOM, 3, (A, B)), Leave(A, ref="x"))
    assert room.members == (B,)
    assert tells == (Tell((A,), Left(ROOM, "x")), Tell((B,), PeerLeft(ROOM, A)))


def test_signal_to_one_and_to_all() -> None:
    """A signal goes to its addressee, or to everybody but its sender."""
    room = Room(ROOM, 3, (A, B, C))
    assert step(room, Signal(A, B, 1)) == (room, (Tell((B,), Signalled(ROOM, A, 1)),))
    assert step(room, Signal(A, None, 1)) == (room, (Tell((B, C), Signalled(ROOM, A, 1)),))


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (AlreadyJoined, Join(A)),
        (RoomFull, Join(C)),
        (NotInRoom, Leave(C)),
        (NotInRoom, Signal(C, A, 1)),
        (NoSuchPeer, Signal(A, C, 1)),
    ],
)
def test_refusals(error: type[NotPossible], event: Join | Leave | Signal) -> None:
    """What cannot be is refused."""
    with pytest.raises(error):
        step(Room(ROOM, 2, (A, B)), event)


class RoomMachine(RuleBasedStateMachine):
    """Random events; the model is the list of who should be in the room, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(ROOM, 3)
        self.model: list[PeerId] = []

    @contextmanager
    def refused_when(self, refused: bool) -> Iterator[None]:
        before = self.room
        if not refused:
            yield
            return
        with pytest.raises(NotPossible):
            yield
        assert before == self.room

    @rule(peer=st.sampled_from([A, B, C, D]))
    def join(self, peer: PeerId) -> None:
        with self.refused_when(peer in self.model or len(self.model) == 3):
            self.room, tells = step(self.room, Join(peer))
            told = {to for tell in tells for to in tell.to}
            assert told == {peer, *self.model}
            self.model.append(peer)

    @rule(peer=st.sampled_from([A, B, C, D]))
    def leave(self, peer: PeerId) -> None:
        with self.refused_when(peer not in self.model):
            self.room, tells = step(self.room, Leave(peer))
            assert {to for tell in tells for to in tell.to} == set(self.model)
            self.model.remove(peer)

    @rule(sender=st.sampled_from([A, B, C, D]), to=st.sampled_from([None, A, B, C, D]))
    def signal(self, sender: PeerId, to: PeerId | None) -> None:
        stranger = to is not None and to not in self.model
        with self.refused_when(sender not in self.model or stranger):
            self.room, tells = step(self.room, Signal(sender, to, "data"))
            others = [peer for peer in self.model if peer != sender]
            expected = others if to is None else [to]
            assert [list(tell.to) for tell in tells] == [expected]

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert list(self.room.members) == self.model


TestRoomMachine = RoomMachine.TestCase
TestRoomMachine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
