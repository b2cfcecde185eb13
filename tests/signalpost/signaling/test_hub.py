"""The hub: which peers a notice reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec import Raw

from signalpost.access.auth import Kind, Principal
from signalpost.config.settings import Limits
from signalpost.errors import (
    Banned,
    Draining,
    NoSuchPeer,
    NotInRoom,
    PermissionDenied,
    SignalpostError,
    TooManyRooms,
)
from signalpost.ids import CallId, PeerId, RoomId, UserId
from signalpost.signaling import calls, rooms
from signalpost.signaling.hub import Delivered, Encoded, GoAway, Hub, Notice, Receipt
from signalpost.signaling.rooms import Change, PeerLeft, Signalled, Texted
from signalpost.tokens import Permission

R, S = RoomId("r"), RoomId("s")
CALL = CallId("b7TtYV2g0Zq1xN5c")
DATA = Raw(b'"data"')
GUEST = Principal(Kind.GUEST, "guest")


class Recorder:
    """A dialect that counts its work; an encoding is the number of the notice that it remembers."""

    def __init__(self) -> None:
        self.encoded: list[Notice] = []

    def encode(self, notice: Notice) -> Encoded:
        self.encoded.append(notice)
        return Encoded(b"%d" % (len(self.encoded) - 1))


class Box:
    """An outbox that remembers."""

    def __init__(self, dialect: Recorder) -> None:
        self.dialect = dialect
        self.heard: list[Notice] = []
        self.receipts: list[Receipt | None] = []

    def send(self, encoded: Encoded, receipt: Receipt | None = None) -> None:
        self.heard.append(self.dialect.encoded[int(encoded)])
        self.receipts.append(receipt)

    def terminate(self, error: SignalpostError) -> None:
        raise AssertionError(f"nobody is put out here: {error}")


class Never:
    def cancel(self) -> None:
        pass


def _later(seconds: float, do: Callable[[], None]) -> Never:
    return Never()


def make(limits: Limits | None = None) -> Hub:
    return Hub(limits or Limits(), lambda: 0.0, _later)


def user(name: str) -> Principal:
    return Principal(Kind.USER, f"id of {name}", subject=name)


def enter(hub: Hub, box: Box, principal: Principal = GUEST) -> PeerId:
    peer, _ = hub.connect(principal, box)
    hub.ring_device(peer)
    return peer


def room_of(hub: Hub, count: int, dialect: Recorder) -> Iterator[tuple[PeerId, Box]]:
    for _ in range(count):
        box = Box(dialect)
        peer = enter(hub, box)
        hub.join(peer, R)
        yield peer, box


def test_a_fan_out_is_encoded_once() -> None:
    """Each dialect encodes a notice once, for any number of peers."""
    hub, dialect, other = make(), Recorder(), Recorder()
    (one, first), *others = [*room_of(hub, 10, dialect), *room_of(hub, 5, other)]
    dumped = len(dialect.encoded), len(other.encoded)
    hub.forward(Signalled(R, one, DATA), None)
    assert (dumped[0] + 1, dumped[1] + 1) == (len(dialect.encoded), len(other.encoded))
    assert Signalled(R, one, DATA) not in first.heard
    assert [Signalled(R, one, DATA)] * 14 == [box.heard[-1] for _, box in others]


def test_disconnect_leaves_every_room() -> None:
    """A peer that disconnects leaves all its rooms, and empty rooms are forgotten."""
    hub = make()
    (one, _), (two, box) = room_of(hub, 2, Recorder())
    hub.join(one, S)
    hub.disconnect(one)
    assert PeerLeft(R, one, host=two) == box.heard[-1]
    assert 1 == hub.room_count
    hub.disconnect(two)
    assert 0 == hub.room_count


def test_the_shared_room_is_found() -> None:
    """A message to a peer without a room goes by the first room both are in."""
    hub = make()
    (one, _), (two, box) = room_of(hub, 2, Recorder())
    hub.forward(Signalled(None, one, DATA), two)
    hub.forward(Texted(None, one, "Hello"), two)
    assert [Signalled(R, one, DATA), Texted(R, one, "Hello")] == box.heard[-2:]
    hub.leave(two, R)
    with pytest.raises(NoSuchPeer):
        hub.forward(Signalled(None, one, DATA), two)


def test_receipts_are_for_one_addressee() -> None:
    """A message with an id to one peer asks for a receipt; to a room, or without one, none."""
    hub = make()
    (one, first), (two, box) = room_of(hub, 2, Recorder())
    hub.forward(Signalled(None, one, DATA, "m1"), two)
    hub.forward(Texted(R, one, "Hello", 2), two)
    hub.forward(Signalled(None, one, DATA), two)
    hub.forward(Signalled(R, one, DATA, "m3"), None)
    assert [Receipt(one, "m1"), Receipt(one, 2), None, None] == box.receipts[-4:]
    hub.delivered(Receipt(one, "m1"), two)
    assert Delivered("m1", two) == first.heard[-1]
    hub.disconnect(one)
    hub.delivered(Receipt(one, 2), two)  # nobody is left to be told


def test_after_leaving() -> None:
    """A peer that has left neither sends nor receives, and can't leave again."""
    hub = make()
    (one, _), (two, box) = room_of(hub, 2, Recorder())
    hub.leave(two, R)
    heard = len(box.heard)
    hub.forward(Signalled(R, one, DATA), None)
    assert heard == len(box.heard)
    with pytest.raises(NotInRoom):
        hub.forward(Signalled(R, two, DATA), None)
    with pytest.raises(NotInRoom):
        hub.leave(two, R)


