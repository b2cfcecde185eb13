"""The hub: keeps peers, rooms and calls, and sends notices to outboxes.

Only the hub reaches a peer. It asks the peer's dialect to encode a notice, and a notice to many is
encoded once for each dialect. A peer's id says nothing about its node.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NewType, Protocol

import msgspec

from signalpost.access.auth import Kind, Principal
from signalpost.access.bans import Ban, Bans
from signalpost.config.settings import Limits
from signalpost.errors import (
    BadParameter,
    Banned,
    Draining,
    NoSuchPeer,
    NotInRoom,
    SignalpostError,
    TooManyConnections,
    TooManyRooms,
)
from signalpost.ids import CallId, PeerId, Ref, RoomId, UserId
from signalpost.signaling import calls, rooms
from signalpost.signaling.callregistry import CallRecord, CallRegistry, Later
from signalpost.signaling.calls import Call
from signalpost.signaling.rooms import (
    Change,
    Close,
    Event,
    Join,
    Kick,
    Leave,
    Member,
    Role,
    Room,
    Signalled,
    Tell,
    Texted,
    addressees,
    step,
)
from signalpost.tokens import Permission

__all__ = [
    "Delivered",
    "Dialect",
    "Encoded",
    "GoAway",
    "Hub",
    "Notice",
    "Outbox",
    "Receipt",
    "new_peer",
    "user_of",
]

PEER_ID_BYTES = 10


@dataclass(frozen=True, slots=True)
class GoAway:
    """This process is about to stop: connect again after `retry_after_ms`. It closes what is left
    after `closes_in_ms`.
    """

    retry_after_ms: int
    closes_in_ms: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The addressee's client has the sender's message `id`."""

    id: str | int
    to: PeerId


class Receipt(NamedTuple):
    """The sender wants to know when its message `id` has arrived."""

    sender: PeerId
    id: str | int


Notice = rooms.Notice | calls.Notice | Delivered | GoAway


Encoded = NewType("Encoded", bytes)
"""A notice in a dialect's encoding, the same for all its peers. It isn't a frame yet: the outbox
adds what differs from peer to peer, such as a number.
"""


class Dialect(Protocol):
    """Encodes notices. Each dialect is one object, because the hub compares by identity."""

    def encode(self, notice: Notice) -> Encoded: ...


class Outbox(Protocol):
    """Sends to one peer. `send` never waits and never fails. With a `receipt`, `Hub.delivered` is
    called once the peer's client has the message; a dialect without acknowledgements ignores it.
    """

    @property
    def dialect(self) -> Dialect: ...

    def send(self, encoded: Encoded, receipt: Receipt | None = None) -> None: ...

    def terminate(self, error: SignalpostError) -> None:
        """Tell the peer why, and end its session. This calls `Hub.disconnect`."""


RoomChanged = Callable[[Room | None, Event, Room], None]
"""Called after every step of a room: the room before (None: a new room), the event, the room after.
"""


def new_peer() -> PeerId:
    """A random id for a new peer."""
    return PeerId(secrets.token_hex(PEER_ID_BYTES))


def user_of(principal: Principal, peer: PeerId) -> UserId:
    """How other peers know the peer's user."""
    return UserId(principal.subject or f"~{peer}")


def _share_room(one: _Peer, other: _Peer) -> bool:
    return not one.rooms.keys().isdisjoint(other.rooms)


@dataclass(slots=True)
class _Peer:
    principal: Principal
    outbox: Outbox
    user: UserId
    name: str | None
    may_signal: bool
    rooms: dict[RoomId, None] = field(default_factory=dict)
    """In the order of joining."""


