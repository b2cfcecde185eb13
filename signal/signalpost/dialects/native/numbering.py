"""Numbers, acknowledgements and replay: they make a lost connection harmless.

`OutgoingNumbers` keeps what the client hasn't acknowledged, `IncomingNumbers` drops repeats.
Numbers belong to the session, which outlives its sockets. Pure: no sockets, no clock. Never deliver
a message twice or out of order; if one is missing, say so instead of carrying on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from signalpost.errors import OutOfOrder
from signalpost.signaling.hub import Encoded, Receipt

__all__ = ["MAX_KEPT", "IncomingNumbers", "OutgoingNumbers"]

MAX_KEPT = 1_048_576
"""Bytes kept for replay: sixteen of the largest messages, or thousands of candidates."""


class _Kept(NamedTuple):
    frame: bytes
    receipt: Receipt | None


class OutgoingNumbers:
    """Numbers the messages to the client, from 1 on. With `keep` they are kept for replay. `full`:
    the client left more than MAX_KEPT unacknowledged, so nothing is kept any more.
    """

    __slots__ = ("_acknowledged", "_keep", "_kept", "full", "last", "size")

    def __init__(self, *, keep: bool = True) -> None:
        self.last = 0
        self.full = False
        self.size = 0
        """Bytes kept."""
        self._acknowledged = 0
        """Frames up to this number are no longer kept."""
        self._keep = keep
        self._kept: list[_Kept] = []  # an empty deque would take 600 bytes

    def number(self, encoded: Encoded, receipt: Receipt | None = None) -> bytes:
        """The next frame: the message with the next number in it."""
        self.last = number = self.last + 1
        frame = b'{"seq":%d,%b' % (number, encoded)
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
        """The client has everything up to `number`. Returns the receipts that are due.

        Raises OutOfOrder for a number that was never sent.
        """
        if number > self.last:
            raise OutOfOrder(f"you acknowledged message {number}; the last one sent is {self.last}")
        count = number - self._acknowledged
        if not self._keep or count <= 0:
            return []
        arrived = self._kept[:count]
        del self._kept[:count]
        self._acknowledged = number
        self.size -= sum(len(kept.frame) for kept in arrived)
        return [kept.receipt for kept in arrived if kept.receipt is not None]

    def since(self, number: int) -> list[bytes] | None:
        """The frames after `number`, None if some of them are no longer kept."""
        if not self._keep or not self._acknowledged <= number <= self.last:
            return None
        return [kept.frame for kept in self._kept][number - self._acknowledged :]


@dataclass(slots=True)
class IncomingNumbers:
    """Checks the numbers of the client's messages. `last` is the last one accepted."""

    last: int = 0

    def take(self, number: int) -> bool:
        """Whether this message is new. Raises OutOfOrder if one before it is missing."""
        if number <= self.last:
            return False
        if number != self.last + 1:
            raise OutOfOrder(
                f"message {number} came after {self.last}; resume to send the missing ones"
            )
        self.last = number
        return True
