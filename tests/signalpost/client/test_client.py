"""`signalpost.client` against the real service: what it does, whatever the network does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from signalpost.client import (
    CallEnded,
    CallState,
    Client,
    Closed,
    PeerJoined,
    PeerLeft,
    Refused,
    Room,
    RoomChanged,
    Signal,
    State,
    Text,
    Undelivered,
    Unreachable,
    connect,
    connection,
)
from signalpost.config.settings import Turn
from signalpost.credentials import Secret, TtlPolicy
from signalpost.iceservers import Relay
from tests.lab.ports import free_port
from tests.signalpost.killable import Process
from tests.signalpost.running import TURN_SECRET, Running, running, settings, skipping
from tests.signalpost.wire import Wire, wire

SECONDS = 90
"""A condition that has not come by then never will."""


@dataclass
class Scene:
    """A service, and clients of it, each on a wire of its own."""

    service: Running
    stack: AsyncExitStack
    wires: dict[str, Wire] = field(default_factory=dict)

    async def enter(self, user: str, **options: Any) -> Client:
        made = await self.stack.enter_async_context(wire(self.service.ports.port))
        self.wires[user] = made
        options.setdefault("token", self.service.token(user))
        return await self.stack.enter_async_context(connect(made.url, name=user, **options))

    def forget(self, client: Client) -> None:
        """As after 30 seconds of absence."""
        (line,) = (line for line in self.service.service.sessions if line.peer == client.peer)
        self.service.service.sessions.end(line)


@asynccontextmanager
async def scene(**sections: Any) -> AsyncIterator[Scene]:
    async with (
        asyncio.timeout(SECONDS),
        running(settings(**sections)) as service,
        AsyncExitStack() as stack,
    ):
        yield Scene(service, stack)


async def answered(caller: Client, callee: Client) -> Any:
    """The two ends of a call between these."""
    outgoing = caller.call(callee.user)
    incoming = await anext(callee.incoming)
    await incoming.accept()
    await outgoing.answered()
    return outgoing, incoming


async def back(client: Client, cut: Wire) -> None:
    """Cut the client's wire, and wait until it is open again."""
    before = cut.accepted
    cut.cut()
    while cut.accepted == before or client.state is not State.OPEN:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


# --- rooms ---------------------------------------------------------------------------------------


async def test_a_room() -> None:
    """Who is in a room sees who comes, what they say, and who goes."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        lobby = await ada.join("lobby", metadata={"hand": True})
        assert "host" == lobby.role
        theirs = await bob.join("lobby")
        (seen,) = theirs.peers.values()
        assert (ada.peer, "ada", {"hand": True}, True) == (
            seen.peer,
            seen.name,
            seen.metadata,
            seen.polite,
        )
        joined = await anext(lobby.events)
        assert isinstance(joined, PeerJoined)
        assert bob.peer == joined.neighbour.peer

        theirs.text("Good morning")
        theirs.signal({"to": "all"})
        theirs.signal({"to": "one"}, to=ada.peer)
        assert Text(bob.peer, "Good morning") == await anext(lobby.events)
        assert Signal(bob.peer, {"to": "all"}) == await anext(lobby.events)
        assert Signal(bob.peer, {"to": "one"}) == await anext(lobby.events)

        await theirs.leave()
        assert isinstance(await anext(lobby.events), PeerLeft)
        assert [] == [event async for event in theirs.events]
        assert ({}, {}) == (lobby.peers, bob.rooms)


async def test_the_host() -> None:
    """A host changes the room and puts people out; who was put out sees why."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        lobby, theirs = await ada.join("lobby"), await bob.join("lobby")
        await lobby.change(locked=True, metadata=None)
        assert RoomChanged() == await anext(theirs.events)
        assert (True, None) == (theirs.locked, theirs.metadata)
        with pytest.raises(Refused) as refused:
            await theirs.kick(ada.peer)
        assert "role-refused" == refused.value.code
        await lobby.kick(bob.peer)
        assert [] == [event async for event in theirs.events]
        assert "kicked" == theirs.left
        with pytest.raises(Refused) as refused:
            await bob.join("lobby")
        assert "banned" == refused.value.code


