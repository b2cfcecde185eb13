"""Rooms of the Python client: who is there, what happens, and the host's rights."""

from __future__ import annotations

import pytest

from signalpost.client import (
    PeerJoined,
    PeerLeft,
    Refused,
    RoomChanged,
    Signal,
    Text,
)
from tests.signalpost.client.scene import scene


async def test_a_room() -> None:
    """A member sees peers come and go, and gets their messages."""
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
    """A host changes the room and kicks people. A kicked peer learns why."""
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
