"""`signalpost.client` against the real service: what it does, whatever the network does."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from signalpost.client import (
    Client,
    Closed,
    PeerJoined,
    PeerLeft,
    Refused,
    Room,
    Signal,
    State,
    Text,
    Undelivered,
    connect,
)
from signalpost.client.connection import Waits
from signalpost.config.settings import Turn
from signalpost.credentials import Secret, TtlPolicy
from signalpost.iceservers import Relay
from tests.signalpost.client.scene import Scene, answered, back, scene
from tests.signalpost.running import TURN_SECRET

# --- rooms ---------------------------------------------------------------------------------------


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
# --- the network ---------------------------------------------------------------------------------


async def signal(room: Room) -> Any:
    event = await anext(room.events)
    assert isinstance(event, Signal)
    return event.data


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


def line_of(on: Scene, client: Client) -> Any:
    (line,) = (line for line in on.service.service.sessions if line.peer == client.peer)
    return line


async def test_a_peer_that_does_not_come_back() -> None:
    """An undelivered message fails after the wait for its peer."""
    async with scene() as on:
        ada, bob = await on.enter("ada", waits=Waits(back=0.2)), await on.enter("bob")
        lobby = await ada.join("lobby")
        await bob.join("lobby")
        on.wires["bob"].broken = True
        on.wires["bob"].cut()
        await on.service.until(lambda: line_of(on, bob).socket is None)
        said = lobby.signal("hello", to=bob.peer)
        on.forget(bob)
        with pytest.raises(Undelivered):
            await said


# --- coming and going ----------------------------------------------------------------------------


async def test_no_url() -> None:
    """A bad URL is a mistake of the caller's."""
    with pytest.raises(ValueError, match="https://host"):
        async with connect("calls.example.org"):
            pass


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
    """At the end of the block calls are hung up, and pending requests fail."""
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
    """The log reports a lost connection, without tokens."""
    with caplog.at_level(logging.DEBUG, "signalpost.client"):
        async with scene() as on:
            ada = await on.enter("ada")
            await back(ada, on.wires["ada"])
    assert "connection lost" in caplog.text
    assert on.service.token("ada").split(".")[0] not in caplog.text
