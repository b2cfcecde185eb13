"""The native protocol's messages (`signalpost.v1`): one Struct a message, parse and dump.

Owns the wire grammar; docs/protocol.md explains every message, and a test parses its examples.
A signal's `data` is kept as the text it came in: it is checked to be JSON and never parsed.
Unknown members are ignored, so that a newer client can talk to an older service.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from signalpost.errors import Malformed

__all__ = [
    "SUBPROTOCOL",
    "ClientMessage",
    "Error",
    "GoAway",
    "Hello",
    "Join",
    "Joined",
    "Leave",
    "Left",
    "Peer",
    "PeerJoined",
    "PeerLeft",
    "ServerMessage",
    "Signal",
    "Signalled",
    "Welcome",
    "dump",
    "parse",
]

SUBPROTOCOL = "signalpost.v1"

# \Z, not $, which would let a trailing newline pass.
RoomName = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]{1,128}\Z")]
PeerName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Id = Annotated[str, msgspec.Meta(max_length=64)] | int | None


class _Message(msgspec.Struct, rename="camel", omit_defaults=True):
    pass


# --- from the client ---------------------------------------------------------------------------


class Hello(_Message, tag="hello"):
    token: str | None = None
    id: Id = None


class Join(_Message, tag="join"):
    room: RoomName
    id: Id = None


class Leave(_Message, tag="leave"):
    room: RoomName
    id: Id = None


class Signal(_Message, tag="signal"):
    """To a peer, to everybody else in a room, or to a peer in a given room."""

    data: msgspec.Raw
    to: PeerName | None = None
    room: RoomName | None = None
    id: Id = None


ClientMessage = Hello | Join | Leave | Signal


# --- from the server ---------------------------------------------------------------------------


class Welcome(_Message, tag="welcome"):
    """`ttl` and `expires` (Unix time) are the credential's, absent when there is none."""

    peer: str
    ice_servers: list[dict[str, Any]]
    ttl: int | None = None
    expires: int | None = None
    ref: Id = None


class Peer(msgspec.Struct):
    peer: str
    polite: bool


class Joined(_Message, tag="joined"):
    room: str
    peers: list[Peer]
    ref: Id = None


class PeerJoined(_Message, tag="peer-joined"):
    room: str
    peer: str
    polite: bool


class Left(_Message, tag="left"):
    room: str
    ref: Id = None


class PeerLeft(_Message, tag="peer-left"):
    room: str
    peer: str


class Signalled(_Message, tag="signal"):
    sender: str = msgspec.field(name="from")
    room: str
    data: msgspec.Raw


class GoAway(_Message, tag="go-away"):
    """`reason` is `shutdown`; times are milliseconds from now."""

    reason: str
    retry_after_ms: int
    closes_in_ms: int


class Error(_Message, tag="error"):
    code: str
    message: str
    retry_after: int | None = None
    ref: Id = None


ServerMessage = Welcome | Joined | PeerJoined | Left | PeerLeft | Signalled | GoAway | Error

_CLIENT: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_ENCODER = msgspec.json.Encoder()


def parse(text: str) -> ClientMessage:
    """Raises Malformed, whatever the text is."""
    try:
        return _CLIENT.decode(text)
    except msgspec.DecodeError as error:
        raise Malformed(str(error)) from None
    except UnicodeEncodeError:
        raise Malformed("the text is not valid Unicode") from None
    except RecursionError:
        raise Malformed("the message is nested too deep") from None


def dump(message: ServerMessage) -> str:
    return _ENCODER.encode(message).decode()