def test_rights_are_the_hubs() -> None:
    """The hub holds every dialect to the token's rooms and permissions."""
    hub = make()
    rights = frozenset({Permission.JOIN})
    bound = Principal(Kind.USER, "u", frozenset({"r"}), rights, "u")
    peer = enter(hub, Box(Recorder()), bound)
    hub.join(peer, R)
    with pytest.raises(PermissionDenied):
        hub.join(peer, S)
    with pytest.raises(PermissionDenied):
        hub.forward(Signalled(R, peer, DATA), None)
    with pytest.raises(PermissionDenied):
        hub.forward(Texted(R, peer, "data"), None)
    with pytest.raises(PermissionDenied):
        hub.invite(peer, CALL, UserId("bob"))


def test_draining() -> None:
    """Every peer is asked to leave, each at its own time; nobody joins or comes in any more."""
    hub, dialect, times = make(), Recorder(), iter((10, 20))
    (one, first), (two, second) = room_of(hub, 2, dialect)
    hub.drain(lambda: next(times), 5_000)
    assert GoAway(10, 5_000) == first.heard[-1]
    with pytest.raises(Draining):
        hub.join(one, S)
    with pytest.raises(Draining):
        hub.connect(GUEST, Box(dialect))
    hub.forward(Signalled(R, one, Raw(b'"goes on"')), two)
    assert [GoAway(20, 5_000), Signalled(R, one, Raw(b'"goes on"'))] == second.heard[-2:]


def test_other_limits() -> None:
    """New limits hold for the next join, and throw nobody out."""
    hub = make()
    ((peer, _),) = room_of(hub, 1, Recorder())
    hub.limits = Limits(rooms_per_peer=1)
    with pytest.raises(TooManyRooms):
        hub.join(peer, S)
    hub.forward(Signalled(R, peer, Raw(b'"still here"')), None)


def test_kicked() -> None:
    """A kicked user is out of the room, and can't return with another device."""
    hub, dialect = make(), Recorder()
    ((host, _),) = room_of(hub, 1, dialect)
    bob, box = enter(hub, Box(dialect), user("bob")), Box(dialect)
    hub.join(bob, R)
    hub.kick(R, bob, by=host)
    with pytest.raises(NotInRoom):
        hub.forward(Signalled(R, bob, DATA), None)
    tablet = enter(hub, box, user("bob"))
    with pytest.raises(Banned):
        hub.join(tablet, R)
    hub.join(tablet, S)


def test_change_and_close() -> None:
    """A room's host changes it; the back end closes it, and it is gone."""
    hub = make()
    (one, first), (_, second) = room_of(hub, 2, Recorder())
    hub.change(R, Change(one, 50, capacity=2))
    assert isinstance(second.heard[-1], rooms.Changed)
    hub.close(R)
    assert rooms.Left(R, reason="closed") == first.heard[-1] == second.heard[-1]
    assert hub.room(R) is None
    with pytest.raises(NotInRoom):
        hub.close(R)
    hub.join(one, R)
    assert 1 == hub.room_count


def invited(box: Box) -> bool:
    return any(isinstance(notice, calls.Invited) for notice in box.heard)


def test_a_call_rings_every_device() -> None:
    """Every device of the user rings, one that comes later too, and not the caller's own."""
    hub, dialect = make(), Recorder()
    phone, laptop, tablet = Box(dialect), Box(dialect), Box(dialect)
    caller = enter(hub, phone, user("bob"))
    enter(hub, laptop, user("bob"))
    hub.invite(caller, CALL, UserId("bob"))
    enter(hub, tablet, user("bob"))
    assert [False, True, True] == [invited(box) for box in (phone, laptop, tablet)]


def test_two_in_a_call_may_signal() -> None:
    """Two peers in an answered call need no room to signal each other."""
    hub, dialect = make(), Recorder()
    box = Box(dialect)
    ann, bob = enter(hub, Box(dialect), user("ann")), enter(hub, box, user("bob"))
    hub.invite(ann, CALL, UserId("bob"))
    with pytest.raises(NoSuchPeer):
        hub.forward(Signalled(None, ann, Raw(b'"early"')), bob)
    hub.calls.apply(CALL, calls.Accept(bob))
    hub.forward(Signalled(None, ann, Raw(b'"now"')), bob)
    assert Signalled(None, ann, Raw(b'"now"')) == box.heard[-1]
    hub.calls.apply(CALL, calls.HangUp(bob))
    with pytest.raises(NoSuchPeer):
        hub.forward(Signalled(None, ann, Raw(b'"late"')), bob)


def test_whom_a_guest_reaches() -> None:
    """A guest calls a guest by its id, and a named user's devices in a room with it alone."""
    hub, dialect = make(), Recorder()
    phone, laptop, other = Box(dialect), Box(dialect), Box(dialect)
    guest = enter(hub, Box(dialect))
    hub.join(guest, R)
    bobs = [enter(hub, box, user("bob")) for box in (phone, laptop)]
    hub.invite(guest, CALL, UserId("bob"))
    assert [False, False] == [invited(phone), invited(laptop)], "nobody in a room with the guest"
    hub.join(bobs[0], R)
    assert [True, False] == [invited(phone), invited(laptop)], "it waited for one to come"
    tilde = UserId(f"~{enter(hub, other)}")
    hub.invite(guest, CallId("another-call-0001"), tilde)
    assert invited(other)
