"""The hub: keeps peers, rooms and calls, and carries effects to outboxes.

The only place where a peer is reached. It does not know which dialect a peer speaks beyond asking
it to encode; a notice to many is encoded once a dialect. A peer's id says nothing about its node.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from signalpost.access.auth import Kind, Permission, Principal
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

__all__ = ["Delivered", "Dialect", "GoAway", "Hub", "Notice", "Outbox", "Receipt"]

PEER_ID_BYTES = 10


@dataclass(frozen=True, slots=True)
class GoAway:
    """This process is about to stop: connect again after `retry_after_ms`, and in any case within
    `closes_in_ms`, when it closes what is left.
    """

    retry_after_ms: int
    closes_in_ms: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The addressee's client has the message that its sender called `id`."""

    id: str | int
    to: PeerId


class Receipt(NamedTuple):
    """The sender wants to know when its message `id` has arrived."""

    sender: PeerId
    id: str | int


Notice = rooms.Notice | calls.Notice | Delivered | GoAway


class Dialect(Protocol):
    """Encodes what a peer is told. One object a dialect: the hub compares by identity."""

    def dump(self, notice: Notice) -> bytes: ...


class Outbox(Protocol):
    """The way to one peer. `send` never waits and never fails. `receipt`: who wants to hear, by
    `Hub.delivered`, when the peer's client has it; a dialect without acknowledgements ignores it.
    """

    @property
    def dialect(self) -> Dialect: ...

    def send(self, frame: bytes, receipt: Receipt | None = None) -> None: ...

    def expel(self, error: SignalpostError) -> None:
        """Tell the peer why it is put out, and end its session: `Hub.disconnect` is called."""


RoomChanged = Callable[[Room | None, Event, Room], None]
"""Hears of every step of a room: as it was (None: there was none), what happened, as it is."""


def _meet(one: _Peer, other: _Peer) -> bool:
    return not one.rooms.keys().isdisjoint(other.rooms)


@dataclass(slots=True)
class _Peer:
    principal: Principal
    outbox: Outbox
    user: UserId
    name: str | None
    may_signal: bool
    rooms: dict[RoomId, None] = field(default_factory=dict)
    """In order of joining."""


