"""Any arguments to any method of the Python client: it is settled, and nobody else notices."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from signalpost.client import (
    Client,
    ClientError,
    Closed,
    PeerJoined,
    PeerLeft,
    Refused,
    Room,
    Signal,
    State,
    connect,
)
from signalpost.client.connection import Waits
from signalpost.config.settings import Limits
from signalpost.dialects.native import messages
from signalpost.errors import Malformed
from signalpost.limits import Rate
from tests.signalpost.between import silent, slamming
from tests.signalpost.cases import CASES
from tests.signalpost.running import Running, running, settings

SECONDS = 90
"""A condition that has not come by then never will."""
FAST = Limits(messages=Rate(100_000, 1), message_burst=100_000)


class Hostile:
    """An object that does not like to be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


def _cyclic() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def _deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


NAMES = st.sampled_from(
    ["", "r", ".", "..", "a\nb", "x" * 128, "x" * 129, "é" * 128, "😀" * 128, "😀" * 129, "\ud800"]
)
WEIRD = st.sampled_from(
    [
        Hostile(),
        object(),
        len,
        _cyclic(),
        _deep(200),
        _deep(300),
        _deep(5_000),
        {(1, 2): 3},
        {"\ud800": 1},
        b"\xff",
        2**70,
        10**600,
        math.nan,
        math.inf,
        "x" * 8_001,
        "x" * 66_000,
        ["é" * 2_000],
        msgspec.Raw(b"{"),
        msgspec.UNSET,
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ANY = NAMES | WEIRD | JSON
ROLES = st.sampled_from(["member", "observer", "host", "", 1, None])
# Rooms in which the other one is not: what is done there concerns nobody.
ELSEWHERE = st.sampled_from(["s", "t", "", "x" * 129]) | ANY
Call = Callable[["Party"], Any]
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(lambda a, b, c: lambda on: on.ada.join(a, role=b, metadata=c), ELSEWHERE, ROLES, ANY),
    st.builds(lambda a: lambda on: on.ada.call(a), ANY),
    st.builds(lambda a, b: lambda on: on.ada.text(a, b), ANY, ANY),
    st.builds(lambda a: lambda on: on.ada.text(on.bob.peer, a), ANY),
    st.builds(lambda a, b: lambda on: on.ada.signal(a, b), ANY, ANY),
    st.builds(lambda a: lambda on: on.ada.signal(on.bob.peer, a), ANY),
    st.builds(lambda a: lambda on: on.room.text(a), ANY),
    st.builds(lambda a: lambda on: on.room.signal(a), ANY),
    st.builds(lambda a, b: lambda on: on.room.signal(a, to=b), ANY, ANY),
    st.builds(
        lambda a, b, c: lambda on: on.room.change(locked=a, capacity=b, metadata=c), ANY, ANY, ANY
    ),
    st.builds(lambda a: lambda on: on.room.kick(a), ANY),
    st.builds(lambda a, b: lambda on: on.ada.call(on.bob.user).hang_up(a), ANY, ANY),
    st.builds(lambda a: lambda on: on.ada.call("nobody").signal(a), ANY),
)


PATIENT = Waits(silence=SECONDS)
"""The loop stands still while cases are made up, which isn't a silence of the service."""


class Party:
    """Ada, who gets all requests, and Bob, the host of the room that they share."""

    service: Running
    ada: Client
    bob: Client
    room: Room
    lobby: Room

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.waiting: list[asyncio.Future[Any]] = []
        """The unsettled futures."""

    async def open(self) -> None:
        enter = self.stack.enter_async_context
        self.service = await enter(running(settings(limits=FAST)))
        url = f"http://127.0.0.1:{self.service.ports.port}"
        self.bob = await enter(connect(url, token=self.service.token("bob"), waits=PATIENT))
        self.ada = await enter(connect(url, token=self.service.token("ada"), waits=PATIENT))
        self.lobby = await self.bob.join("lobby")
        self.room = await self.ada.join("lobby")
        assert isinstance(await anext(self.lobby.events), PeerJoined)

    @property
    def sockets(self) -> float:
        return self.service.service.metrics.connections._value.get()  # type: ignore[no-any-return]

    async def ask(self, calls: list[Call]) -> None:
        """Nothing but an error of the client's is raised, and what is said waits to be settled."""
        leave: list[Call] = [
            lambda on, room=room: room.leave()  # type: ignore[misc]
            for room in self.ada.rooms.values()
            if room is not self.room
        ]
        for call in [*calls, *leave]:
            try:
                made = call(self)
            except ClientError:
                continue
            if inspect.isawaitable(made):
                self.waiting.append(asyncio.ensure_future(made))
        for going in tuple(self.ada.calls.values()):
            going.hang_up()
        await asyncio.sleep(0.001)
        settled = [one for one in self.waiting if one.done()]
        self.waiting = [one for one in self.waiting if not one.done()]
        for one in settled:
            error = one.exception()
            assert error is None or isinstance(error, ClientError), error

    async def settle(self) -> None:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*self.waiting, return_exceptions=True)
        await self.ask([])


