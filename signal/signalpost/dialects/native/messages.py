"""The native protocol's messages (`signalpost.v1`): one Struct for each, `parse` and `dump`.

docs/protocol.md explains every message, and a test parses its examples. `parse` checks that a
signal's `data` is JSON, and keeps the bytes it came in. Unknown members are ignored, so that a
newer client can talk to an older service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from signalpost.dialects.native import grammar
from signalpost.dialects.native.grammar import MAX_DEPTH, MAX_METADATA, MAX_SAFE, MAX_TEXT
from signalpost.errors import Malformed
from signalpost.ids import CallId, PeerId, RoomId, UserId

__all__ = [
    "MAX_METADATA",
    "MAX_TEXT",
    "SUBPROTOCOL",
    "Accept",
    "Accepted",
    "Ack",
    "Busy",
    "Cancel",
    "ClientMessage",
    "Connected",
    "Delivered",
    "Ended",
    "Error",
    "GoAway",
    "HangUp",
    "Hello",
    "IceServers",
    "Incoming",
    "Invite",
    "Join",
    "Joined",
    "Kick",
    "Leave",
    "Left",
    "Limits",
    "Neighbour",
    "PeerJoined",
    "PeerLeft",
    "Reject",
    "Resume",
    "Ringing",
    "Rings",
    "Room",
    "RoomChanged",
    "ServerMessage",
    "Signal",
    "Signalled",
    "Text",
    "Texted",
    "Welcome",
    "dump",
    "members",
    "parse",
    "quoted",
]

SUBPROTOCOL = "signalpost.v1"

RoomName = Annotated[RoomId, msgspec.Meta(pattern=grammar.ROOM_PATTERN)]
# The sender is in the room already: a signal needs no pattern match.
KnownRoom = Annotated[RoomId, msgspec.Meta(min_length=1, max_length=grammar.MAX_ROOM_NAME)]
PeerName = Annotated[PeerId, msgspec.Meta(min_length=1, max_length=grammar.MAX_PEER_NAME)]
UserName = Annotated[UserId, msgspec.Meta(min_length=1, max_length=grammar.MAX_USER_NAME)]
CallName = Annotated[CallId, msgspec.Meta(pattern=grammar.CALL_PATTERN)]
ShownName = Annotated[str, msgspec.Meta(max_length=grammar.MAX_SHOWN_NAME)]
Metadata = msgspec.Raw | UnsetType
"""Any JSON. `null` is a value, UNSET is an absent member."""
Reason = Annotated[str, msgspec.Meta(max_length=grammar.MAX_REASON)]
Id = (
    Annotated[str, msgspec.Meta(max_length=grammar.MAX_ID)]
    | Annotated[int, msgspec.Meta(ge=-MAX_SAFE, le=MAX_SAFE)]
    | None
)
Number = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE)]
Capacity = Annotated[int, msgspec.Meta(ge=-MAX_SAFE, le=MAX_SAFE)]


class _Message(msgspec.Struct, rename="camel", omit_defaults=True):
    pass


# --- from the client ---------------------------------------------------------------------------


class _Numbered(_Message):
    """A reliable client sets `seq`."""

    seq: Number | None = None
    id: Id = None


class Resume(_Message):
    """The `session` of the last welcome, and the number of the last message that arrived."""

    session: Annotated[str, msgspec.Meta(max_length=128)]
    received: Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE)]


class Hello(_Message, tag="hello"):
    token: str | None = None
    name: ShownName | None = None
    reliable: bool = False
    resume: Resume | None = None
    id: Id = None


class Ack(_Message, tag="ack"):
    """Both sides send it: everything up to `seq` has arrived."""

    seq: Number


class Join(_Numbered, tag="join", kw_only=True):
    room: RoomName
    role: Literal["member", "observer"] = "member"
    metadata: Metadata = UNSET


class Leave(_Numbered, tag="leave", kw_only=True):
    room: RoomName


class Room(_Numbered, tag="room", kw_only=True):
    room: RoomName
    locked: bool | None = None
    capacity: Capacity | None = None
    metadata: Metadata = UNSET


class Kick(_Numbered, tag="kick", kw_only=True):
    room: RoomName
    peer: PeerName


class Signal(_Numbered, tag="signal", kw_only=True):
    """To a peer, to everybody else in a room, or to a peer in a given room."""

    data: msgspec.Raw
    to: PeerName | None = None
    room: KnownRoom | None = None


class Text(_Numbered, tag="text", kw_only=True):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
    to: PeerName | None = None
    room: KnownRoom | None = None


class Invite(_Numbered, tag="invite", kw_only=True):
    call: CallName
    user: UserName


class _OfCall(_Numbered, kw_only=True):
    call: CallName


class Rings(_OfCall, tag="rings"):
    pass


class Accept(_OfCall, tag="accept"):
    pass


class Reject(_OfCall, tag="reject", kw_only=True):
    reason: Reason | None = None


class Busy(_OfCall, tag="busy"):
    pass


class Cancel(_OfCall, tag="cancel"):
    pass


class Connected(_OfCall, tag="connected"):
    pass


class HangUp(_OfCall, tag="hang-up", kw_only=True):
    reason: Reason | None = None


ClientMessage = (
    Hello
    | Ack
    | Join
    | Leave
    | Room
    | Kick
    | Signal
    | Text
    | Invite
    | Rings
    | Accept
    | Reject
    | Busy
    | Cancel
    | Connected
    | HangUp
)


# --- from the server ---------------------------------------------------------------------------


class Limits(_Message):
    """What the service accepts on one connection. Beyond it the connection is closed."""

    message_bytes: int
    messages_per_second: float
    message_burst: int


class Welcome(_Message, tag="welcome"):
    """`ttl` and `expires` (Unix time) belong to the credential and are absent without one. Only a
    reliable client gets the last four.
    """

    peer: str
    user: str
    ice_servers: list[dict[str, Any]]
    ttl: int | None = None
    expires: int | None = None
    ref: Id = None
    session: str | None = None
    resumed: bool | None = None
    received: int | None = None
    limits: Limits | None = None


class IceServers(_Message, tag="ice-servers"):
    ice_servers: list[dict[str, Any]]
    ttl: int
    expires: int


class Neighbour(_Message):
    peer: str
    user: str
    role: str
    polite: bool
    name: str | None = None
    metadata: Metadata = UNSET


class Joined(_Message, tag="joined"):
    room: str
    role: str
    locked: bool
    capacity: int
    peers: list[Neighbour]
    metadata: Metadata = UNSET
    ref: Id = None


class PeerJoined(_Message, tag="peer-joined"):
    room: str
    peer: str
    user: str
    role: str
    polite: bool
    name: str | None = None
    metadata: Metadata = UNSET


class Left(_Message, tag="left"):
    room: str
    reason: str | None = None
    ref: Id = None


class PeerLeft(_Message, tag="peer-left"):
    room: str
    peer: str
    host: str | None = None
    ref: Id = None


class RoomChanged(_Message, tag="room"):
    room: str
    host: str | None
    locked: bool
    capacity: int
    metadata: Metadata = UNSET
    ref: Id = None


class Signalled(_Message, tag="signal"):
    """The service doesn't use `dump` for it, but joins the bytes itself (translation.py)."""

    sender: str = msgspec.field(name="from")
    data: msgspec.Raw
    room: str | None = None
    id: Id = None