async def test_delivered() -> None:
    """A message to one peer is done when that peer's client has it; to nobody it is refused."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        await ada.join("lobby")
        theirs = await bob.join("lobby")
        await ada.text(bob.peer, "Are you there?")
        assert Text(ada.peer, "Are you there?") == await anext(theirs.events)
        with pytest.raises(Refused) as refused:
            await ada.signal("0123456789", {})
        assert "no-such-peer" == refused.value.code


@pytest.mark.parametrize("room", ["", "a\nb", "x" * 129])
async def test_what_the_service_would_not_understand(room: str) -> None:
    """It is refused here already, and the next message gets through."""
    async with scene() as on:
        ada = await on.enter("ada")
        with pytest.raises(Refused) as refused:
            await ada.join(room)
        assert "malformed" == refused.value.code
        lobby = await ada.join("lobby")
        with pytest.raises(Refused):
            lobby.signal("x" * 65_536)
        await lobby.text("Good morning")


# --- calls ---------------------------------------------------------------------------------------


async def test_a_call() -> None:
    """Ring, answer, signals both ways, connected, hang up."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        outgoing, incoming = await answered(ada, bob)
        assert (False, True) == (outgoing.polite, incoming.polite)
        assert ("ada", ada.peer, bob.peer) == (incoming.name, incoming.peer, outgoing.peer)
        outgoing.signal({"offer": 1})
        incoming.signal({"answer": 1})
        assert {"offer": 1, "link": incoming.id} == await anext(incoming.signals)
        assert {"answer": 1, "link": incoming.id} == await anext(outgoing.signals)
        await ada.text(bob.peer, "Nice to see you")
        assert Text(ada.peer, "Nice to see you") == await anext(bob.messages)
        outgoing.connected()
        outgoing.hang_up("bye")
        assert ("completed", "bye") == (await incoming.over(), incoming.reason)
        assert [] == [signal async for signal in incoming.signals]
        assert ({}, {}) == (ada.calls, bob.calls)
        with pytest.raises(CallEnded):
            incoming.signal({})


async def test_rejected() -> None:
    """The caller gets the outcome and the reason."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        call = ada.call("bob")
        (await anext(bob.incoming)).reject("in a meeting")
        with pytest.raises(CallEnded) as ended:
            await call.answered()
        assert ("rejected", "in a meeting") == (ended.value.outcome, ended.value.reason)


async def test_several_devices() -> None:
    """All of a user's devices ring, and the first to accept has the call."""
    async with scene() as on:
        ada = await on.enter("ada")
        phone, laptop = await on.enter("bob"), await on.enter("bob")
        call = ada.call("bob")
        on_phone, on_laptop = await anext(phone.incoming), await anext(laptop.incoming)
        await on_laptop.accept()
        await call.answered()
        with pytest.raises(CallEnded) as ended:
            await on_phone.accept()
        assert "answered-elsewhere" == ended.value.outcome
        assert laptop.peer == call.peer


async def test_busy_on_one_device() -> None:
    """Busy is said for one device; another one may still answer."""
    async with scene() as on:
        ada = await on.enter("ada")
        phone, laptop = await on.enter("bob"), await on.enter("bob")
        call = ada.call("bob")
        (await anext(phone.incoming)).busy()
        await (await anext(laptop.incoming)).accept()
        await call.answered()


async def test_two_who_call_each_other(tmp_path: Path) -> None:
    """It becomes one call, which both state again to a service that was restarted."""
    with Process(tmp_path) as service:
        async with (
            asyncio.timeout(SECONDS),
            connect(service.url, token=service.token("ada")) as ada,
            connect(service.url, token=service.token("bob")) as bob,
        ):
            hers, his = ada.call("bob"), bob.call("ada")
            await asyncio.gather(hers.answered(), his.answered())
            assert (hers.id, {hers.id}, {hers.id}) == (his.id, set(ada.calls), set(bob.calls))
            assert hers.polite is not his.polite
            service.kill()
            await asyncio.to_thread(service.start)
            await hers.signal({"still": "there"})
            assert "there" == (await anext(his.signals))["still"]


# --- the network ---------------------------------------------------------------------------------


