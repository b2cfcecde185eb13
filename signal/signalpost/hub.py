"""The hub: keeps rooms and peers, and carries effects to outboxes.

The only place where a peer is reached. It does not know which dialect a peer speaks beyond asking
it to encode; a notice to many is encoded once a dialect. A peer's id says nothing about its node.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from signalpost import rooms
from signalpost.auth import Permission, Principal
from signalpost.errors import Draining, NoSuchPeer, NotInRoom, TooManyRooms
from signalpost.rooms import (
    Join,
    Leave,
    PeerId,
    Ref,
    Room,
    RoomId,
    Signal,
    Tell,
    step,
)
from signalpost.settings import Limits

__all__ = ["Dialect", "GoAway", "Hub", "Notice", "Outbox"]

PEER_ID_BYTES = 10


@dataclass(frozen=True, slots=True)
class GoAway:
    """This process is about to stop: connect again after `retry_after_ms`, and in any case within
    `closes_in_ms`, when it closes what is left.
    """

    retry_after_ms: int
    closes_in_ms: int


Notice = rooms.Notice | GoAway


class Dialect(Protocol):
    """Encodes what a peer is told. One object a dialect: the hub compares by identity."""

    def dump(self, notice: Notice) -> str: ...


class Outbox(Protocol):
    """The way to one peer. `send` never waits and never fails."""

    @property
    def dialect(self) -> Dialect: ...

    def send(self, frame: str) -> None: ...


@dataclass(slots=True)
class _Peer:
    principal: Principal
    outbox: Outbox
    rooms: dict[RoomId, None] = field(default_factory=dict)
    """In order of joining."""


class Hub:
    __slots__ = ("_peers", "_rooms", "draining", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self._rooms: dict[RoomId, Room] = {}
        self._peers: dict[PeerId, _Peer] = {}

    @property
    def room_count(self) -> int:
        return len(self._rooms)

    def drain(self, retry_after_ms: Callable[[], int], closes_in_ms: int) -> None:
        """Take in nobody more and let nobody join; every peer is asked to leave, each at a time of
        its own, so that they do not all come back at once.
        """
        self.draining = True
        for peer in self._peers.values():
            notice = GoAway(retry_after_ms(), closes_in_ms)
            peer.outbox.send(peer.outbox.dialect.dump(notice))

    def connect(self, principal: Principal, outbox: Outbox) -> PeerId:
        """Raises Draining."""
        if self.draining:
            raise Draining
        peer = PeerId(secrets.token_hex(PEER_ID_BYTES))
        self._peers[peer] = _Peer(principal, outbox)
        return peer

    def disconnect(self, peer: PeerId) -> None:
        """Take a peer out of everything; its rooms are told, it is not."""
        for room in self._peers.pop(peer).rooms:
            self._apply(*step(self._rooms[room], Leave(peer)))

    def join(self, peer: PeerId, room: RoomId, ref: Ref = None) -> None:
        """Raises Draining, PermissionDenied, TooManyRooms, AlreadyJoined or RoomFull."""
        if self.draining:
            raise Draining
        member = self._peers[peer]
        member.principal.require(Permission.JOIN)
        member.principal.require_room(room)
        state = self._rooms.get(room) or Room(room, self.limits.peers_per_room)
        if len(member.rooms) >= self.limits.rooms_per_peer and room not in member.rooms:
            raise TooManyRooms(f"you are in {len(member.rooms)} rooms, the most there may be")
        after, tells = step(state, Join(peer, ref))
        member.rooms[room] = None
        self._apply(after, tells)

    def leave(self, peer: PeerId, room: RoomId, ref: Ref = None) -> None:
        """Raises NotInRoom."""
        after, tells = step(self._room(room), Leave(peer, ref))
        del self._peers[peer].rooms[room]
        self._apply(after, tells)

    def signal(
        self, sender: PeerId, data: object, *, to: PeerId | None, room: RoomId | None
    ) -> None:
        """Carry `data` to one peer, or to everybody else in `room`.

        Without a room the first that both are in counts. Whether a peer exists elsewhere is not
        told. Raises PermissionDenied, NotInRoom or NoSuchPeer.
        """
        member = self._peers[sender]
        member.principal.require(Permission.SIGNAL)
        if room is None:
            other = self._peers.get(to) if to is not None else None
            room = next((one for one in member.rooms if other and one in other.rooms), None)
            if room is None:
                raise NoSuchPeer("no such peer in a room with you")
        self._apply(*step(self._room(room), Signal(sender, to, data)))

    def _room(self, room: RoomId) -> Room:
        if room not in self._rooms:
            raise NotInRoom("you are not in this room")
        return self._rooms[room]

    def _apply(self, room: Room, tells: Iterable[Tell]) -> None:
        if room.members:
            self._rooms[room.id] = room
        else:
            self._rooms.pop(room.id, None)
        for tell in tells:
            frames: dict[int, str] = {}
            for peer in tell.to:
                if (known := self._peers.get(peer)) is None:
                    continue  # it has just disconnected
                dialect = known.outbox.dialect
                frame = frames.get(id(dialect))
                if frame is None:
                    frame = frames[id(dialect)] = dialect.dump(tell.notice)
                known.outbox.send(frame)