class Texted(_Message, tag="text"):
    sender: str = msgspec.field(name="from")
    text: str
    room: str | None = None
    id: Id = None


class Delivered(_Message, tag="delivered"):
    id: str | int
    to: str


class Incoming(_Message, tag="incoming"):
    call: str
    sender: str = msgspec.field(name="from")
    user: str
    name: str | None = None


class Ringing(_Message, tag="ringing"):
    call: str


class Accepted(_Message, tag="accepted"):
    call: str
    peer: str
    polite: bool
    instead: str | None = None
    ref: Id = None


class Ended(_Message, tag="ended"):
    call: str
    outcome: str
    reason: str | None = None
    ref: Id = None


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


ServerMessage = (
    Welcome
    | Ack
    | IceServers
    | Joined
    | PeerJoined
    | Left
    | PeerLeft
    | RoomChanged
    | Signalled
    | Texted
    | Delivered
    | Incoming
    | Ringing
    | Accepted
    | Ended
    | GoAway
    | Error
)

_decode: Callable[[bytes], ClientMessage] = msgspec.json.Decoder(ClientMessage).decode
_encode = msgspec.json.Encoder().encode


def parse(text: bytes) -> ClientMessage:
    """The message. For any other bytes raises Malformed, with the message's number and id where
    they are legible, because a refused message counts as received.
    """
    try:
        if not text.isascii():
            # Raw parts are passed on unread and must not break the reader's connection (RFC 6455,
            # section 8.1).
            text.decode()
        message = _decode(text)
    except msgspec.DecodeError as error:
        seq, id_, wrong = grammar.read(text)
        raise Malformed(wrong or str(error), seq=seq, ref=id_) from None
    except UnicodeError:
        raise Malformed(grammar.NOT_UNICODE) from None
    except RecursionError:
        raise Malformed(grammar.NESTED) from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and grammar.depth(text) > MAX_DEPTH:
        seq, id_ = getattr(message, "seq", None), getattr(message, "id", None)
        raise Malformed(grammar.NESTED, seq=seq, ref=id_)
    if type(message) is Signal:  # by far the most
        return message
    if isinstance(message, Join | Room):
        metadata = message.metadata
        if metadata is not UNSET and len(metadata) > MAX_METADATA:
            wrong = f"metadata has at most {MAX_METADATA} bytes"
            raise Malformed(wrong, seq=message.seq, ref=message.id)
    return message


def dump(message: ServerMessage) -> bytes:
    return _encode(message)


def members(message: ServerMessage) -> bytes:
    """The message without its opening brace: a number is put there."""
    return _encode(message)[1:]


def quoted(text: str | int) -> bytes:
    """The text as JSON."""
    return _encode(text)