async def awaited(made: Any) -> Any:
    return await made if inspect.isawaitable(made) else made


def test_any_arguments() -> None:
    """It is settled, the peer keeps its id and its one connection, and the neighbour has seen
    nobody come or go.
    """
    with asyncio.Runner() as runner:
        party = Party()
        runner.run(party.open())
        peer = party.ada.peer

        @hypothesis_settings(max_examples=CASES // 4, deadline=None)
        @given(st.lists(CALLS, min_size=4, max_size=4))
        def ask(calls: list[Call]) -> None:
            runner.run(party.ask(calls))
            assert (peer, State.OPEN) == (party.ada.peer, party.ada.state)
            assert State.OPEN is party.bob.state

        try:
            ask()
            runner.run(party.settle())
            assert {party.ada.peer} == set(party.lobby.peers)
            heard = [type(event) for event in party.lobby.events._unread]
            assert not {PeerJoined, PeerLeft} & set(heard)
            lines = {line.peer for line in party.service.service.sessions}
            assert {party.ada.peer, party.bob.peer} == lines
            assert 2 == party.sockets
        finally:
            runner.run(party.stack.aclose())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda on: on.ada.join(""), "a room's name has 1 to 128 characters"),
        (lambda on: on.ada.join("x" * 129), "a room's name has 1 to 128 characters"),
        (lambda on: on.ada.join("a\nb"), "a room's name can't have control characters"),
        (lambda on: on.ada.join(".."), "a room's name can't be . or .."),
        (lambda on: on.ada.join("s", role="host"), "a role must be member or observer"),
        (lambda on: on.ada.join("s", metadata="é" * 2_048), "metadata has at most 4096 bytes"),
        (lambda on: on.ada.join("s", metadata=len), "metadata can't be written as JSON"),
        (lambda on: on.room.kick(5), "a peer's id must be text"),
        (lambda on: on.room.change(locked=1), "locked must be true or false"),
        (lambda on: on.room.change(capacity=2.5), "a room's capacity must be a whole number"),
        (lambda on: on.room.change(capacity=math.nan), "a room's capacity must be a whole number"),
        (lambda on: on.room.signal({}, to=math.nan), "a peer's id must be text"),
        (lambda on: on.ada.text(b"peer", "x"), "a peer's id must be text"),
        (lambda on: on.room.text(""), "a text has 1 to 8000 characters"),
        (lambda on: on.room.text("😀" * 8_001), "a text has 1 to 8000 characters"),
        (lambda on: on.room.signal("x" * 65_536), "a message has at most 65536 bytes"),
        (lambda on: on.room.signal(_deep(300)), "the message is nested too deeply"),
        (lambda on: on.room.signal("\ud800"), "the text is not valid Unicode"),
        (lambda on: on.ada.call(""), "a user's id has 1 to 256 characters"),
        (lambda on: on.ada.call(on.bob.user).hang_up("x" * 257), "a reason has at most 256"),
    ],
)
async def test_the_sentence(call: Call, sentence: str) -> None:
    """A mistake is refused with a sentence, at once, and takes no number."""
    async with asyncio.timeout(SECONDS):
        party = Party()
        async with party.stack:
            await party.open()
            with pytest.raises(Refused, match=sentence) as refused:
                await awaited(call(party))
            assert "malformed" == refused.value.code
            await party.ada.join("and it goes on")


