"""Compare the issuer's clock and the TURN server's with this machine's, in seconds.

The issuer's clock sets a credential's end and the server's clock judges it. This machine's is the
only one that both can be compared with. If two clocks agree, the third is wrong. With fewer than
three it's unknown which one is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["SAME", "UNKNOWN", "Clocks", "Span", "in_nonce"]

SAME = 10.0
"""Seconds within which two clocks count as equal: a Date header and a nonce have whole seconds and
took some time to arrive."""

PLAUSIBLE = 10 * 365 * 86_400
"""Seconds: digits that would put a clock further ahead than this aren't a time."""

Whose = Literal["issuer", "server", "this machine", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class Span:
    """How far a clock is ahead of this machine's, from `low` to `high`; negative when behind."""

    low: float
    high: float

    @classmethod
    def exactly(cls, ahead: float) -> Span:
        return cls(ahead, ahead)

    def __contains__(self, ahead: float) -> bool:
        return self.low - SAME <= ahead <= self.high + SAME

    @property
    def exact(self) -> bool:
        return self.low == self.high

    def __str__(self) -> str:
        return f"{self.low:.0f} s" if self.exact else f"{self.low:.0f} to {self.high:.0f} s"


UNKNOWN = Span(-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Clocks:
    """`issuer` is in seconds ahead of this machine's, None if it isn't known."""

    issuer: float | None = None
    server: Span = UNKNOWN

    @property
    def off(self) -> Whose:
        """The clock that differs from the other two; "none" if all three agree."""
        if self.issuer is None or self.server == UNKNOWN:
            return "unknown"
        with_machine, with_issuer = 0.0 in self.server, self.issuer in self.server
        if abs(self.issuer) <= SAME:
            return "none" if with_machine else "server"
        if with_machine == with_issuer:
            return "unknown"
        return "issuer" if with_machine else "this machine"


def in_nonce(nonce: str | None, now: float) -> int | None:
    """The server's Unix time. coturn from 4.17 on begins its nonces with it: 8 of 24 hex digits."""
    if nonce is None or not re.fullmatch("[0-9a-fA-F]{24}", nonce):
        return None
    time = int(nonce[:8], 16)
    return time if time < now + PLAUSIBLE else None