async def test_cut_again_and_again() -> None:
    """Whenever the connections are cut: nothing is lost, doubled or out of order."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        lobby, theirs = await ada.join("lobby"), await bob.join("lobby")
        hers, his = ada.peer, bob.peer
        await anext(lobby.events)
        for cut in range(3):
            numbers = range(cut * 20, cut * 20 + 20)
            said = [lobby.signal(number, to=bob.peer) for number in numbers]
            said += [theirs.text(str(number)) for number in numbers]
            await back(*((ada, on.wires["ada"]) if cut % 2 else (bob, on.wires["bob"])))
            await asyncio.gather(*said)
            assert list(numbers) == [await signal(theirs) for _ in numbers]
            assert [str(number) for number in numbers] == [await text(lobby) for _ in numbers]
        assert (hers, his) == (ada.peer, bob.peer)


async def signal(room: Room) -> Any:
    event = await anext(room.events)
    assert isinstance(event, Signal)
    return event.data


async def text(room: Room) -> str:
    event = await anext(room.events)
    assert isinstance(event, Text)
    return event.text


async def test_forgotten() -> None:
    """A service that has forgotten a client: it is in its room again under the same id, what was
    on the way to it and from it arrives once, and nobody else joined or left for good.
    """
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        lobby, theirs = await ada.join("lobby"), await bob.join("lobby")
        peer = bob.peer
        on.wires["bob"].broken = True
        on.wires["bob"].cut()
        await on.service.until(lambda: bob.state is State.WAITING)
        waiting = [theirs.signal("to one", to=ada.peer), theirs.text("to all")]
        kept = lobby.signal("to bob", to=bob.peer)
        await on.service.until(lambda: line_of(on, bob).socket is None)
        on.forget(bob)
        on.wires["bob"].broken = False
        await asyncio.gather(*waiting, kept)
        assert peer == bob.peer
        assert "to bob" == await signal(theirs)
        heard = [await anext(lobby.events) for _ in range(5)]
        assert [PeerJoined, PeerLeft, PeerJoined, Signal, Text] == [type(each) for each in heard]


async def test_a_welcome_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service has begun anew and said so, but that never arrived: asked again, it does not
    mistake the numbers of before for its new ones.
    """
    monkeypatch.setattr(connection, "OPEN_SECONDS", float(SECONDS))
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        outgoing, _ = await answered(ada, bob)
        await outgoing.signal({"number": 1})
        cut = on.wires["bob"]
        cut.deaf = True
        cut.cut()
        await on.service.until(lambda: line_of(on, bob).socket is None)
        on.forget(bob)
        # More to the new session than ever came on the old one.
        await on.service.until(
            lambda: bob.peer in {line.peer for line in on.service.service.sessions}
        )
        unheard = [ada.call("bob") for _ in range(5)]
        await on.service.until(lambda: line_of(on, bob).outgoing.last == 5)
        cut.cut()
        cut.deaf = False
        assert ["unreachable"] * 5 == [await call.over() for call in unheard]
        await on.service.until(lambda: bob.state is State.OPEN)
        again = ada.call("bob")
        await (await anext(bob.incoming)).accept()
        await again.signal({"number": 2})


def line_of(on: Scene, client: Client) -> Any:
    (line,) = (line for line in on.service.service.sessions if line.peer == client.peer)
    return line


async def test_hung_up_while_away() -> None:
    """A call that was ended when the service could not hear it, and had forgotten the call, ends
    at the other end, too.
    """
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        outgoing, incoming = await answered(ada, bob)
        for each in (ada, bob):
            on.wires[each.user].broken = True
            on.wires[each.user].cut()
        await on.service.until(
            lambda: all(line.socket is None for line in on.service.service.sessions)
        )
        outgoing.hang_up()
        on.forget(ada)
        on.forget(bob)
        on.wires["bob"].broken = False
        await on.service.until(lambda: bob.state is State.OPEN)
        on.wires["ada"].broken = False
        await incoming.over()
        assert {} == bob.calls


async def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which an answer is due and nothing comes is given up for another."""
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.5)
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        lobby, theirs = await ada.join("lobby"), await bob.join("lobby")
        on.wires["ada"].deaf = True
        said = lobby.signal("hello", to=bob.peer)
        await on.service.until(lambda: on.wires["ada"].accepted > 1)
        on.wires["ada"].deaf = False
        assert "hello" == await signal(theirs)
        await said


async def test_a_peer_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be delivered is told, when the peer has been waited for."""
    monkeypatch.setattr("signalpost.client.client.RETURN_SECONDS", 0.2)
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        lobby = await ada.join("lobby")
        await bob.join("lobby")
        on.wires["bob"].broken = True
        on.wires["bob"].cut()
        await on.service.until(lambda: line_of(on, bob).socket is None)
        said = lobby.signal("hello", to=bob.peer)
        on.forget(bob)
        with pytest.raises(Undelivered):
            await said