async def test_a_name_that_is_too_long() -> None:
    """The service is not asked again and again."""
    async with running() as service:
        url = f"http://127.0.0.1:{service.ports.port}"
        with pytest.raises(Refused, match="a name has at most 64 characters"):
            async with connect(url, name="x" * 65):
                pass


async def test_after_the_end() -> None:
    """A request to a closed client fails at once."""
    async with running() as service:
        url = f"http://127.0.0.1:{service.ports.port}"
        async with connect(url, token=service.token("ada")) as ada:
            room = await ada.join("lobby")
        for ask in (
            lambda: ada.join("s"),
            lambda: ada.text("peer", "x"),
            lambda: ada.call("bob"),
            lambda: room.text("x"),
            lambda: room.kick("peer"),
        ):
            with pytest.raises(ClientError) as refused:
                await awaited(ask())
            assert "closed" == refused.value.code
        await room.leave()


# --- the service's side --------------------------------------------------------------------------


async def test_a_refused_message_is_counted() -> None:
    """A numbered message that the service cannot take is answered by its id, counts, and is
    acknowledged: the next one is in order, and a repeat is not answered again.
    """
    async with running() as service:
        peer = await service.peer(reliable=True)
        await peer.say(type="join", room="", id="first")
        error = await peer.news()
        assert ("malformed", "first") == (error["code"], error["ref"])
        assert "a room's name has 1 to 128 characters" == error["message"]
        await peer.send(type="join", room="", id="first", seq=1)
        await peer.say(type="join", room="r", role="host", id=2)
        assert ("malformed", 2) == ((error := await peer.news())["code"], error["ref"])
        await peer.say(type="join", room="r", metadata="x" * 4_096, id=3)
        assert ("malformed", 3) == ((error := await peer.news())["code"], error["ref"])
        await peer.say(type="signal", room="r", data=_deep(300), id=4)
        assert ("malformed", 4) == ((error := await peer.news())["code"], error["ref"])
        await peer.socket.send_str('{"type":"text","seq":5,"id":5,"text":"\\ud800"}')
        assert ("malformed", 5) == ((error := await peer.news())["code"], error["ref"])
        peer.said += 1
        await peer.say(type="join", room="r", id=6)
        assert ("joined", 6) == ((joined := await peer.news())["type"], joined["ref"])
        peer.lose()
        back = await service.back(peer)
        assert (True, 6) == (back.welcome["resumed"], back.welcome["received"])


async def test_a_refused_message_out_of_order() -> None:
    """One that is missing before it is missed all the same."""
    async with running() as service:
        peer = await service.peer(reliable=True)
        await peer.send(type="join", room="", seq=2)
        assert "out-of-order" == (await peer.receive())["code"]
        assert 1008 == await peer.closed()


async def test_what_the_service_takes() -> None:
    """The welcome has the limits for a reliable client, and the Python client respects them."""
    small = Limits(message_bytes=2_048, messages=Rate(10, 1), message_burst=5)
    async with running(settings(limits=small)) as service:
        peer = await service.peer(reliable=True)
        told = {"messageBytes": 2_048, "messagesPerSecond": 10.0, "messageBurst": 5}
        assert told == peer.welcome["limits"]
        url = f"http://127.0.0.1:{service.ports.port}"
        async with asyncio.timeout(SECONDS), connect(url, token=service.token("ada")) as ada:
            room = await ada.join("lobby")
            with pytest.raises(Refused, match="at most 2048 bytes"):
                room.signal("x" * 2_048)
            before = ada.peer
            metrics = service.service.metrics
            for said in [room.text(str(number)) for number in range(12)]:
                service.clocks.advance(0.2)
                await said
            assert (before, 2) == (ada.peer, metrics.connections._value.get())


