"""The connection of the Python client: lost, silent, refused, and opened again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from signalpost.client import (
    CallState,
    Client,
    Refused,
    Room,
    Signal,
    State,
    Text,
    Unreachable,
    connect,
)
from signalpost.client.connection import Waits
from tests.lab.ports import free_port
from tests.signalpost.client.scene import SECONDS, Scene, answered, back, scene
from tests.signalpost.killable import Process
from tests.signalpost.running import running, skipping


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


async def test_a_welcome_that_is_lost() -> None:
    """The service has begun anew and said so, but that never arrived: asked again, it does not
    mistake the numbers of before for its new ones.
    """
    waits = Waits(open=SECONDS)
    async with scene() as on:
        ada, bob = await on.enter("ada", waits=waits), await on.enter("bob", waits=waits)
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


async def test_silence() -> None:
    """A connection on which an answer is due and nothing comes is given up for another."""
    async with scene() as on:
        ada, bob = await on.enter("ada", waits=Waits(silence=0.5)), await on.enter("bob")
        lobby, theirs = await ada.join("lobby"), await bob.join("lobby")
        on.wires["ada"].deaf = True
        said = lobby.signal("hello", to=bob.peer)
        await on.service.until(lambda: on.wires["ada"].accepted > 1)
        on.wires["ada"].deaf = False
        assert "hello" == await signal(theirs)
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


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable service raises an error after `patience`, with the reason."""
    skip, tries = skipping(monkeypatch), iter([0.0, 100.0])

    async def token() -> str:
        skip(next(tries, 0.0))
        return "a-token"

    with pytest.raises(Unreachable, match=r"within 100 s: .*Connect call failed"):
        async with connect(f"http://127.0.0.1:{free_port()}", token=token, patience=100):
            pass


async def test_another_service() -> None:
    """Something that isn't Signalpost raises an error at once."""
    async with running() as service:
        with pytest.raises(Unreachable, match="404"):
            async with connect(f"http://127.0.0.1:{service.ports.port}/elsewhere"):
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
