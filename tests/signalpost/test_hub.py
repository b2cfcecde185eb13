"""The hub: who is reached by what."""

from __future__ import annotations

import pytest

from signalpost.auth import Kind, Principal
from signalpost.errors import Draining, NoSuchPeer, NotInRoom, PermissionDenied, TooManyRooms
from signalpost.hub import GoAway, Hub, Notice
from signalpost.rooms import PeerId, PeerLeft, RoomId, Signalled
from signalpost.settings import Limits

R, S = RoomId("r"), RoomId("s")
GUEST = Principal(Kind.GUEST, "guest")


class Recorder:
    """A dialect that counts its work; frames are the notices' reprs."""

    def __init__(self) -> None:
        self.dumped = 0

    def dump(self, notice: Notice) -> str:
        self.dumped += 1
        return repr(notice)


class Box:
    def __init__(self, dialect: Recorder) -> None:
        self.dialect = dialect
        self.frames: list[str] = []

    def send(self, frame: str) -> None:
        self.frames.append(frame)


def _room_of(hub: Hub, count: int, dialect: Recorder) -> list[tuple[PeerId, Box]]:
    peers = []
    for _ in range(count):
        box = Box(dialect)
        peer = hub.connect(GUEST, box)
        hub.join(peer, R)
        peers.append((peer, box))
    return peers


def test_a_fan_out_is_encoded_once() -> None:
    """However many are told, each dialect encodes a notice once."""
    hub, dialect = Hub(Limits()), Recorder()
    peers = _room_of(hub, 10, dialect)
    dialect.dumped = 0
    hub.signal(peers[0][0], "data", to=None, room=R)
    assert dialect.dumped == 1
    frame = repr(Signalled(R, peers[0][0], "data"))
    assert [box.frames[-1] == frame for _, box in peers] == [False] + [True] * 9


def test_disconnect_leaves_every_room() -> None:
    """A peer that disconnects leaves all its rooms, and empty rooms are forgotten."""
    hub, dialect = Hub(Limits()), Recorder()
    (one, _), (two, box) = _room_of(hub, 2, dialect)
    hub.join(one, S)
    hub.disconnect(one)
    assert box.frames[-1] == repr(PeerLeft(R, one))
    assert hub.room_count == 1
    hub.disconnect(two)
    assert hub.room_count == 0


def test_the_shared_room_is_found() -> None:
    """A signal to a peer without a room goes by the first room both are in."""
    hub, dialect = Hub(Limits()), Recorder()
    (one, _), (two, box) = _room_of(hub, 2, dialect)
    hub.signal(one, "data", to=two, room=None)
    assert box.frames[-1] == repr(Signalled(R, one, "data"))
    hub.leave(two, R)
    with pytest.raises(NoSuchPeer):
        hub.signal(one, "data", to=two, room=None)


def test_after_leaving() -> None:
    """Who has left neither hears nor is heard, and cannot leave again."""
    hub, dialect = Hub(Limits()), Recorder()
    (one, _), (two, box) = _room_of(hub, 2, dialect)
    hub.leave(two, R)
    heard = len(box.frames)
    hub.signal(one, "data", to=None, room=R)
    assert len(box.frames) == heard
    with pytest.raises(NotInRoom):
        hub.signal(two, "data", to=None, room=R)
    with pytest.raises(NotInRoom):
        hub.leave(two, R)


def test_rights_are_the_hubs() -> None:
    """The hub holds every dialect to the token's rooms."""
    hub = Hub(Limits())
    peer = hub.connect(Principal(Kind.USER, "u", rooms=frozenset({"r"})), Box(Recorder()))
    hub.join(peer, R)
    with pytest.raises(PermissionDenied):
        hub.join(peer, S)


def test_draining() -> None:
    """Every peer is asked to leave, each at its own time; nobody joins or comes in any more."""
    hub, dialect, times = Hub(Limits()), Recorder(), iter((10, 20))
    (one, first), (two, second) = _room_of(hub, 2, dialect)
    hub.drain(lambda: next(times), 5_000)
    assert repr(GoAway(10, 5_000)) == first.frames[-1]
    assert repr(GoAway(20, 5_000)) == second.frames[-1]
    with pytest.raises(Draining):
        hub.join(one, S)
    with pytest.raises(Draining):
        hub.connect(GUEST, Box(dialect))
    hub.signal(one, "goes on", to=two, room=R)
    assert repr(Signalled(R, one, "goes on")) == second.frames[-1]


def test_other_limits() -> None:
    """New limits hold for the next join, and throw nobody out."""
    hub = Hub(Limits())
    peer = hub.connect(GUEST, Box(Recorder()))
    hub.join(peer, R)
    hub.limits = Limits(rooms_per_peer=1)
    with pytest.raises(TooManyRooms):
        hub.join(peer, S)
    hub.signal(peer, "still here", to=None, room=R)