async def test_too_large_for_the_service() -> None:
    """A service that takes less and does not say so: what ended the connection is given up, what
    was said beside it arrives, and the peer stays who it is.
    """
    small = settings(limits=Limits(message_bytes=2_048))
    async with (
        asyncio.timeout(SECONDS),
        running(small) as service,
        silent(service.ports.port) as url,
        connect(url, token=service.token("ada")) as ada,
    ):
        peer = ada.peer
        room = await ada.join("r")
        said = [room.text("x" * size) for size in (1, 3_000, 2, 4_000, 3)]
        outcomes = await asyncio.gather(*said, return_exceptions=True)
        assert [None, None, None] == outcomes[::2]
        assert ["malformed", "malformed"] == [
            each.code for each in outcomes[1::2] if isinstance(each, Refused)
        ]
        with pytest.raises(Refused, match="a message has at most"):
            room.text("x" * 3_000)
        assert (peer, False) == (ada.peer, room.closed)


async def test_no_storm() -> None:
    """A service that ends each connection as soon as something is said is asked less and less
    often, always by the same session; what was asked settles at the end.
    """
    async with asyncio.timeout(SECONDS), slamming(1011) as service:
        async with connect(service.url) as ada:
            asked = asyncio.create_task(ada.join("r"))
            await asyncio.sleep(2)
            while len(service.peers) < 2:  # noqa: ASYNC110  it has no event of its own
                await asyncio.sleep(0.01)
        with pytest.raises(Closed):
            await asked
        assert 2 <= len(service.peers) <= 6
        assert ["", *["s"] * (len(service.peers) - 1)] == service.peers


async def test_a_request_that_meets_a_bug() -> None:
    """It is answered by its id before the connection ends, and is not asked again: the peer is back
    with everything else.
    """

    def bug(record: object) -> None:
        service.service.hub.calls._changed = lambda record: None
        raise ZeroDivisionError

    async with asyncio.timeout(SECONDS), running() as service:
        url = f"http://127.0.0.1:{service.ports.port}"
        async with connect(url, token=service.token("ada")) as ada:
            peer = ada.peer
            room = await ada.join("r")
            service.service.hub.calls._changed = bug
            assert "internal" == await ada.call("bob").over()
            await room.text("and it goes on")
            assert (peer, False, ["r"]) == (ada.peer, room.closed, list(ada.rooms))


async def test_numbers_beyond_ours() -> None:
    """JSON of somebody else's that no number of ours holds: it arrives, and nothing breaks."""
    async with asyncio.timeout(SECONDS), running() as service:
        url = f"http://127.0.0.1:{service.ports.port}"
        async with connect(url, token=service.token("bob")) as bob:
            room = await bob.join("r")
            peer = await service.peer(reliable=True)
            metadata = '{"n":1e400}'
            await peer.socket.send_str(
                f'{{"type":"join","room":"r","seq":1,"metadata":{metadata}}}'
            )
            joined = await anext(room.events)
            assert isinstance(joined, PeerJoined)
            assert {"n": math.inf} == joined.neighbour.metadata
            for number, data in enumerate(("1e400", "-1e400", "1" * 5_000, "[1e-400]"), 2):
                await peer.socket.send_str(
                    f'{{"type":"signal","room":"r","data":{data},"seq":{number}}}'
                )
            heard = [await anext(room.events) for _ in range(4)]
            assert [math.inf, -math.inf, math.inf, [0.0]] == [
                event.data for event in heard if isinstance(event, Signal)
            ]


def test_bounds_are_the_grammars() -> None:
    """The sentences' bounds are those by which the service parses."""
    longest = {"type": "text", "text": "x" * (messages.MAX_TEXT + 1)}
    with pytest.raises(Malformed, match=f"1 to {messages.MAX_TEXT} characters"):
        messages.parse(msgspec.json.encode(longest))