async def test_drain(tmp_path: Path) -> None:
    """SIGTERM: the clients go when they are asked to, come back to the next process, and the call
    that went on goes on.
    """
    with Process(tmp_path) as service:
        async with (
            asyncio.timeout(SECONDS),
            connect(service.url, token=service.token("ada")) as ada,
            connect(service.url, token=service.token("bob")) as bob,
        ):
            outgoing, incoming = await answered(ada, bob)
            outgoing.connected()
            lobby, theirs = await ada.join("lobby"), await bob.join("lobby")
            assert 0 == await asyncio.to_thread(service.terminate)
            assert CallState.CONNECTED is outgoing.state
            assert CallState.ACCEPTED is incoming.state
            await asyncio.to_thread(service.start)
            await outgoing.signal({"still": "there"})
            assert "there" == (await anext(incoming.signals))["still"]
            await lobby.signal("hello", to=bob.peer)
            assert "hello" == await signal(theirs)


# --- coming and going ----------------------------------------------------------------------------


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be reached is told after `patience`, with the reason."""
    skip, tries = skipping(monkeypatch), iter([0.0, 100.0])

    async def token() -> str:
        skip(next(tries, 0.0))
        return "a-token"

    with pytest.raises(Unreachable, match=r"within 100 s: .*Connect call failed"):
        async with connect(f"http://127.0.0.1:{free_port()}", token=token, patience=100):
            pass


async def test_another_service() -> None:
    """Something that is no Signalpost is told at once."""
    async with running() as service:
        with pytest.raises(Unreachable, match="404"):
            async with connect(f"http://127.0.0.1:{service.ports.port}/elsewhere"):
                pass


async def test_no_url() -> None:
    """What is no URL of a service is a mistake of the caller's."""
    with pytest.raises(ValueError, match="https://host"):
        async with connect("calls.example.org"):
            pass


async def test_a_wrong_token() -> None:
    """It is refused with its code."""
    async with scene() as on:
        with pytest.raises(Refused) as refused:
            await on.enter("ada", token="no-token")
        assert "unauthorized" == refused.value.code


async def test_a_fresh_token_each_time() -> None:
    """A token may be a function: the service asks again when it has forgotten the client. Without
    a token that still counts the client is over, and everybody who reads hears why.
    """
    tokens: list[str] = []

    async with scene() as on:

        async def token() -> str:
            return tokens.pop(0)

        tokens += [on.service.token("ada"), on.service.token("ada"), "no-token"]
        ada = await on.enter("ada", token=token)
        lobby = await ada.join("lobby")
        await back(ada, on.wires["ada"])
        on.wires["ada"].broken = True
        on.wires["ada"].cut()
        await on.service.until(lambda: line_of(on, ada).socket is None)
        on.forget(ada)
        on.wires["ada"].broken = False
        with pytest.raises(Refused) as refused:
            await anext(lobby.events)
        assert "unauthorized" == refused.value.code
        assert State.CLOSED is ada.state


async def test_fresh_ice_servers() -> None:
    """Before a credential ends, the next one is there."""
    turn = Turn(
        secrets=(Secret(TURN_SECRET),), relays=(Relay("turn.example.org"),), ttl=TtlPolicy(native=2)
    )
    async with scene(turn=turn) as on:
        ada = await on.enter("ada")
        first = ada.ice_servers
        assert first[-1].username is not None
        on.service.clocks.advance(1.5)
        await on.service.until(lambda: ada.ice_servers != first)
        assert first[-1].urls == ada.ice_servers[-1].urls


async def test_closing() -> None:
    """At the end of the block calls are hung up, and what still waits is told."""
    async with scene() as on:
        bob = await on.enter("bob")
        await bob.join("lobby")
        async with connect(on.wires["bob"].url, token=on.service.token("ada")) as ada:
            lobby = await ada.join("lobby")
            _, incoming = await answered(ada, bob)
            on.wires["bob"].deaf = True
            said = ada.signal(bob.peer, "hello")
        with pytest.raises(Closed):
            await said
        assert [] == [event async for event in ada.messages]
        assert [] == [event async for event in lobby.events]
        on.wires["bob"].deaf = False
        await back(bob, on.wires["bob"])
        assert "failed" == await incoming.over()


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A lost connection is told in the log, without tokens."""
    with caplog.at_level(logging.DEBUG, "signalpost.client"):
        async with scene() as on:
            ada = await on.enter("ada")
            await back(ada, on.wires["ada"])
    assert "connection lost" in caplog.text
    assert on.service.token("ada").split(".")[0] not in caplog.text
