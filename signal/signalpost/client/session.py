"""The client's half of a session: numbers, acknowledgements, and what is sent again.

Owns docs/protocol.md, "Nothing lost", rules 1 to 4, as far as they are about numbers. Pure: no
sockets, no clock. What it hands on comes once and in order: that rule must not be broken.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec

from signalpost import messages
from signalpost.client.errors import Refused
from signalpost.errors import Malformed

__all__ = ["MAX_FRAME", "Gap", "Message", "Session", "encode"]

MAX_FRAME = 65_536
"""What the service takes unless `limits.message_bytes` says otherwise. A larger message would end
the connection, and would be sent again on the next one.
"""
UNHEARD_OF = 2**53 - 1

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
"""What this client numbers. (It never says `cancel`: `hang-up` ends a call in any state.)"""


def encode(message: Message) -> bytes:
    """Raises Refused, as the service would."""
    frame = msgspec.json.encode(message)
    if len(frame) > MAX_FRAME:
        raise Refused("malformed", f"a message is at most {MAX_FRAME} bytes")
    try:
        messages.parse(frame)
    except Malformed as error:
        raise Refused(error.code, error.message) from None
    return frame


class Gap(Exception):
    """A message before this one is missing: a new connection brings it."""


class _Kept(NamedTuple):
    number: int
    message: Message
    frame: bytes


class Session:
    __slots__ = ("_acknowledged", "_kept", "_proof", "_sent", "_unwritten", "received")

    def __init__(self) -> None:
        self.received = 0
        """The number of the last message from the service."""
        self._proof: str | None = None
        self._acknowledged = 0
        """The last one that the service was told of."""
        self._sent = 0
        self._kept: deque[_Kept] = deque()
        """What the service has not acknowledged."""
        self._unwritten: deque[bytes] = deque()
        """Of that, what has not been written to the connection that is open."""

    # --- out -----------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Number it and keep it. Raises Refused for what the service would not understand: it
        would not see the number either, and miss it.
        """
        message.seq = self._sent + 1
        frame = encode(message)
        self._sent += 1
        self._kept.append(_Kept(self._sent, message, frame))
        self._unwritten.append(frame)

    def next_frame(self) -> bytes | None:
        """The next one to write to the connection."""
        return self._unwritten.popleft() if self._unwritten else None

    @property
    def waits(self) -> bool:
        """Whether the service owes an acknowledgement of what was written."""
        return len(self._kept) > len(self._unwritten)

    def acknowledge(self, number: int) -> list[Message]:
        """The service has everything up to `number`: what that is."""
        taken: list[Message] = []
        while self._kept and self._kept[0].number <= number:
            taken.append(self._kept.popleft().message)
        return taken

    # --- in ------------------------------------------------------------------------------------

    def take(self, number: int) -> bool:
        """Whether it is new. Raises Gap."""
        if number <= self.received:
            return False
        if number != self.received + 1:
            raise Gap
        self.received = number
        return True

    @property
    def owed(self) -> int:
        """How many have come that the service was not told of."""
        return self.received - self._acknowledged

    def ack(self) -> bytes:
        self._acknowledged = self.received
        return msgspec.json.encode(messages.Ack(self.received))

    # --- another connection --------------------------------------------------------------------

    @property
    def resume(self) -> messages.Resume | None:
        """What to say in the hello."""
        return None if self._proof is None else messages.Resume(self._proof, self.received)

    def spoil(self) -> None:
        """The two sides count differently. The next connection starts anew, as the same peer: what
        it says to have received was never sent.
        """
        self.received = UNHEARD_OF

    def welcome(self, welcome: messages.Welcome) -> tuple[bool, list[Message]]:
        """Whether the service knows nothing of us any more, and then what it had not acknowledged;
        otherwise what it has acknowledged by now.
        """
        forgotten = self._proof is not None and not welcome.resumed
        self._proof = welcome.session
        if forgotten:
            lost = [kept.message for kept in self._kept]
            self._kept.clear()
            self._unwritten.clear()
            self._sent = self.received = self._acknowledged = 0
            return True, lost
        taken = self.acknowledge(welcome.received or 0)
        self._unwritten = deque(kept.frame for kept in self._kept)
        self._acknowledged = self.received
        return False, taken
