"""The client's half of a session: numbers, acknowledgements, and messages that are sent again.

It follows docs/protocol.md, "Nothing lost", rules 1 to 4, as far as they concern numbers. Pure: no
sockets, no clock. Never deliver a message twice or out of order.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from signalpost.client.errors import Refused
from signalpost.dialects.native import messages
from signalpost.dialects.native.grammar import MAX_PEER_NAME, MAX_SAFE, NESTED, NOT_UNICODE, explain
from signalpost.errors import Malformed

__all__ = [
    "MAX_FRAME",
    "Gap",
    "Message",
    "Session",
    "Welcomed",
    "checked",
    "from_json",
    "to_json",
    "too_large",
]

MAX_FRAME = 65_536
"""Bytes that the service accepts, unless its welcome says otherwise. A larger message would end the
connection, and would be sent again on the next one.
"""
_SEQ, _TO = len(f',"seq":{MAX_SAFE}'), len(',"to":""') + MAX_PEER_NAME
"""How much a message may grow when it is sent again: its number changes, and a message to a room is
sent to each peer there.
"""
UNHEARD_OF = MAX_SAFE
MAX_DIGITS = 4_000
"""The most digits of a whole number. Python itself reads 4,300."""

Message = (
    messages.Join
    | messages.Leave
    | messages.Room
    | messages.Kick
    | messages.Signal
    | messages.Text
    | messages.Invite
    | messages.Rings
    | messages.Accept
    | messages.Reject
    | messages.Busy
    | messages.Connected
    | messages.HangUp
)
"""The numbered messages. The client never sends `cancel`: `hang-up` ends a call in any state."""


def to_json(value: object, noun: str) -> bytes:
    """The value as JSON. Raises Refused if it can't be written so; the error calls it `noun`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeError:
        raise Refused("malformed", NOT_UNICODE) from None
    except RecursionError:
        raise Refused("malformed", NESTED) from None
    except Exception:  # the caller's objects may do anything when they are read
        raise Refused("malformed", f"{noun} can't be written as JSON") from None