class Hub:
    """`clock` gives Unix time; `later` is a timer. `call_changed` hears of every call's record."""

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
        """Take in nobody more and let nobody join; every peer is asked to leave, each at a time of
        its own, so that they do not all come back at once.
        """
        self.draining = True
        for peer in self._peers.values():
            notice = GoAway(retry_after_ms(), closes_in_ms)
            peer.outbox.send(peer.outbox.dialect.dump(notice))

    # --- peers ---------------------------------------------------------------------------------

    def connect(
        self,
        principal: Principal,
        outbox: Outbox,
        *,
        name: str | None = None,
        peer: PeerId | None = None,
    ) -> tuple[PeerId, UserId]:
        """Take a peer in, under the id it had before if it proved that. Raises Draining, Banned or
        TooManyConnections.

        It is told nothing until `arrived`, so that its welcome comes first.
        """
        if self.draining:
            raise Draining
        self.bans.require_none(principal.user_id)
        peer = peer or PeerId(secrets.token_hex(PEER_ID_BYTES))
        user = UserId(principal.subject or f"~{peer}")
        devices = self._users.get(user, ())
        if len(devices) >= self.limits.peers_per_user:
            raise TooManyConnections("you are connected too often: close some of your devices")
        self._peers[peer] = _Peer(
            principal, outbox, user, name, Permission.SIGNAL in principal.permissions
        )
        self._users[user] = (*devices, peer)
        return peer, user

    def disconnect(self, peer: PeerId) -> None:
        """Take a peer out of everything; its rooms and calls are told, it is not."""
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
        """Put a peer out of a room, and who it is out of the service for so long: all of a user's
        devices, or all guests of an address. Raises NotInRoom, NoSuchPeer or BadParameter.
        """
        if peer not in self._room(room).members:
            raise NoSuchPeer("no such peer in this room")
        known = self._peers[peer]
        user_id = known.principal.user_id
        if known.principal.kind is Kind.SERVER:
            raise BadParameter("this peer came with an API key, and keys are not banned")
        self.kick(room, peer)
        ban = self.bans.add(user_id, known.user, peer, room, seconds)
        for other in tuple(self._peers.values()):
            if other.principal.user_id == user_id:
                other.outbox.expel(Banned("you were put out of this service", seconds))
        return ban

    def arrived(self, peer: PeerId) -> None:
        """The peer has come, or come nearer: calls that ring for its user ring there too."""
        device = self._peers[peer]
        self.calls.arrive(
            peer, device.user, lambda call: self._reaches(self._peers[call.caller], device)
        )

    def delivered(self, receipt: Receipt, to: PeerId) -> None:
        """The client of `to` has what the receipt was for."""
        self._send((receipt.sender,), Delivered(receipt.id, to))

    # --- rooms ---------------------------------------------------------------------------------

    def join(
        self,
        peer: PeerId,
        room: RoomId,
        ref: Ref = None,
        *,
        role: Role = Role.MEMBER,
        metadata: object = None,
    ) -> None:
        """Raises Draining, TooManyRooms, or what the room and the principal refuse."""
        if self.draining:
            raise Draining
        joiner = self._peers[peer]
        joiner.principal.require(Permission.JOIN)
        joiner.principal.require_room(room)
        state = self._rooms.get(room) or Room(room, self.limits.peers_per_room)
        if len(joiner.rooms) >= self.limits.rooms_per_peer and room not in joiner.rooms:
            raise TooManyRooms(f"you are in {len(joiner.rooms)} rooms, the most there may be")
        member = Member(peer, joiner.user, joiner.name, role, metadata)
        event = Join(member, ref)
        after, tells = step(state, event)
        joiner.rooms[room] = None
        self._apply(event, after, tells)
        self.arrived(peer)

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
        """Put everybody out. Raises NotInRoom when there is no such room."""
        state = self._room(room)
        for peer in state.members:
            del self._peers[peer].rooms[room]
        event = Close()
        self._apply(event, *step(state, event))

    # --- messages ------------------------------------------------------------------------------

    def carry(self, message: Signalled | Texted, to: PeerId | None) -> None:
        """Carry what a peer says to one peer, or to everybody else in the room.

        Without a room the first that both are in counts, or the call between them. Whether a peer
        exists elsewhere is not told. Raises PermissionDenied, BadParameter, NotInRoom, NoSuchPeer
        or RoleRefused.
        """
        room, sender, _, ref = message
        peer = self._peers[sender]
        if not peer.may_signal:
            peer.principal.require(Permission.SIGNAL)
        receivers: tuple[PeerId, ...]
        if room is not None:
            receivers = addressees(self._room(room), sender, to)
        elif to is not None:
            message = message._replace(room=self._meeting(sender, to))
            receivers = (to,)
        else:
            raise BadParameter("it needs `to` (a peer) or `room`")
        receipt = None if ref is None or to is None else Receipt(sender, ref)
        self._send(receivers, message, receipt)

    def _meeting(self, one: PeerId, other: PeerId) -> RoomId | None:
        """The first room that both are in, None when it is a call. Raises NoSuchPeer."""
        theirs = self._peers[other].rooms if other in self._peers else {}
        for room in self._peers[one].rooms:
            if room in theirs:
                return room
        if self.calls.share(one, other) is None:
            raise NoSuchPeer("no such peer in a room or a call with you")
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
        """Guests are called by an id that only those know who were told it; of named users a guest
        reaches those in a room with it.
        """
        named = device.principal.subject is not None
        return not named or caller.principal.subject is not None or _meet(caller, device)

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
                outbox.send(outbox.dialect.dump(notice), receipt)
            return
        frames: dict[int, bytes] = {}
        for peer in to:
            if (known := self._peers.get(peer)) is None:
                continue  # it has just disconnected
            dialect = known.outbox.dialect
            frame = frames.get(id(dialect))
            if frame is None:
                frame = frames[id(dialect)] = dialect.dump(notice)
            known.outbox.send(frame, receipt)