class Hub:
    """`clock` gives Unix time; `later` starts a timer. `call_changed` gets every change of a call's
    record.
    """

    __slots__ = (
        "_peers",
        "_room_changed",
        "_rooms",
        "_users",
        "bans",
        "calls",
        "draining",
        "limits",
    )

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        later: Later,
        call_changed: Callable[[CallRecord], None] = lambda record: None,
        room_changed: RoomChanged = lambda before, event, after: None,
    ) -> None:
        self.limits = limits
        self.bans = Bans(clock)
        self.draining = False
        self.calls = CallRegistry(self._tell, clock, later, call_changed)
        self._room_changed = room_changed
        self._rooms: dict[RoomId, Room] = {}
        self._peers: dict[PeerId, _Peer] = {}
        self._users: dict[UserId, tuple[PeerId, ...]] = {}
        """A user's devices."""

    @property
    def room_count(self) -> int:
        return len(self._rooms)

    @property
    def rooms(self) -> Iterator[Room]:
        return iter(tuple(self._rooms.values()))

    def room(self, room: RoomId) -> Room | None:
        return self._rooms.get(room)

    def drain(self, retry_after_ms: Callable[[], int], closes_in_ms: int) -> None:
        """Accept no more peers or joins, and ask every peer to leave. Each gets a time of its own,
        so that they don't all return at once.
        """
        self.draining = True
        for peer in self._peers.values():
            notice = GoAway(retry_after_ms(), closes_in_ms)
            peer.outbox.send(peer.outbox.dialect.encode(notice))

    # --- peers ---------------------------------------------------------------------------------

    def connect(
        self,
        principal: Principal,
        outbox: Outbox,
        *,
        name: str | None = None,
        peer: PeerId | None = None,
    ) -> tuple[PeerId, UserId]:
        """Add a peer, under the id that it had before if it proved that. Raises Draining, Banned or
        TooManyConnections.

        It gets nothing until `ring_device`, so that its welcome comes first.
        """
        if self.draining:
            raise Draining
        self.bans.require_none(principal.user_id)
        peer = peer or new_peer()
        user = user_of(principal, peer)
        devices = self._users.get(user, ())
        if len(devices) >= self.limits.peers_per_user:
            raise TooManyConnections("too many connections: disconnect a device")
        self._peers[peer] = _Peer(
            principal, outbox, user, name, Permission.SIGNAL in principal.permissions
        )
        self._users[user] = (*devices, peer)
        return peer, user

    def disconnect(self, peer: PeerId) -> None:
        """Remove a peer. Its rooms and calls are told; the peer isn't."""
        gone = self._peers.pop(peer)
        devices = tuple(device for device in self._users[gone.user] if device != peer)
        if devices:
            self._users[gone.user] = devices
        else:
            del self._users[gone.user]
        self.calls.lost(peer)
        leave = Leave(peer)
        for room in gone.rooms:
            self._apply(leave, *step(self._rooms[room], leave))

    def ban(self, room: RoomId, peer: PeerId, seconds: float) -> Ban:
        """Kick a peer from a room, and ban its user from the service for so long: all of a user's
        devices, or all guests from an address. Raises NotInRoom, NoSuchPeer or BadParameter.
        """
        if peer not in self._room(room).members:
            raise NoSuchPeer("there is no such peer in this room")
        known = self._peers[peer]
        user_id = known.principal.user_id
        if known.principal.kind is Kind.SERVER:
            raise BadParameter(
                "this peer has an API key, which can't be banned: revoke the key instead"
            )
        self.kick(room, peer)
        ban = self.bans.add(user_id, known.user, peer, room, seconds)
        for other in tuple(self._peers.values()):
            if other.principal.user_id == user_id:
                other.outbox.terminate(Banned("you are banned from this service", seconds))
        return ban

    def ring_device(self, peer: PeerId) -> None:
        """Ring a peer that has connected, or joined a room, for calls that ring its user."""
        device = self._peers[peer]
        self.calls.ring_device(
            peer, device.user, lambda call: self._reaches(self._peers[call.caller], device)
        )

    def delivered(self, receipt: Receipt, to: PeerId) -> None:
        """The client of `to` has the message that the receipt is for."""
        self._send((receipt.sender,), Delivered(receipt.id, to))

    # --- rooms ---------------------------------------------------------------------------------

    def join(
        self,
        peer: PeerId,
        room: RoomId,
        ref: Ref = None,
        *,
        role: Role = Role.MEMBER,
        metadata: msgspec.Raw | None = None,
    ) -> None:
        """Raises Draining, TooManyRooms, and what the room's and the principal's rules raise."""
        if self.draining:
            raise Draining
        joiner = self._peers[peer]
        joiner.principal.require(Permission.JOIN)
        joiner.principal.require_room(room)
        state = self._rooms.get(room) or Room(room, self.limits.peers_per_room)
        if len(joiner.rooms) >= self.limits.rooms_per_peer and room not in joiner.rooms:
            raise TooManyRooms(f"you are in {len(joiner.rooms)} rooms, which is the limit")
        member = Member(peer, joiner.user, joiner.name, role, metadata)
        event = Join(member, ref)
        after, tells = step(state, event)
        joiner.rooms[room] = None
        self._apply(event, after, tells)
        self.ring_device(peer)

    def leave(self, peer: PeerId, room: RoomId, ref: Ref = None) -> None:
        """Raises NotInRoom."""
        event = Leave(peer, ref)
        after, tells = step(self._room(room), event)
        del self._peers[peer].rooms[room]
        self._apply(event, after, tells)

    def kick(
        self, room: RoomId, peer: PeerId, *, by: PeerId | None = None, ref: Ref = None
    ) -> None:
        """Raises NotInRoom, NoSuchPeer, RoleRefused or BadParameter."""
        event = Kick(peer, by, ref)
        after, tells = step(self._room(room), event)
        del self._peers[peer].rooms[room]
        self._apply(event, after, tells)

    def change(self, room: RoomId, event: Change) -> None:
        """Raises NotInRoom, RoleRefused or BadParameter."""
        self._apply(event, *step(self._room(room), event))

    def close(self, room: RoomId) -> None:
        """Remove everybody. Raises NotInRoom if there is no such room."""
        state = self._room(room)
        for peer in state.members:
            del self._peers[peer].rooms[room]
        event = Close()
        self._apply(event, *step(state, event))

    # --- messages ------------------------------------------------------------------------------

    def forward(self, message: Signalled | Texted, to: PeerId | None) -> None:
        """Send a peer's message to one peer, or to everybody else in the room.

        Without a room, it's the first room that both are in, or the call between them. Whether a
        peer exists elsewhere stays secret. Raises PermissionDenied, BadParameter, NotInRoom,
        NoSuchPeer or RoleRefused.
        """
        room, sender, _, ref = message
        peer = self._peers[sender]
        if not peer.may_signal:
            peer.principal.require(Permission.SIGNAL)
        receivers: tuple[PeerId, ...]
        if room is not None:
            receivers = addressees(self._room(room), sender, to)
        elif to is not None:
            message = message._replace(room=self._shared_room(sender, to))
            receivers = (to,)
        else:
            raise BadParameter("give `to` (a peer) or `room`")
        receipt = None if ref is None or to is None else Receipt(sender, ref)
        self._send(receivers, message, receipt)

    def _shared_room(self, one: PeerId, other: PeerId) -> RoomId | None:
        """The first room that both are in, None if they share a call. Raises NoSuchPeer."""
        theirs = self._peers[other].rooms if other in self._peers else {}
        for room in self._peers[one].rooms:
            if room in theirs:
                return room
        if self.calls.between(one, other) is None:
            raise NoSuchPeer("no such peer shares a room or an answered call with you")
        return None

    # --- calls ---------------------------------------------------------------------------------

    def invite(self, caller: PeerId, call: CallId, user: UserId, ref: Ref = None) -> None:
        """Call every device of `user` that the caller may reach. Raises PermissionDenied,
        TooManyCalls or CallExists.
        """
        peer = self._peers[caller]
        peer.principal.require(Permission.CALL)
        devices = tuple(
            device
            for device in self._users.get(user, ())
            if device != caller and self._reaches(peer, self._peers[device])
        )
        self.calls.invite(Call(call, caller, peer.user, user, peer.name, devices), ref)

    @staticmethod
    def _reaches(caller: _Peer, device: _Peer) -> bool:
        """Anybody who knows a guest's id may call the guest. A guest may call a named user only if
        they share a room.
        """
        named = device.principal.subject is not None
        return not named or caller.principal.subject is not None or _share_room(caller, device)

    # --- effects -------------------------------------------------------------------------------

    def _room(self, room: RoomId) -> Room:
        state = self._rooms.get(room)
        if state is None:
            raise NotInRoom("you are not in this room")
        return state

    def _apply(self, event: Event, room: Room, tells: Iterable[Tell[Notice]]) -> None:
        before = self._rooms.get(room.id)
        if room.members:
            self._rooms[room.id] = room
        else:
            self._rooms.pop(room.id, None)
        self._tell(tells)
        self._room_changed(before, event, room)

    def _tell(self, tells: Iterable[Tell[Notice]]) -> None:
        for tell in tells:
            self._send(tell.to, tell.notice)

    def _send(self, to: tuple[PeerId, ...], notice: Notice, receipt: Receipt | None = None) -> None:
        if len(to) == 1:
            if (known := self._peers.get(to[0])) is not None:
                outbox = known.outbox
                outbox.send(outbox.dialect.encode(notice), receipt)
            return
        encodings: dict[int, Encoded] = {}
        for peer in to:
            if (known := self._peers.get(peer)) is None:
                continue  # the peer has just disconnected
            dialect = known.outbox.dialect
            encoded = encodings.get(id(dialect))
            if encoded is None:
                encoded = encodings[id(dialect)] = dialect.encode(notice)
            known.outbox.send(encoded, receipt)
