"""Sessions: what makes a lost connection harmless. Numbers, acknowledgements, replay.

Owns one direction each: `Outgoing` keeps what the client has not acknowledged, `Incoming` drops
what came before. A session outlives its sockets; numbers belong to it, never to a socket. Pure: no
sockets, no clock. Nothing is ever delivered twice or out of order, and where something is missing
the session says so instead of going on: that rule must not be broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from signalpost.errors import OutOfOrder
from signalpost.signaling.hub import Receipt

__all__ = ["MAX_KEPT", "Incoming", "Outgoing"]

MAX_KEPT = 1_048_576
"""Bytes kept for replay: sixteen of the largest messages, or thousands of candidates."""


class _Kept(NamedTuple):
    frame: bytes
    receipt: Receipt | None


class Outgoing:
    """Messages to the client, from number 1 on. With `keep` they are kept for replay; `full` says
    that the client left more unacknowledged than is kept for anybody, and that nothing is any more.
    """

    __slots__ = ("_acknowledged", "_keep", "_kept", "full", "last", "size")

    def __init__(self, *, keep: bool = True) -> None:
        self.last = 0
        self.full = False
        self.size = 0
        """Bytes kept."""
        self._acknowledged = 0
        """Frames up to this number are not kept any more."""
        self._keep = keep
        self._kept: list[_Kept] = []  # a deque would take 600 bytes when it is empty

    def number(self, members: bytes, receipt: Receipt | None = None) -> bytes:
        """The frame for a message given as the text of its members, `"type":…}` to the brace."""
        self.last = number = self.last + 1
        frame = b'{"seq":%d,%b' % (number, members)
        if self._keep:
            self._kept.append(_Kept(frame, receipt))
            self.size += len(frame)
            if self.size > MAX_KEPT:
                self._give_up()
        return frame

    def _give_up(self) -> None:
        self.full, self._keep = True, False
        self._kept.clear()
        self.size = 0

    def acknowledge(self, number: int) -> list[Receipt]:
        """The client has everything up to `number`: the receipts that are due.

        Raises OutOfOrder for a number that was never sent.
        """
        if number > self.last:
            raise OutOfOrder(f"message {number} was never sent; the last was {self.last}")
        count = number - self._acknowledged
        if not self._keep or count <= 0:
            return []
        arrived = self._kept[:count]
        del self._kept[:count]
        self._acknowledged = number
        self.size -= sum(len(kept.frame) for kept in arrived)
        return [kept.receipt for kept in arrived if kept.receipt is not None]

    def since(self, number: int) -> list[bytes] | None:
        """The frames after `number`, None when they are not all there any more."""
        if not self._keep or not self._acknowledged <= number <= self.last:
            return None
        return [kept.frame for kept in self._kept][number - self._acknowledged :]


@dataclass(slots=True)
class Incoming:
    """Messages from the client; `last` is the number of the last one taken."""

    last: int = 0

    def take(self, number: int) -> bool:
        """Whether it is new; a repeat is not. Raises OutOfOrder when one before it is missing."""
        if number <= self.last:
            return False
        if number != self.last + 1:
            raise OutOfOrder(f"message {number} came after {self.last}: resume to send the rest")
        self.last = number
        return True
