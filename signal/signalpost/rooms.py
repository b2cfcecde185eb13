"""Rooms: the pure state machine of one room, (room, event) → new room and whom to tell what.

Owns who is in a room, who yields to whom, and who may signal whom. Refuses to know sockets, wire
formats, clocks and payloads. A peer hears only of rooms it is in: that rule must not be broken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NewType, assert_never

from signalpost.errors import AlreadyJoined, NoSuchPeer, NotInRoom, RoomFull

__all__ = [
    "Event",
    "Join",
    "Joined",
    "Leave",
    "Left",
    "Neighbour",
    "Notice",
    "PeerId",
    "PeerJoined",
    "PeerLeft",
    "Ref",
    "Room",
    "RoomId",
    "Signal",
    "Signalled",
    "Tell",
    "step",
]

RoomId = NewType("RoomId", str)
PeerId = NewType("PeerId", str)
Ref = str | int | None
"""What a client put on its message to know the answer by."""


# --- what happens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Leave:
    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Signal:
    """`to` None means everybody else in the room. `data` is opaque: no rule reads it."""

    sender: PeerId
    to: PeerId | None
    data: object


Event = Join | Leave | Signal


# --- what peers are told -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another peer, and whether the reader is the polite one towards it: the one that yields
    when both make an offer at once (W3C WebRTC, perfect negotiation).
    """

    peer: PeerId
    polite: bool


@dataclass(frozen=True, slots=True)
class Joined:
    room: RoomId
    peers: tuple[Neighbour, ...]
    ref: Ref


@dataclass(frozen=True, slots=True)
class PeerJoined:
    room: RoomId
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class Left:
    room: RoomId
    ref: Ref


@dataclass(frozen=True, slots=True)
class PeerLeft:
    room: RoomId
    peer: PeerId


@dataclass(frozen=True, slots=True)
class Signalled:
    room: RoomId
    sender: PeerId
    data: object


Notice = Joined | PeerJoined | Left | PeerLeft | Signalled


@dataclass(frozen=True, slots=True)
class Tell:
    """An effect: give `notice` to each of `to`."""

    to: tuple[PeerId, ...]
    notice: Notice


# --- the machine -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """`members` in order of arrival."""

    id: RoomId
    capacity: int
    members: tuple[PeerId, ...] = ()


def step(room: Room, event: Event) -> tuple[Room, tuple[Tell, ...]]:
    """Raises AlreadyJoined, RoomFull, NotInRoom or NoSuchPeer; the room is then as it was."""
    match event:
        case Join():
            return _join(room, event)
        case Leave():
            return _leave(room, event)
        case Signal():
            return room, (_signal(room, event),)
        case _:
            assert_never(event)


def _join(room: Room, event: Join) -> tuple[Room, tuple[Tell, ...]]:
    if event.peer in room.members:
        raise AlreadyJoined("you are in this room already")
    if len(room.members) >= room.capacity:
        raise RoomFull(f"the room has its {room.capacity} peers")
    # The newcomer yields: those who were there first go on undisturbed.
    known = tuple(Neighbour(peer, polite=True) for peer in room.members)
    tells = [Tell((event.peer,), Joined(room.id, known, event.ref))]
    if room.members:
        newcomer = PeerJoined(room.id, Neighbour(event.peer, polite=False))
        tells.append(Tell(room.members, newcomer))
    return replace(room, members=(*room.members, event.peer)), tuple(tells)


def _leave(room: Room, event: Leave) -> tuple[Room, tuple[Tell, ...]]:
    _require_member(room, event.peer)
    rest = tuple(peer for peer in room.members if peer != event.peer)
    tells = [Tell((event.peer,), Left(room.id, event.ref))]
    if rest:
        tells.append(Tell(rest, PeerLeft(room.id, event.peer)))
    return replace(room, members=rest), tuple(tells)


def _signal(room: Room, event: Signal) -> Tell:
    _require_member(room, event.sender)
    notice = Signalled(room.id, event.sender, event.data)
    if event.to is None:
        return Tell(tuple(peer for peer in room.members if peer != event.sender), notice)
    if event.to not in room.members:
        raise NoSuchPeer("no such peer in a room with you")
    return Tell((event.to,), notice)


def _require_member(room: Room, peer: PeerId) -> None:
    if peer not in room.members:
        raise NotInRoom("you are not in this room")
