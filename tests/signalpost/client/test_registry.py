"""Calls that the service has forgotten, or that two users make at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from signalpost.client import (
    Client,
    State,
    connect,
)
from tests.signalpost.client.scene import SECONDS, Scene, answered, scene
from tests.signalpost.killable import Process


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


async def test_said_to_the_other_end_before_it_is_back() -> None:
    """After the service has forgotten a call, a signal waits for the other end."""
    async with scene() as on:
        ada, bob = await on.enter("ada"), await on.enter("bob")
        outgoing, incoming = await answered(ada, bob)
        for each in (ada, bob):
            on.wires[each.user].broken = True
            on.wires[each.user].cut()
        await on.service.until(
            lambda: all(line.socket is None for line in on.service.service.sessions)
        )
        on.forget(ada)
        on.forget(bob)
        on.wires["ada"].broken = False
        await on.service.until(lambda: _is_back(on, ada))
        said = asyncio.ensure_future(outgoing.signal({"still": "there"}))
        done, _ = await asyncio.wait([said], timeout=0.2)
        assert set() == done
        on.wires["bob"].broken = False
        await said
        assert "there" == (await anext(incoming.signals))["still"]


def _is_back(on: Scene, client: Client) -> bool:
    there = {line.peer for line in on.service.service.sessions}
    return client.peer in there and client.state is State.OPEN


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
