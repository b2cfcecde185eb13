"""The client: rooms, presence, calls and messages over one connection that survives the network.

Owns what is asked and what the answers mean, and what is said again when the service has forgotten
everything: rooms first, then calls, then what was not delivered, once its addressee is back.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import msgspec
from yarl import URL

from signalpost import messages
from signalpost.client.call import Call, CallState, Order
from signalpost.client.connection import LOGGER, Connection, State
from signalpost.client.delivery import Addressed, Delivery
from signalpost.client.errors import CallEnded, ClientError, Closed, Refused, Unreachable
from signalpost.client.room import RETURN_SECONDS, Room, Signal, Text
from signalpost.client.session import Message
from signalpost.client.stream import Stream
from signalpost.iceservers import IceServer, parse_ice_servers

__all__ = ["Client", "Token", "connect"]

MAX_PAST = 1_000
"""Calls that are remembered when they are over: their other end may not know it yet."""

Token = str | Callable[[], Awaitable[str]]
"""A join token or API key, or a function that gives one each time it is needed: the service asks
for it again after a restart, when the first may have expired.
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
) -> AsyncIterator[Client]:
    """A client that the service has welcomed, while the block runs.

    `url` is the service's (`https://calls.example.org`). `patience`: seconds in which the first
    welcome has to come; later it goes on trying for ever. `http` is for a proxy or certificates of
    your own. `on_state` hears of the connection, for a light in the corner.
    Raises Unreachable, Refused, and ValueError for what is no URL.
    """
    endpoint = _endpoint(url)
    own = None if http is not None else aiohttp.ClientSession()
    client = Client(endpoint, http or own, token, name, on_state)  # type: ignore[arg-type]
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
        raise ValueError(f"{url!r} is not the URL of a service: https://host")
    if not parsed.path.endswith("/v1/signal"):
        parsed = parsed / "v1/signal"
    return str(parsed.with_scheme(parsed.scheme.replace("http", "ws")))


@dataclass(slots=True)
class _Asked:
    """What is answered with `ref`. `room`: the one that a join is for."""

    message: messages.Join | messages.Leave | messages.Room | messages.Kick
    answer: asyncio.Future[Any]
    room: Room | None = None


