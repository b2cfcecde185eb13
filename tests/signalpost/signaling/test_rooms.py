"""The room state machine: each rule, and random events against a model that is a list."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import Raw

from signalpost.errors import (
    AlreadyJoined,
    BadParameter,
    Banned,
    NoSuchPeer,
    NotInRoom,
    RoleRefused,
    RoomFull,
    RoomLocked,
    SignalpostError,
)
from signalpost.ids import PeerId, RoomId, UserId
from signalpost.signaling.rooms import (
    Change,
    Changed,
    Close,
    Event,
    Join,
    Joined,
    Kick,
    Leave,
    Left,
    Member,
    Neighbour,
    Notice,
    PeerJoined,
    PeerLeft,
    Role,
    Room,
    Tell,
    addressees,
    step,
)
from tests.signalpost.cases import CASES

A, B, C, D = (PeerId(name) for name in "abcd")
ROOM = RoomId("r")


def member(peer: PeerId, role: Role = Role.MEMBER, user: str | None = None) -> Member:
    return Member(peer, UserId(user or f"~{peer}"), role=role)


def room_of(*members: Member, capacity: int = 3) -> Room:
    room = Room(ROOM, capacity)
    for one in members:
        room, _ = step(room, Join(one))
    return room


def test_first_to_join_is_host() -> None:
    """The first peer is the host. Nobody else gets a notice."""
    room, tells = step(Room(ROOM, 2), Join(member(A), ref=7))
    assert {A: member(A, Role.HOST)} == room.members
    assert (Tell((A,), Joined(room, Role.HOST, (), 7)),) == tells


def test_newcomer_is_polite() -> None:
    """The newcomer is polite towards the others, and they are impolite towards it."""
    before = room_of(member(A), member(B))
    room, tells = step(before, Join(member(C)))
    known = (Neighbour(member(A, Role.HOST), True), Neighbour(member(B), True))
    assert (
        Tell((C,), Joined(room, Role.MEMBER, known, None)),
        Tell((A, B), PeerJoined(ROOM, Neighbour(member(C), False))),
    ) == tells


def test_leave() -> None:
    """The leaving peer gets `left`, and the others get `peer-left`."""
    room, tells = step(room_of(member(A), member(B)), Leave(B, ref="x"))
    assert (A,) == tuple(room.members)
    assert (Tell((B,), Left(ROOM, "x")), Tell((A,), PeerLeft(ROOM, B))) == tells


def test_host_is_followed_by_the_oldest_member() -> None:
    """When the host leaves, the member that has been there longest takes its place."""
    before = room_of(member(A), member(B, Role.OBSERVER), member(C), member(D), capacity=4)
    room, tells = step(before, Leave(A))
    assert Tell((B, C, D), PeerLeft(ROOM, A, host=C)) in tells
    assert C == room.host


def test_observers_are_never_host() -> None:
    """A room of observers has no host until a member comes."""
    room = room_of(member(A, Role.OBSERVER), member(B, Role.OBSERVER))
    assert room.host is None
    room, _ = step(room, Join(member(C)))
    assert C == room.host
    assert step(room, Leave(C))[0].host is None


def test_kick() -> None:
    """A kicked peer gets the reason, the host's answer has its ref, and the user stays out."""
    before = room_of(member(A), member(B, user="bob"), member(C))
    room, tells = step(before, Kick(B, by=A, ref=5))
    assert (
        Tell((B,), Left(ROOM, reason="kicked")),
        Tell((C,), PeerLeft(ROOM, B)),
        Tell((A,), PeerLeft(ROOM, B, ref=5)),
    ) == tells
    with pytest.raises(Banned):
        step(room, Join(member(D, user="bob")))


def test_kick_by_the_back_end() -> None:
    """The back end may kick anybody, even the host, and gets no notice itself."""
    room, tells = step(room_of(member(A), member(B)), Kick(A))
    assert B == room.host
    assert (Tell((A,), Left(ROOM, reason="kicked")), Tell((B,), PeerLeft(ROOM, A, B))) == tells


