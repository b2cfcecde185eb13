"""A room that this client is in: its peers and its events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from signalpost.client.connection import WAITS
from signalpost.client.session import from_json, to_json
from signalpost.client.stream import Stream
from signalpost.dialects.native import messages
from signalpost.ids import PeerId

__all__ = [
    "Neighbour",
    "PeerJoined",
    "PeerLeft",
    "Room",
    "RoomChanged",
    "RoomEvent",
    "Signal",
    "Text",
]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another peer in a room. `polite`: this client is polite towards it (perfect negotiation).
    `name` proves nothing.
    """

    peer: str
    user: str
    name: str | None
    role: str
    polite: bool
    metadata: Any = None


@dataclass(frozen=True, slots=True)
class PeerJoined:
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class PeerLeft:
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """The host, lock, capacity or metadata changed. The room has the new ones."""


@dataclass(frozen=True, slots=True)
class Text:
    sender: str
    """A peer's id, set by the service."""
    text: str


@dataclass(frozen=True, slots=True)
class Signal:
    sender: str
    data: Any


RoomEvent = PeerJoined | PeerLeft | RoomChanged | Text | Signal


class RoomsClient(Protocol):
    """What a room needs of its client."""

    peer: str

    def ask(
        self, message: messages.Room | messages.Kick | messages.Leave
    ) -> asyncio.Future[Any]: ...

    def say(self, message: messages.Text | messages.Signal, room: Room) -> asyncio.Future[None]: ...

    def out(self, room: Room) -> None: ...


class Room:
    """`events` ends when this client is out of the room. Then `left` says why: None if it asked to
    leave, otherwise `kicked`, `closed`, or the code of the error that kept it from joining again.
    """

    def __init__(self, client: RoomsClient, asked: messages.Join) -> None:
        self.name = asked.room
        self.role: str = asked.role
        self.locked = False
        self.capacity = 0
        self.metadata: Any = None
        self.events: Stream[RoomEvent] = Stream()
        self.left: str | None = None
        self.closed = False
        self.asked = asked
        """The join message, to join again."""
        self._client = client
        self._was_in = False
        self._peers: dict[str, Neighbour] = {}
        self._returning: dict[str, asyncio.TimerHandle] = {}

    @property
    def peers(self) -> Mapping[str, Neighbour]:
        """The other peers, by id."""
        return self._peers

    def text(self, text: str) -> asyncio.Future[None]:
        """Send to everybody else in the room. It's done when the service has it. Raises Refused."""
        return self._client.say(messages.Text(text=text, room=self.name), self)

    def signal(self, data: object, *, to: str | None = None) -> asyncio.Future[None]:
        """Send any JSON to everybody else, or to one peer: then it's done when that peer's client
        has it. Raises Refused.
        """
        raw = msgspec.Raw(to_json(data, "a signal's data"))
        return self._client.say(
            messages.Signal(data=raw, room=self.name, to=None if to is None else PeerId(to)), self
        )

    async def change(
        self,
        *,
        locked: bool | None = None,
        capacity: int | None = None,
        metadata: Any = msgspec.UNSET,
    ) -> None:
        """Change the room, as its host. `metadata=` is any JSON. Raises Refused."""
        message = messages.Room(room=self.name, locked=locked, capacity=capacity)
        if metadata is not msgspec.UNSET:
            message.metadata = msgspec.Raw(to_json(metadata, "metadata"))
        await self._client.ask(message)

    async def kick(self, peer: str) -> None:
        """Remove a peer, as the room's host. Raises Refused."""
        await self._client.ask(messages.Kick(room=self.name, peer=PeerId(peer)))

    async def leave(self) -> None:
        """Raises Refused."""
        if not self.closed:
            self.end(None)
            self._client.out(self)
            await self._client.ask(messages.Leave(room=self.name))

    # --- for the client ----------------------------------------------------------------------

    def joined(self, message: messages.Joined) -> None:
        self.role, self.locked, self.capacity = message.role, message.locked, message.capacity
        self.metadata = opaque(message.metadata)
        for neighbour in message.peers:
            self.add(neighbour, news=self._was_in)
        self._was_in = True

    def add(self, new: messages.Neighbour | messages.PeerJoined, *, news: bool = True) -> None:
        """A peer is in the room, for the first time or again."""
        if (timer := self._returning.pop(new.peer, None)) is not None:
            timer.cancel()
        known = new.peer in self._peers
        neighbour = Neighbour(
            new.peer, new.user, new.name, new.role, new.polite, opaque(new.metadata)
        )
        self._peers[new.peer] = neighbour
        if news and not known:
            self.events.put(PeerJoined(neighbour))

    def remove(self, peer: str, host: str | None = None) -> None:
        if host is not None:
            self._set_host(host)
        if (timer := self._returning.pop(peer, None)) is not None:
            timer.cancel()
        if (gone := self._peers.pop(peer, None)) is not None:
            self.events.put(PeerLeft(gone))

    def changed(self, message: messages.RoomChanged) -> None:
        self.locked, self.capacity = message.locked, message.capacity
        self.metadata = opaque(message.metadata)
        if message.host is not None:
            self._set_host(message.host)
        self.events.put(RoomChanged())

    def _set_host(self, host: str) -> None:
        if host == self._client.peer:
            self.role = "host"
        elif self.role == "host":
            self.role = "member"
        for peer, each in self._peers.items():
            if (peer == host) != (each.role == "host"):
                self._peers[peer] = replace(each, role="host" if peer == host else "member")

    def forgotten(self) -> None:
        """Every peer has to join again. A peer that doesn't is gone."""
        loop = asyncio.get_running_loop()
        for peer in self._peers:
            if (timer := self._returning.get(peer)) is not None:
                timer.cancel()
            self._returning[peer] = loop.call_later(WAITS.back, self.remove, peer)

    def has(self, peer: str) -> bool:
        """Whether the peer is there now, and not just expected back."""
        return peer in self._peers and peer not in self._returning

    def end(self, reason: str | None, error: Exception | None = None) -> None:
        if not self.closed:
            self.closed, self.left = True, reason
            for timer in self._returning.values():
                timer.cancel()
            self.events.end(error)


def opaque(raw: messages.Metadata) -> Any:
    return None if raw is msgspec.UNSET else from_json(raw)
