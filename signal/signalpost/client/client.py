"""The client: rooms, presence, calls and messages over one connection that survives the network.

When the service has forgotten everything, the client states it again: rooms first, then calls, then
the undelivered messages, once their addressees are back.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import msgspec
from yarl import URL

from signalpost.client.call import Call
from signalpost.client.connection import LOGGER, WAITS, Connection, State, Waits
from signalpost.client.delivery import Addressed, Delivery
from signalpost.client.errors import ClientError, Closed, Refused, Unreachable
from signalpost.client.registry import Calls
from signalpost.client.room import Room, Signal, Text
from signalpost.client.session import Message, checked, from_json, to_json
from signalpost.client.stream import Stream
from signalpost.dialects.native import messages
from signalpost.iceservers import IceServer, parse_ice_servers
from signalpost.ids import PeerId, RoomId

__all__ = ["Client", "Token", "connect"]

Token = str | Callable[[], Awaitable[str]]
"""A join token or API key, or a function that returns a valid one each time. The service needs it
again after a restart, when the first one may have expired.
"""


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: Token | None = None,
    name: str | None = None,
    patience: float = 10.0,
    http: aiohttp.ClientSession | None = None,
    on_state: Callable[[State], None] | None = None,
    waits: Waits = WAITS,
) -> AsyncIterator[Client]:
    """A client that the service has welcomed, while the block runs.

    `url` is the service's (`https://calls.example.org`). The first welcome must come within
    `patience` seconds; later the client keeps trying. `http` is for a proxy or certificates of your
    own. `on_state` is called when the connection's state changes. `waits` is for tests.
    Raises Unreachable, Refused, and ValueError if `url` isn't a URL.
    """
    endpoint = _endpoint(url)
    own = None if http is not None else aiohttp.ClientSession()
    client = Client(endpoint, http or own, token, name, on_state, waits)  # type: ignore[arg-type]
    try:
        await client.open(patience)
        yield client
    finally:
        await client.close()
        if own is not None:
            await own.close()


def _endpoint(url: str) -> str:
    parsed = URL(url)
    if parsed.scheme not in {"http", "https", "ws", "wss"} or not parsed.host:
        raise ValueError(f"{url!r} isn't the URL of a service, such as https://host")
    if not parsed.path.endswith("/v1/signal"):
        parsed = parsed / "v1/signal"
    return str(parsed.with_scheme(parsed.scheme.replace("http", "ws")))


@dataclass(slots=True)
class _Asked:
    """A request that the service answers with `ref`. `room` is the one that a join is for."""

    message: messages.Join | messages.Leave | messages.Room | messages.Kick
    answer: asyncio.Future[Any]
    room: Room | None = None


class Client:
    """`connect` makes it. `peer` is the id of this client's session, `user` how others call it."""

    def __init__(
        self,
        endpoint: str,
        http: aiohttp.ClientSession,
        token: Token | None,
        name: str | None,
        on_state: Callable[[State], None] | None,
        waits: Waits = WAITS,
    ) -> None:
        self.peer = ""
        self.user = ""
        self.ice_servers: tuple[IceServer, ...] = ()
        """For the next peer connection. They're always valid: the service sends new ones in time.
        """
        self.messages: Stream[Text | Signal] = Stream()
        """From peers outside a room. The other end of a call can send texts, too."""
        self._token = token
        self._name = name
        self._on_state = on_state
        self._ids = itertools.count(1)
        self._rooms: dict[str, Room] = {}
        self._asked: dict[int, _Asked] = {}
        self._expected: dict[str, asyncio.TimerHandle] = {}
        """Peers that may return."""
        self._opened = asyncio.get_running_loop().create_future()
        self._waits = waits
        self._connection = Connection(endpoint, http, self, waits)
        again, check = self._connection.send_again, self._connection.check
        self._delivery = Delivery(again, self._next_id, check)
        self._calls = Calls(self._connection.send, self._next_id, self._delivery, self._gone)
        self._running: asyncio.Task[None] | None = None

    # --- for the application -------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._connection.state

    @property
    def rooms(self) -> Mapping[str, Room]:
        return self._rooms

    @property
    def calls(self) -> Mapping[str, Call]:
        """Calls in progress, by id."""
        return self._calls.going

    @property
    def incoming(self) -> Stream[Call]:
        """Calls that ring here."""
        return self._calls.incoming

    async def join(
        self, room: str, *, role: Literal["member", "observer"] = "member", metadata: Any = None
    ) -> Room:
        """Raises Refused."""
        message = messages.Join(room=RoomId(room), role=role)
        if metadata is not None:
            message.metadata = msgspec.Raw(to_json(metadata, "metadata"))
        made = Room(self, message)
        await self._ask(message, made)
        return made

    def call(self, user: str) -> Call:
        """Call a user, on all of their devices. Raises Refused if it can't be a user's id."""
        return self._calls.call(user)

    def text(self, peer: str, text: str) -> asyncio.Future[None]:
        """Send a text to a peer that shares a room or a call with this client. It's done when the
        peer's client has it. Raises Refused.
        """
        return self._delivery.say(messages.Text(text=text, to=PeerId(peer)))

    def signal(self, peer: str, data: object) -> asyncio.Future[None]:
        """Like `text`, for any JSON."""
        raw = msgspec.Raw(to_json(data, "a signal's data"))
        return self._delivery.say(messages.Signal(data=raw, to=PeerId(peer)))

    # --- opening and closing -------------------------------------------------------------------

    async def open(self, patience: float) -> None:
        """Raises Unreachable or Refused."""
        checked(messages.Hello(name=self._name))
        self._running = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(patience):
                await self._opened
        except TimeoutError:
            raise Unreachable(
                f"not connected within {patience:g} s: {self._connection.last_failure}"
            ) from None

    async def close(self) -> None:
        """Hang up everywhere and say goodbye."""
        for call in tuple(self.calls.values()):
            call.hang_up()
        if self._running is not None:
            await self._connection.close()
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        error: Exception = Closed()
        try:
            await self._connection.run()
        except Exception as ended:
            error = ended
            if not isinstance(ended, ClientError):
                LOGGER.exception("the client failed")
        finally:
            self._end(error)

    def _end(self, error: Exception) -> None:
        """The client is over: everybody who waits is told."""
        told = error if isinstance(error, ClientError) else Closed()
        self._connection.over = told
        shown = None if isinstance(error, Closed) else error
        if not self._opened.done():
            self._opened.set_exception(error)
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(told)
        self._asked.clear()
        self._delivery.close(told)
        for timer in self._expected.values():
            timer.cancel()
        for room in self._rooms.values():
            room.end(told.code, shown)
        self._calls.end(told.message, shown)
        self.messages.end(shown)

    # --- for rooms and calls -------------------------------------------------------------------

    def _next_id(self) -> int:
        return next(self._ids)

    def ask(self, message: messages.Room | messages.Kick | messages.Leave) -> asyncio.Future[Any]:
        """The future is done when the service has answered. Raises Refused."""
        return self._ask(message)

    def _ask(
        self,
        message: messages.Join | messages.Leave | messages.Room | messages.Kick,
        room: Room | None = None,
    ) -> asyncio.Future[Any]:
        message.id = id_ = self._next_id()
        self._connection.send(message)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # The caller may be gone when it fails.
        answer.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._asked[id_] = _Asked(message, answer, room)
        return answer

    def say(self, message: Addressed, room: Room) -> asyncio.Future[None]:
        return self._delivery.say(message, room=room.peers)

    def out(self, room: Room) -> None:
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            for peer in room.peers:
                self._gone(peer)

    def _gone(self, peer: str) -> None:
        """The peer left. What it doesn't have waits for its return."""
        if any(room.has(peer) for room in self._rooms.values()) or self._calls.talks_to(peer):
            return
        if self._delivery.gone(peer):
            self._expect(peer)

    def _expect(self, peer: str) -> None:
        if (timer := self._expected.get(peer)) is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._expected[peer] = loop.call_later(self._waits.back, self._not_back, peer)

    def _not_back(self, peer: str) -> None:
        del self._expected[peer]
        self._delivery.give_up(peer)

    # --- told by the connection ----------------------------------------------------------------

    async def hello(self) -> messages.Hello:
        token = await self._token() if callable(self._token) else self._token
        return messages.Hello(token=token, name=self._name)

    def changed(self, state: State) -> None:
        if self._on_state is not None:
            self._on_state(state)

    def welcomed(self, welcome: messages.Welcome, lost: list[Message] | None) -> None:
        self.peer, self.user = welcome.peer, welcome.user
        self.ice_servers = parse_ice_servers(welcome.ice_servers)
        if lost is not None:
            self._forgotten(lost)
        if not self._opened.done():
            self._opened.set_result(None)

    def taken(self, taken: list[Message]) -> None:
        for message in taken:
            if isinstance(message, Addressed):
                self._delivery.taken(message)

    def refused(self, message: Message, error: Refused) -> None:
        self._refused(messages.Error(error.code, error.message, ref=message.id))

    def _forgotten(self, lost: list[Message]) -> None:
        peers = {str(room.name): tuple(room.peers) for room in self._rooms.values()}
        for peer in self._delivery.forgotten(lost, peers, self._calls.peers()):
            self._expect(peer)
        asked, self._asked = self._asked, {}
        for room in self._rooms.values():
            room.forgotten()
        for room in tuple(self._rooms.values()):
            try:
                self._ask(room.asked, room)
            except Refused as error:
                room.end(error.code)
                self.out(room)
        for id_, each in asked.items():
            if each.answer.done() or (each.room is not None and each.room.name in self._rooms):
                continue  # nobody waits for it, or the room was joined again just now
            if isinstance(each.message, messages.Leave):
                each.answer.set_result(None)
                continue
            self._asked[id_] = each
            self._connection.send_again(each.message)
        self._calls.forgotten(lost)

    # --- what comes in -------------------------------------------------------------------------

    def heard(self, message: messages.ServerMessage) -> None:
        match message:
            case messages.Signalled() | messages.Texted():
                self._said(message)
            case messages.Error():
                self._refused(message)
            case messages.Delivered():
                self._delivery.delivered(message.id, message.to)
            case messages.IceServers():
                self.ice_servers = parse_ice_servers(message.ice_servers)
            case messages.Incoming():
                self._calls.rung(message)
            case messages.Ringing() | messages.Accepted() | messages.Ended():
                self._calls.heard(message)
            case messages.Joined():
                self._joined(message)
            case messages.PeerJoined() | messages.PeerLeft() | messages.RoomChanged():
                if (room := self._rooms.get(message.room)) is not None:
                    self._moved(room, message)
                self._answer(message.ref if not isinstance(message, messages.PeerJoined) else None)
            case messages.Left():
                if (room := self._rooms.get(message.room)) is not None and message.ref is None:
                    room.end(message.reason)
                    self.out(room)
                self._answer(message.ref)
            case _:
                pass  # the connection handles welcome, ack and go-away

    def _answer(self, ref: str | int | None) -> _Asked | None:
        asked = self._asked.pop(ref, None) if isinstance(ref, int) else None
        if asked is not None and not asked.answer.done():
            asked.answer.set_result(None)
        return asked

    def _refused(self, error: messages.Error) -> None:
        ref = error.ref
        refused = Refused(error.code, error.message, error.retry_after)
        if isinstance(ref, int) and (asked := self._asked.get(ref)) is not None:
            if error.code == "draining":
                return  # sent again when the service is back
            del self._asked[ref]
            if not asked.answer.done():
                asked.answer.set_exception(refused)
            if asked.room is not None and self._rooms.get(asked.room.name) is asked.room:
                asked.room.end(error.code)
                self.out(asked.room)
        elif not self._calls.refused(ref, refused) and not self._delivery.refused(ref, refused):
            LOGGER.info("the service said: %s", refused)

    def _joined(self, message: messages.Joined) -> None:
        asked = self._answer(message.ref)
        if asked is None or asked.room is None or asked.room.closed:
            return
        room = self._rooms[message.room] = asked.room
        room.joined(message)
        for neighbour in message.peers:
            self._delivery.present(neighbour.peer)

    def _moved(
        self, room: Room, message: messages.PeerJoined | messages.PeerLeft | messages.RoomChanged
    ) -> None:
        match message:
            case messages.PeerJoined():
                room.add(message)
                self._delivery.present(message.peer)
            case messages.PeerLeft():
                room.remove(message.peer, message.host)
                self._gone(message.peer)
            case messages.RoomChanged():
                room.changed(message)

    def _said(self, message: messages.Signalled | messages.Texted) -> None:
        sender = message.sender
        if not self._delivery.is_new(sender, message.id):
            return
        said: Text | Signal
        if isinstance(message, messages.Texted):
            said = Text(sender, message.text)
        else:
            said = Signal(sender, from_json(message.data))
            if self._calls.takes(said, in_room=message.room is not None):
                return
        room = self._rooms.get(message.room or "")
        if room is not None:
            room.events.put(said)
        elif message.room is None:
            self.messages.put(said)
