"""The pure state machine of one room: (room, event) → the new room, and whom to tell what.

It decides who is in a room and with which role, who is polite to whom, and who may signal whom.
Payloads pass through unread. A peer hears only about rooms that it's in; never break that rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar, assert_never

import msgspec

from signalpost.errors import (
    AlreadyJoined,
    BadParameter,
    Banned,
    NoSuchPeer,
    NotInRoom,
    RoleRefused,
    RoomFull,
    RoomLocked,
)
from signalpost.ids import PeerId, Ref, RoomId, UserId

__all__ = [
    "Change",
    "Changed",
    "Close",
    "Event",
    "Join",
    "Joined",
    "Kick",
    "Leave",
    "Left",
    "Member",
    "Neighbour",
    "Notice",
    "PeerJoined",
    "PeerLeft",
    "Role",
    "Room",
    "Signalled",
    "Tell",
    "Texted",
    "addressees",
    "step",
]


class Role(StrEnum):
    HOST = "host"
    """May lock, change and kick. It's the first member, then the one who has been there longest."""
    MEMBER = "member"
    OBSERVER = "observer"
    """Sees who is there and may answer a peer, but may not address the whole room."""


@dataclass(frozen=True, slots=True)
class Member:
    """`metadata` is JSON that no rule reads."""

    peer: PeerId
    user: UserId
    name: str | None = None
    role: Role = Role.MEMBER
    metadata: msgspec.Raw | None = None


# --- what happens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """`member.role` is MEMBER or OBSERVER. Nobody joins as HOST."""

    member: Member
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Leave:
    peer: PeerId
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Kick:
    """`by` None: the back end did it. The peer's user can't join this room again."""

    peer: PeerId
    by: PeerId | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Change:
    """None leaves a value unchanged. `most` is the largest capacity that the service allows."""

    by: PeerId
    most: int
    locked: bool | None = None
    capacity: int | None = None
    metadata: msgspec.Raw | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Close:
    """The back end removes everybody."""


Event = Join | Leave | Kick | Change | Close


# --- what peers are told -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another member, and whether the reader is the polite peer towards it: the one that yields
    when both make an offer at once (W3C WebRTC, perfect negotiation).
    """

    member: Member
    polite: bool


@dataclass(frozen=True, slots=True)
class Joined:
    room: Room
    role: Role
    peers: tuple[Neighbour, ...]
    ref: Ref


@dataclass(frozen=True, slots=True)
class PeerJoined:
    room: RoomId
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class Left:
    """`reason` is None if the peer asked to leave, otherwise `kicked` or `closed`."""

    room: RoomId
    ref: Ref = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """`host` is the new host if the old one left. `ref` belongs to the kick that this answers."""

    room: RoomId
    peer: PeerId
    host: PeerId | None = None
    ref: Ref = None


@dataclass(frozen=True, slots=True)
class Changed:
    room: Room
    ref: Ref = None


class Signalled(NamedTuple):
    """`room` is None between the two ends of a call. `data` is JSON that no rule reads.

    It's not a dataclass: there is one for every message, and a frozen one takes a microsecond.
    """

    room: RoomId | None
    sender: PeerId
    data: msgspec.Raw
    ref: Ref = None


class Texted(NamedTuple):
    room: RoomId | None
    sender: PeerId
    text: str
    ref: Ref = None


Notice = Joined | PeerJoined | Left | PeerLeft | Changed | Signalled | Texted


N = TypeVar("N", covariant=True)


@dataclass(frozen=True, slots=True)
class Tell(Generic[N]):
    """An effect: give `notice` to each of `to`."""

    to: tuple[PeerId, ...]
    notice: N


Tells = tuple[Tell[Notice], ...]


# --- the machine -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """`members` are in order of arrival, and one of them is the host, unless all are observers.
    `banned` are users who were kicked.
    """

    id: RoomId
    capacity: int
    members: Mapping[PeerId, Member] = field(default_factory=dict)
    locked: bool = False
    metadata: msgspec.Raw | None = None
    banned: frozenset[UserId] = frozenset()

    @property
    def host(self) -> PeerId | None:
        hosts = (peer for peer, member in self.members.items() if member.role is Role.HOST)
        return next(hosts, None)


def step(room: Room, event: Event) -> tuple[Room, Tells]:
    """Raises NotPossible, NotAllowed or BadParameter; then the room hasn't changed."""
    match event:
        case Join():
            return _join(room, event)
        case Leave():
            _require_member(room, event.peer)
            return _without(room, event.peer, Left(room.id, event.ref))
        case Kick():
            return _kick(room, event)
        case Change():
            return _change(room, event)
        case Close():
            return replace(room, members={}), (_tell_all(room, Left(room.id, reason="closed")))
        case _:
            assert_never(event)


