"""The native dialect: `signalpost.v1` messages ↔ hub.

Translates only: what may be done is the hub's to decide, what a message looks like is `messages`'.
"""

from __future__ import annotations

from typing import assert_never, cast

import msgspec

from signalpost import messages, rooms
from signalpost.errors import BadParameter, Malformed
from signalpost.hub import GoAway, Hub, Notice
from signalpost.rooms import PeerId, RoomId

__all__ = ["NATIVE", "Native"]


class Native:
    __slots__ = ()

    def dump(self, notice: Notice) -> str:
        return messages.dump(_message(notice))

    def apply(self, message: messages.ClientMessage, hub: Hub, peer: PeerId) -> None:
        """Do what `peer` asks. Raises SignalpostError."""
        match message:
            case messages.Join():
                hub.join(peer, RoomId(message.room), message.id)
            case messages.Leave():
                hub.leave(peer, RoomId(message.room), message.id)
            case messages.Signal():
                if message.to is None and message.room is None:
                    raise BadParameter("a signal needs `to` (a peer) or `room`")
                hub.signal(
                    peer,
                    message.data,
                    to=None if message.to is None else PeerId(message.to),
                    room=None if message.room is None else RoomId(message.room),
                )
            case messages.Hello():
                raise Malformed("hello comes once, as the first message")
            case _:
                assert_never(message)


def _message(notice: Notice) -> messages.ServerMessage:
    match notice:
        case rooms.Joined():
            peers = [messages.Peer(known.peer, known.polite) for known in notice.peers]
            return messages.Joined(notice.room, peers, notice.ref)
        case rooms.PeerJoined():
            other = notice.neighbour
            return messages.PeerJoined(notice.room, other.peer, other.polite)
        case rooms.Left():
            return messages.Left(notice.room, notice.ref)
        case rooms.PeerLeft():
            return messages.PeerLeft(notice.room, notice.peer)
        case rooms.Signalled():
            data = cast(msgspec.Raw, notice.data)
            return messages.Signalled(notice.sender, notice.room, data)
        case GoAway():
            return messages.GoAway("shutdown", notice.retry_after_ms, notice.closes_in_ms)
        case _:
            assert_never(notice)


NATIVE = Native()
