"""The native dialect: translates `signalpost.v1` messages to hub calls, and notices to messages.

The hub decides what is allowed; `messages` defines what a message looks like.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import assert_never

import msgspec
from msgspec import UNSET

from signalpost.dialects.native import messages
from signalpost.dialects.native.messages import Signal
from signalpost.errors import Malformed, SignalpostError
from signalpost.ids import PeerId, Ref, RoomId
from signalpost.signaling import calls, rooms
from signalpost.signaling.hub import Delivered, Encoded, GoAway, Hub, Notice
from signalpost.signaling.rooms import Member, Signalled, Texted

__all__ = ["NATIVE", "Native", "encoded", "error_message"]


def error_message(error: SignalpostError, ref: Ref = None) -> messages.Error:
    """The error as a message."""
    retry_after = None if error.retry_after is None else math.ceil(error.retry_after)
    return messages.Error(error.code, error.message, retry_after, ref)


def encoded(message: messages.ServerMessage) -> Encoded:
    """The message without its opening brace: the session puts its next number there."""
    return Encoded(messages.members(message))


class Native:
    __slots__ = ()

    def encode(self, notice: Notice) -> Encoded:
        if type(notice) is Signalled:
            return _signal(notice)
        return encoded(_message(notice))

    def apply(self, message: messages.ClientMessage, hub: Hub, peer: PeerId) -> None:
        """Do what `peer` asks. Raises SignalpostError."""
        if type(message) is Signal:  # by far the most
            hub.forward(Signalled(message.room, peer, message.data, message.id), message.to)
            return
        match message:
            case messages.Text():
                hub.forward(Texted(message.room, peer, message.text, message.id), message.to)
            case messages.Join():
                hub.join(
                    peer,
                    message.room,
                    message.id,
                    role=rooms.Role(message.role),
                    metadata=_metadata(message.metadata),
                )
            case messages.Leave():
                hub.leave(peer, message.room, message.id)
            case messages.Room():
                event = rooms.Change(
                    peer,
                    hub.limits.peers_per_room,
                    message.locked,
                    message.capacity,
                    _metadata(message.metadata),
                    message.id,
                )
                hub.change(message.room, event)
            case messages.Kick():
                hub.kick(message.room, message.peer, by=peer, ref=message.id)
            case messages.Invite():
                hub.invite(peer, message.call, message.user, message.id)
            case Signal():
                raise AssertionError("handled above")
            case messages.Hello():
                raise Malformed("send hello once, as the first message")
            case messages.Ack():
                raise Malformed("only a client with reliable: true in its hello may send ack")
            case _:
                hub.calls.apply(message.call, _event(message, peer))


_OfCall = (
    messages.Rings
    | messages.Accept
    | messages.Reject
    | messages.Busy
    | messages.Cancel
    | messages.Connected
    | messages.HangUp
)


def _event(message: _OfCall, peer: PeerId) -> calls.Event:
    match message:
        case messages.Rings():
            return calls.Rings(peer)
        case messages.Accept():
            return calls.Accept(peer, message.id)
        case messages.Reject():
            return calls.Reject(peer, message.reason, message.id)
        case messages.Busy():
            return calls.Busy(peer, message.id)
        case messages.Cancel():
            return calls.Cancel(peer, message.id)
        case messages.Connected():
            return calls.Connected(peer)
        case messages.HangUp():
            return calls.HangUp(peer, message.reason, message.id)
        case _:
            assert_never(message)


def _signal(notice: Signalled) -> Encoded:
    """The most frequent message, as `messages.Signalled` would be encoded."""
    room, sender, data, ref = notice
    name = b"" if ref is None else b',"id":' + messages.quoted(ref)
    parts = sender.encode(), _in_room(room), name, data
    return Encoded(b'"type":"signal","from":"%b"%b%b,"data":%b}' % parts)


@lru_cache(4_096)
def _in_room(room: RoomId | None) -> bytes:
    return b"" if room is None else b',"room":' + messages.quoted(room)


def _message(notice: Notice) -> messages.ServerMessage:
    match notice:
        case rooms.Joined():
            room = notice.room
            return messages.Joined(
                room.id,
                notice.role,
                room.locked,
                room.capacity,
                [_neighbour(known.member, known.polite) for known in notice.peers],
                _raw(room.metadata),
                notice.ref,
            )
        case rooms.PeerJoined():
            member, polite = notice.neighbour.member, notice.neighbour.polite
            return messages.PeerJoined(
                notice.room,
                member.peer,
                member.user,
                member.role,
                polite,
                member.name,
                _raw(member.metadata),
            )
        case rooms.Left():
            return messages.Left(notice.room, notice.reason, notice.ref)
        case rooms.PeerLeft():
            return messages.PeerLeft(notice.room, notice.peer, notice.host, notice.ref)
        case rooms.Changed():
            room = notice.room
            return messages.RoomChanged(
                room.id, room.host, room.locked, room.capacity, _raw(room.metadata), notice.ref
            )
        case Signalled():
            return messages.Signalled(notice.sender, notice.data, notice.room, notice.ref)
        case Texted():
            return messages.Texted(notice.sender, notice.text, notice.room, notice.ref)
        case calls.Invited():
            return messages.Incoming(notice.call, notice.caller, notice.user, notice.name)
        case calls.Ringing():
            return messages.Ringing(notice.call)
        case calls.Accepted():
            return messages.Accepted(
                notice.call, notice.peer, notice.polite, notice.instead, notice.ref
            )
        case calls.Ended():
            return messages.Ended(notice.call, notice.outcome, notice.reason, notice.ref)
        case Delivered():
            return messages.Delivered(notice.id, notice.to)
        case GoAway():
            return messages.GoAway("shutdown", notice.retry_after_ms, notice.closes_in_ms)
        case _:
            assert_never(notice)


def _neighbour(member: Member, polite: bool) -> messages.Neighbour:
    return messages.Neighbour(
        member.peer, member.user, member.role, polite, member.name, _raw(member.metadata)
    )


def _metadata(metadata: messages.Metadata) -> msgspec.Raw | None:
    """The metadata to keep, None if there is none. It's a copy: the original keeps its frame."""
    return None if metadata is UNSET else metadata.copy()


def _raw(metadata: msgspec.Raw | None) -> messages.Metadata:
    return UNSET if metadata is None else metadata


NATIVE = Native()
