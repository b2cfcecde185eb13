"""Calls of the Python client, from the first ring to the outcome."""

from __future__ import annotations

from typing import Any

import pytest

from signalpost.client import (
    CallEnded,
    Room,
    Signal,
    Text,
)
from tests.signalpost.client.scene import answered, scene


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


async def signal(room: Room) -> Any:
    event = await anext(room.events)
    assert isinstance(event, Signal)
    return event.data