def from_json(raw: bytes | msgspec.Raw) -> Any:
    """A value that somebody else sent. It's JSON, but its numbers may be larger than ours."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return json.loads(bytes(raw), parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < MAX_DIGITS else float(digits)


def checked(message: Message | messages.Hello, most: int = MAX_FRAME) -> bytes:
    """The message as it would be sent. Raises Refused, as the service would."""
    frame = to_json(message, "a message")
    try:
        understood = messages.parse(frame)
    except Malformed as error:
        raise Refused(error.code, error.message) from None
    if (wrong := _otherwise(message, understood)) is not None:
        raise Refused("malformed", wrong)
    if _grown(message, len(frame)) > most:
        raise too_large(most)
    return frame


def _otherwise(message: msgspec.Struct, understood: msgspec.Struct) -> str | None:
    """The sentence for a value that JSON would change: it writes NaN as `null`, bytes and dates as
    text. None if nothing changes.
    """
    given: dict[str, object] = {"type": message.__struct_config__.tag}
    differs = False
    for field in msgspec.structs.fields(message):
        value = getattr(message, field.name)
        if isinstance(value, msgspec.Raw) or field.type is messages.Metadata:
            value = None if value is UNSET else {}
        else:
            differs = differs or value != getattr(understood, field.name)
        if value is not None or field.required:
            given[field.encode_name] = value
    if not differs:
        return None
    return explain(given) or "a message can't be written as JSON"


def too_large(most: int) -> Refused:
    return Refused("malformed", f"a message has at most {most} bytes")


def _grown(message: Message | messages.Hello, size: int) -> int:
    if isinstance(message, messages.Hello):
        return size
    size += _SEQ if message.seq is None else len(str(MAX_SAFE)) - len(str(message.seq))
    for_room = isinstance(message, messages.Signal | messages.Text) and message.to is None
    return size + _TO if for_room else size


class Gap(Exception):
    """A message before this one is missing. A new connection brings it."""


class Welcomed(NamedTuple):
    """`taken`: the messages that the service has acknowledged. `lost`: those it hadn't acknowledged
    when it forgot us, None if it didn't. `refused`: those that are too large to be sent again.
    """

    taken: list[Message]
    lost: list[Message] | None
    refused: list[Message]


class _Kept(NamedTuple):
    number: int
    message: Message
    frame: bytes


class Session:
    __slots__ = (
        "_acknowledged",
        "_kept",
        "_proof",
        "_sent",
        "_unwritten",
        "most",
        "received",
    )

    def __init__(self) -> None:
        self.most = MAX_FRAME
        """The service accepts messages of this many bytes."""
        self.received = 0
        """The number of the last message from the service."""
        self._proof: str | None = None
        self._acknowledged = 0
        """The last message that this side has acknowledged."""
        self._sent = 0
        self._kept: deque[_Kept] = deque()
        """Messages that the service hasn't acknowledged."""
        self._unwritten: deque[bytes] = deque()
        """Those of them that haven't been written to the open connection."""

    # --- out -----------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Number the message and keep it. Raises Refused if the service wouldn't understand it:
        then the service couldn't see the number either, and would miss it.
        """
        message.seq = self._sent + 1
        frame = checked(message, self.most)
        self._sent += 1
        self._kept.append(_Kept(self._sent, message, frame))
        self._unwritten.append(frame)

    def closed_for_size(self) -> bool:
        """The service closed a connection because a message was too large, without saying which.
        The largest one that was written is such a message: it and others of its size aren't sent
        again. False if none was written.
        """
        written = [len(kept.frame) for kept in self._kept][: len(self._kept) - len(self._unwritten)]
        if not written:
            return False
        self.most = min(self.most, max(written) - 1)
        return True

    def next_frame(self) -> bytes | None:
        """The next frame to write to the connection."""
        return self._unwritten.popleft() if self._unwritten else None

    @property
    def waits(self) -> bool:
        """Whether the service still has to acknowledge written messages."""
        return len(self._kept) > len(self._unwritten)

    def acknowledge(self, number: int) -> list[Message]:
        """The service has everything up to `number`. Returns those messages."""
        taken: list[Message] = []
        while self._kept and self._kept[0].number <= number:
            taken.append(self._kept.popleft().message)
        return taken

    # --- in ------------------------------------------------------------------------------------

    def take(self, number: int) -> bool:
        """Whether the message is new. Raises Gap."""
        if number <= self.received:
            return False
        if number != self.received + 1:
            raise Gap
        self.received = number
        return True

    @property
    def owed(self) -> int:
        """The number of messages that this side hasn't acknowledged."""
        return self.received - self._acknowledged

    def ack(self) -> bytes:
        self._acknowledged = self.received
        return msgspec.json.encode(messages.Ack(self.received))

    # --- another connection --------------------------------------------------------------------

    @property
    def resume(self) -> messages.Resume | None:
        """The `resume` of the next hello."""
        return None if self._proof is None else messages.Resume(self._proof, self.received)

    def spoil(self) -> None:
        """The two sides count differently. The next connection starts anew, as the same peer: its
        hello claims to have received a message that was never sent.
        """
        self.received = UNHEARD_OF

    def welcome(self, welcome: messages.Welcome) -> Welcomed:
        """Apply a welcome: both sides know again what the other has."""
        forgotten = self._proof is not None and not welcome.resumed
        self._proof = welcome.session
        if welcome.limits is not None:
            self.most = welcome.limits.message_bytes
        taken = [] if forgotten else self.acknowledge(welcome.received or 0)
        waiting = [kept.message for kept in self._kept if len(kept.frame) <= self.most]
        refused = [kept.message for kept in self._kept if len(kept.frame) > self.most]
        if forgotten:
            self.received = 0
        if forgotten or refused:
            # The service has none of these, so they can get other numbers.
            self._sent = 0 if forgotten else (welcome.received or 0)
            self._kept.clear()
        if refused and not forgotten:
            for message in waiting:
                self._sent += 1
                message.seq = self._sent
                self._kept.append(_Kept(self._sent, message, msgspec.json.encode(message)))
        self._unwritten = deque(kept.frame for kept in self._kept)
        self._acknowledged = self.received
        return Welcomed(taken, waiting if forgotten else None, refused)