def _join(room: Room, event: Join) -> tuple[Room, Tells]:
    newcomer = event.member
    if newcomer.peer in room.members:
        raise AlreadyJoined("you are already in this room")
    if newcomer.user in room.banned:
        raise Banned("you were removed from this room")
    if room.locked:
        raise RoomLocked("the host has locked this room")
    if len(room.members) >= room.capacity:
        raise RoomFull(f"the room is full: it has {room.capacity} peers")
    if room.host is None and newcomer.role is Role.MEMBER:
        newcomer = replace(newcomer, role=Role.HOST)
    # The newcomer is polite: those who were there first are not disturbed.
    known = tuple(Neighbour(member, polite=True) for member in room.members.values())
    after = replace(room, members={**room.members, newcomer.peer: newcomer})
    joined = Joined(after, newcomer.role, known, event.ref)
    tells = _tell_all(room, PeerJoined(room.id, Neighbour(newcomer, polite=False)))
    return after, (Tell((newcomer.peer,), joined), *tells)


def _kick(room: Room, event: Kick) -> tuple[Room, Tells]:
    if event.by is not None:
        _require_host(room, event.by)
    member = room.members.get(event.peer)
    if member is None:
        raise NoSuchPeer("there is no such peer in this room")
    if event.peer == event.by:
        raise BadParameter("you can't kick yourself: leave instead")
    barred = replace(room, banned=room.banned | {member.user})
    farewell = Left(room.id, reason="kicked")
    return _without(barred, event.peer, farewell, answer=(event.by, event.ref))


def _without(
    room: Room, gone: PeerId, farewell: Left, answer: tuple[PeerId | None, Ref] = (None, None)
) -> tuple[Room, Tells]:
    members = {peer: member for peer, member in room.members.items() if peer != gone}
    new_host: PeerId | None = None
    if room.members[gone].role is Role.HOST and members:
        new_host = next((p for p, m in members.items() if m.role is Role.MEMBER), None)
        if new_host is not None:
            members[new_host] = replace(members[new_host], role=Role.HOST)
    asker, ref = answer
    tells: list[Tell[Notice]] = [Tell((gone,), farewell)]
    if others := tuple(peer for peer in members if peer != asker):
        tells.append(Tell(others, PeerLeft(room.id, gone, new_host)))
    if asker is not None:
        tells.append(Tell((asker,), PeerLeft(room.id, gone, new_host, ref)))
    return replace(room, members=members), tuple(tells)


def _change(room: Room, event: Change) -> tuple[Room, Tells]:
    _require_host(room, event.by)
    if event.capacity is not None and not 1 <= event.capacity <= event.most:
        raise BadParameter(f"capacity must be from 1 to {event.most}")
    after = replace(
        room,
        locked=room.locked if event.locked is None else event.locked,
        capacity=event.capacity or room.capacity,
        metadata=room.metadata if event.metadata is None else event.metadata,
    )
    others = tuple(peer for peer in room.members if peer != event.by)
    tells = [Tell((event.by,), Changed(after, event.ref))]
    if others:
        tells.append(Tell(others, Changed(after)))
    return after, tuple(tells)


def addressees(room: Room, sender: PeerId, to: PeerId | None) -> tuple[PeerId, ...]:
    """Who gets the sender's message. `to` None means everybody else in the room.

    Raises NotInRoom, NoSuchPeer or RoleRefused.
    """
    members = room.members
    member = members.get(sender)
    if member is None:
        raise NotInRoom("you are not in this room")
    if to is not None:
        if to not in members:
            raise NoSuchPeer("there is no such peer in this room")
        return (to,)
    if member.role is Role.OBSERVER:
        raise RoleRefused("an observer may not address the whole room")
    return tuple([peer for peer in members if peer != sender])


def _tell_all(room: Room, notice: Notice) -> Tells:
    return (Tell(tuple(room.members), notice),) if room.members else ()


def _require_member(room: Room, peer: PeerId) -> None:
    if peer not in room.members:
        raise NotInRoom("you are not in this room")


def _require_host(room: Room, peer: PeerId) -> None:
    _require_member(room, peer)
    if room.members[peer].role is not Role.HOST:
        raise RoleRefused("only the room's host may do this")