class Client:
    """Made by `connect`. `peer` is this client's session, `user` what others call it by."""

    def __init__(
        self,
        endpoint: str,
        http: aiohttp.ClientSession,
        token: Token | None,
        name: str | None,
        on_state: Callable[[State], None] | None,
    ) -> None:
        self.peer = ""
        self.user = ""
        self.ice_servers: tuple[IceServer, ...] = ()
        """For the next peer connection. Always fresh: the service sends the next in time."""
        self.incoming: Stream[Call] = Stream()
        """Calls that ring here."""
        self.messages: Stream[Text | Signal] = Stream()
        """From peers outside a room: the other end of a call can send texts, too."""
        self._token = token
        self._name = name
        self._on_state = on_state
        self._ids = itertools.count(1)
        self._rooms: dict[str, Room] = {}
        self._calls: dict[str, Call] = {}
        self._past: dict[str, bool] = {}
        """Calls that are over, and whether this side ended them."""
        self._parting: dict[str, Call] = {}
        """Of those, the ones whose end the service has not confirmed."""
        self._asked: dict[int, _Asked] = {}
        self._orders: dict[int, Call] = {}
        self._opened = asyncio.get_running_loop().create_future()
        self._connection = Connection(endpoint, http, self)
        self._delivery = Delivery(self._connection.send, self._next_id)
        self._running: asyncio.Task[None] | None = None

    # --- what one does with it -----------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._connection.state

    @property
    def rooms(self) -> Mapping[str, Room]:
        return self._rooms

    @property
    def calls(self) -> Mapping[str, Call]:
        """Those that go on, by id."""
        return self._calls

    async def join(
        self, room: str, *, role: Literal["member", "observer"] = "member", metadata: Any = None
    ) -> Room:
        """Raises Refused."""
        message = messages.Join(room=room, role=role)
        if metadata is not None:
            message.metadata = msgspec.Raw(msgspec.json.encode(metadata))
        made = Room(self, message)
        await self._ask(message, made)
        return made

    def call(self, user: str) -> Call:
        """Call a user, on all of their devices. Raises Refused for what cannot be a user."""
        call = Call(self, secrets.token_urlsafe(12), user)
        self._calls[call.id] = call
        try:
            self.order(messages.Invite(call=call.id, user=user), call)
        except Refused:
            del self._calls[call.id]
            raise
        return call

    def text(self, peer: str, text: str) -> asyncio.Future[None]:
        """To one peer in a room or a call with this one; done when its client has it. Raises
        Refused.
        """
        return self._delivery.say(messages.Text(text=text, to=peer))

    def signal(self, peer: str, data: object) -> asyncio.Future[None]:
        """As `text`, for any JSON."""
        raw = msgspec.Raw(msgspec.json.encode(data))
        return self._delivery.say(messages.Signal(data=raw, to=peer))

    # --- opening and closing -------------------------------------------------------------------

    async def open(self, patience: float) -> None:
        """Raises Unreachable or Refused."""
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
        for call in tuple(self._calls.values()):
            call.hang_up()
        if self._running is not None:
            await self._connection.close()
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

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
        """No more is to come: everybody who waits is told."""
        told = error if isinstance(error, ClientError) else Closed()
        shown = None if isinstance(error, Closed) else error
        if not self._opened.done():
            self._opened.set_exception(error)
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(told)
        self._asked.clear()
        self._delivery.close(told)
        for room in self._rooms.values():
            room.end(told.code, shown)
        for call in tuple(self._calls.values()):
            call.end("failed", told.message)
        self.incoming.end(shown)
        self.messages.end(shown)

    # --- for rooms and calls -------------------------------------------------------------------

    def _next_id(self) -> int:
        return next(self._ids)

    def ask(self, message: messages.Room | messages.Kick | messages.Leave) -> asyncio.Future[Any]:
        """Done when it is answered. Raises Refused."""
        return self._ask(message)

    def _ask(
        self,
        message: messages.Join | messages.Leave | messages.Room | messages.Kick,
        room: Room | None = None,
    ) -> asyncio.Future[Any]:
        message.id = id_ = self._next_id()
        self._connection.send(message)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Who asked may be gone when it fails.
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

    def order(self, message: Order, call: Call) -> None:
        message.id = id_ = self._next_id()
        self._connection.send(message)
        self._orders[id_] = call

    def signal_of(self, call: Call, data: Mapping[str, object]) -> asyncio.Future[None]:
        if call.peer is None or call.state is CallState.RINGING:
            raise Refused("not-in-call", "the call has not been answered yet")
        # The two may be in a room as well: the link tells the call's signals from the room's.
        raw = msgspec.Raw(msgspec.json.encode({"link": call.id, **data}))
        return self._delivery.say(messages.Signal(data=raw, to=call.peer), call=call.id)

    def ended(self, call: Call) -> None:
        self._calls.pop(call.id, None)
        self._past[call.id] = call.parting
        if len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
        self._delivery.drop(call.id, CallEnded(call.outcome or "", call.reason))
        if call.parting:
            self._parting[call.id] = call
        else:
            self._forget_orders(call)
        if call.peer is not None:
            self._gone(call.peer)

    def _forget_orders(self, call: Call) -> None:
        for id_ in [id_ for id_, each in self._orders.items() if each is call]:
            del self._orders[id_]

    def _parted(self, call: str) -> None:
        if (parted := self._parting.pop(call, None)) is not None:
            self._forget_orders(parted)

    def _gone(self, peer: str) -> None:
        """The peer is no longer where it was: what it does not have waits for its return."""
        here = any(room.has(peer) for room in self._rooms.values())
        answered = {CallState.ACCEPTED, CallState.CONNECTED}
        if here or any(c.peer == peer and c.state in answered for c in self._calls.values()):
            return
        if self._delivery.gone(peer):
            self._expect(peer)

    def _expect(self, peer: str) -> None:
        asyncio.get_running_loop().call_later(RETURN_SECONDS, self._delivery.give_up, peer)

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

    def _forgotten(self, lost: list[Message]) -> None:
        peers = {room.name: tuple(room.peers) for room in self._rooms.values()}
        for peer in self._delivery.forgotten(lost, peers):
            self._expect(peer)
        self._orders.clear()
        asked, self._asked = self._asked, {}
        for room in self._rooms.values():
            room.forgotten(lambda peer, room=room: room.depart(peer))  # type: ignore[misc]
            self._ask(room.asked, room)
        for id_, each in asked.items():
            if each.answer.done() or (each.room is not None and each.room.name in self._rooms):
                continue  # nobody waits for it, or the room was asked for just now
            if isinstance(each.message, messages.Leave):
                each.answer.set_result(None)
                continue
            self._asked[id_] = each
            self._connection.send(each.message)
        uninvited = {message.call for message in lost if isinstance(message, messages.Invite)}
        for call in tuple(self._parting.values()):
            if call.id in uninvited:
                self._parted(call.id)
                continue
            for word in call.last_words():
                self.order(word, call)
        for call in tuple(self._calls.values()):
            call.forgotten(RETURN_SECONDS)

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
                self._rung(message)
            case messages.Ringing():
                if (call := self._calls.get(message.call)) is not None:
                    call.rings()
            case messages.Accepted():
                self._accepted(message)
            case messages.Ended():
                self._parted(message.call)
                if (call := self._calls.get(message.call)) is not None:
                    call.end(message.outcome, message.reason)
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
                pass  # welcome, ack and go-away are the connection's

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
                return  # asked for again when the service is back
            del self._asked[ref]
            if not asked.answer.done():
                asked.answer.set_exception(refused)
            if asked.room is not None and self._rooms.get(asked.room.name) is asked.room:
                asked.room.end(error.code)
                self.out(asked.room)
        elif isinstance(ref, int) and (call := self._orders.pop(ref, None)) is not None:
            if call.parting:
                self._parted(call.id)
            else:
                call.refused(refused)
        elif not self._delivery.refused(ref, refused):
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
                room.arrive(message)
                self._delivery.present(message.peer)
            case messages.PeerLeft():
                room.depart(message.peer, message.host)
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
            said = Signal(sender, msgspec.json.decode(message.data))
            if self._of_call(said, in_room=message.room is not None):
                return
        room = self._rooms.get(message.room or "")
        if room is not None:
            room.events.put(said)
        elif message.room is None:
            self.messages.put(said)

    def _of_call(self, said: Signal, *, in_room: bool) -> bool:
        """Whether it is a call's: by its link, or since it comes from the call's other end."""
        if not isinstance(said.data, dict):
            return False
        link = said.data.get("link")
        if isinstance(link, str) and link in self._past:
            return True
        for call in self._calls.values():
            if call.peer == said.sender and (link == call.id or (link is None and not in_room)):
                call.signals.put(said.data)
                return True
        return False

    def _rung(self, message: messages.Incoming) -> None:
        if (call := self._calls.get(message.call)) is not None:
            call.again()
        elif (ended_here := self._past.get(message.call)) is not None:
            # The caller does not know yet. Another device of this user may.
            past: Order = messages.Busy(call=message.call)
            self._connection.send(messages.HangUp(call=message.call) if ended_here else past)
        else:
            call = Call(self, message.call, message.user, peer=message.sender, name=message.name)
            self._calls[call.id] = call
            call.rings()
            self.incoming.put(call)

    def _accepted(self, message: messages.Accepted) -> None:
        call = self._calls.get(message.call)
        mine = self._calls.pop(message.instead, None) if message.instead is not None else None
        if mine is not None:
            if call is not None:
                call.end("merged")
            mine.is_instead(message.call)
            self._calls[mine.id] = call = mine
            self._past.pop(mine.id, None)
        if call is not None:
            self._delivery.present(message.peer)
            call.accepted(message)