def test_change() -> None:
    """Only named values change. Everybody gets a notice, the host with its ref."""
    room, tells = step(room_of(member(A), member(B)), Change(A, 50, locked=True, ref=1))
    assert (True, 3, None) == (room.locked, room.capacity, room.metadata)
    assert (Tell((A,), Changed(room, 1)), Tell((B,), Changed(room))) == tells
    room, _ = step(room, Change(A, 50, capacity=50, metadata=Raw(b'"m"')))
    assert (True, 50, Raw(b'"m"')) == (room.locked, room.capacity, room.metadata)


def test_lock() -> None:
    """Nobody joins a locked room until it is unlocked."""
    room, _ = step(room_of(member(A)), Change(A, 50, locked=True))
    with pytest.raises(RoomLocked):
        step(room, Join(member(B)))
    room, _ = step(room, Change(A, 50, locked=False))
    assert (A, B) == tuple(step(room, Join(member(B)))[0].members)


def test_close() -> None:
    """A room that is closed puts everybody out."""
    room, tells = step(room_of(member(A), member(B)), Close())
    assert {} == room.members
    assert (Tell((A, B), Left(ROOM, reason="closed")),) == tells


def test_addressees() -> None:
    """A message goes to its addressee, or to everybody but its sender."""
    room = room_of(member(A), member(B), member(C))
    assert (B,) == addressees(room, A, B)
    assert (B, C) == addressees(room, A, None)


def test_observer_answers_but_does_not_address_all() -> None:
    """An observer gets the room's messages and may answer a peer, but not address everybody."""
    room = room_of(member(A), member(B, Role.OBSERVER))
    assert (B,) == addressees(room, A, None)
    assert (A,) == addressees(room, B, A)
    with pytest.raises(RoleRefused):
        addressees(room, B, None)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (AlreadyJoined, Join(member(A))),
        (RoomFull, Join(member(C))),
        (RoomFull, Join(member(C, Role.OBSERVER))),
        (NotInRoom, Leave(C)),
        (NotInRoom, Kick(A, by=C)),
        (RoleRefused, Kick(A, by=B)),
        (NoSuchPeer, Kick(C, by=A)),
        (NoSuchPeer, Kick(C)),
        (BadParameter, Kick(A, by=A)),
        (NotInRoom, Change(C, 50, locked=True)),
        (RoleRefused, Change(B, 50, locked=True)),
        (BadParameter, Change(A, 50, capacity=0)),
        (BadParameter, Change(A, 50, capacity=51)),
    ],
)
def test_refusals(error: type[SignalpostError], event: Event) -> None:
    """Impossible requests, and those without the right, are refused."""
    with pytest.raises(error):
        step(room_of(member(A), member(B), capacity=2), event)


@pytest.mark.parametrize(("error", "sender", "to"), [(NotInRoom, C, A), (NoSuchPeer, A, C)])
def test_unreachable(error: type[SignalpostError], sender: PeerId, to: PeerId) -> None:
    """A peer outside the room neither sends nor receives."""
    with pytest.raises(error):
        addressees(room_of(member(A), member(B)), sender, to)


@dataclass
class Known:
    """The model of one peer in the room."""

    peer: PeerId
    user: str
    role: str


MOST = 5
PEERS = st.sampled_from([PeerId(f"p{number}") for number in range(7)])
USERS = st.sampled_from(["ann", "bob", "eve"])
ROLES = st.sampled_from([Role.MEMBER, Role.OBSERVER])


