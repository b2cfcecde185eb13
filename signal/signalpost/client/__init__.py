"""A Signalpost client for asyncio: rooms, presence, calls and texts over the native protocol.

    from signalpost.client import connect

    async with connect("https://calls.example.org", token=token, name="Echo") as client:
        async for call in client.incoming:
            await call.accept()

The client survives network failures and restarts of the service: docs/client-python.md has the
promises, docs/protocol.md the rules behind them.
"""

from signalpost.client.call import Call, CallState
from signalpost.client.client import Client, Token, connect
from signalpost.client.connection import State
from signalpost.client.errors import (
    CallEnded,
    ClientError,
    Closed,
    Overrun,
    Refused,
    Undelivered,
    Unreachable,
)
from signalpost.client.room import (
    Neighbour,
    PeerJoined,
    PeerLeft,
    Room,
    RoomChanged,
    RoomEvent,
    Signal,
    Text,
)
from signalpost.client.stream import Stream
from signalpost.iceservers import IceServer

__all__ = [
    "Call",
    "CallEnded",
    "CallState",
    "Client",
    "ClientError",
    "Closed",
    "IceServer",
    "Neighbour",
    "Overrun",
    "PeerJoined",
    "PeerLeft",
    "Refused",
    "Room",
    "RoomChanged",
    "RoomEvent",
    "Signal",
    "State",
    "Stream",
    "Text",
    "Token",
    "Undelivered",
    "Unreachable",
    "connect",
]