class RoomMachine(RuleBasedStateMachine):
    """Random events. The model is a list of who should be there, and what each of them was told
    must add up to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(ROOM, 3)
        self.inside: list[Known] = []
        self.banned: set[str] = set()
        self.locked = False
        self.capacity = 3
        self.views: dict[PeerId, dict[PeerId, str]] = {}
        """The peers that each peer knows, with their roles."""

    def who(self, peer: PeerId | None) -> Known | None:
        return next((known for known in self.inside if known.peer == peer), None)

    def happens(self, event: Event, *, allowed: bool) -> None:
        if not allowed:
            before = self.room
            with pytest.raises(SignalpostError):
                step(self.room, event)
            assert before == self.room
            return
        self.room, tells = step(self.room, event)
        for tell in tells:
            assert tell.to, "nobody is told"
            for peer in tell.to:
                self.hear(peer, tell)

    def hear(self, peer: PeerId, tell: Tell[Notice]) -> None:
        match tell.notice:
            case Joined():
                assert peer not in self.views
                neighbours = tell.notice.peers
                assert all(known.polite for known in neighbours)
                view = {one.member.peer: str(one.member.role) for one in neighbours}
                self.views[peer] = view | {peer: str(tell.notice.role)}
            case PeerJoined():
                newcomer = tell.notice.neighbour.member
                assert not tell.notice.neighbour.polite
                self.views[peer][newcomer.peer] = str(newcomer.role)
            case Left():
                del self.views[peer]
            case PeerLeft():
                del self.views[peer][tell.notice.peer]
                if tell.notice.host is not None:
                    self.views[peer][tell.notice.host] = "host"
            case Changed():
                shown = tell.notice.room
                assert (self.locked, self.capacity) == (shown.locked, shown.capacity)

    def gone(self, peer: PeerId) -> None:
        self.inside = [known for known in self.inside if known.peer != peer]
        if not any(known.role == "host" for known in self.inside):
            for known in self.inside:
                if known.role == "member":
                    known.role = "host"
                    break

    @rule(peer=PEERS, user=USERS, role=ROLES)
    def join(self, peer: PeerId, user: str, role: Role) -> None:
        fits = len(self.inside) < self.capacity and not self.locked
        allowed = fits and user not in self.banned and self.who(peer) is None
        if allowed:
            hosted = any(known.role == "host" for known in self.inside)
            first = role is Role.MEMBER and not hosted
            self.inside.append(Known(peer, user, "host" if first else str(role)))
        self.happens(Join(member(peer, role, user)), allowed=allowed)

    @rule(peer=PEERS)
    def leave(self, peer: PeerId) -> None:
        allowed = self.who(peer) is not None
        self.gone(peer)
        self.happens(Leave(peer), allowed=allowed)

    @rule(peer=PEERS, by=st.none() | PEERS)
    def kick(self, peer: PeerId, by: PeerId | None) -> None:
        target, asker = self.who(peer), self.who(by)
        right = by is None or (asker is not None and asker.role == "host" and by != peer)
        allowed = right and target is not None
        if allowed and target is not None:
            self.banned.add(target.user)
            self.gone(peer)
        self.happens(Kick(peer, by), allowed=allowed)

    @rule(by=PEERS, locked=st.none() | st.booleans(), capacity=st.none() | st.integers(0, 6))
    def change(self, by: PeerId, locked: bool | None, capacity: int | None) -> None:
        asker = self.who(by)
        fits = capacity is None or 1 <= capacity <= MOST
        allowed = fits and asker is not None and asker.role == "host"
        if allowed:
            self.locked = self.locked if locked is None else locked
            self.capacity = self.capacity if capacity is None else capacity
        self.happens(Change(by, MOST, locked, capacity), allowed=allowed)

    @rule()
    def close(self) -> None:
        self.inside = []
        self.happens(Close(), allowed=True)

    @rule(sender=PEERS, to=st.none() | PEERS)
    def address(self, sender: PeerId, to: PeerId | None) -> None:
        asker = self.who(sender)
        reaches = self.who(to) is not None if to else asker is not None and asker.role != "observer"
        if asker is not None and reaches:
            others = tuple(known.peer for known in self.inside if known.peer != sender)
            assert ((to,) if to else others) == addressees(self.room, sender, to)
        else:
            with pytest.raises(SignalpostError):
                addressees(self.room, sender, to)

    @invariant()
    def room_and_model_agree(self) -> None:
        assert [(known.peer, known.role) for known in self.inside] == [
            (peer, one.role) for peer, one in self.room.members.items()
        ]

    @invariant()
    def everybody_was_told(self) -> None:
        truth = {known.peer: known.role for known in self.inside}
        assert dict.fromkeys(truth, truth) == self.views


TestRoomMachine = RoomMachine.TestCase
TestRoomMachine.settings = settings(max_examples=CASES, stateful_step_count=15, deadline=None)
