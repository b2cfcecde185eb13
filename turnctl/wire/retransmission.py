"""When to send a request again over UDP, or to start another TCP connect.

A lossy network must not look like a server that doesn't answer. With a share p of the packets lost
each way, a round trip fails with q = 1 - (1 - p)², and a request that was sent n times with qⁿ:

    p     5 %      10 %     20 %     30 %
    q     9.8 %    19 %     36 %     51 %
    q⁷    8e-8     9e-6     8e-4     9e-3
    q¹⁶   7e-17    3e-12    8e-8     2e-5

With seven sends, less than one step in a thousand fails at 20 %. With 16 sends, less than one check
in a thousand fails at 30 %, and a check has some fifty steps.

RFC 8489 section 6.2.1 starts at 0.5 s and doubles, which fits only six sends into ten seconds. A
server that answers sees nothing of this, unless its round trip is longer than the interval: then it
gets a few copies of a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

from aioice import stun

__all__ = ["INTERVAL", "SENDS", "SHORTEST", "connects", "hasten_ice", "interval", "pauses"]

SENDS = 16

INTERVAL = 0.2
"""Seconds between two sends: 16 sends take three seconds."""

SHORTEST = 0.04
"""Seconds between two sends at least: with less patience there are fewer sends, not faster ones."""

LATER = 1.0
"""Seconds between the sends after those 16, as long as there is patience."""

CONNECTS = 8
"""TCP connects that may run at once. The kernel sends a lost SYN again only after 1, 3 and 7 s, so
one connect of 12 s fails with q⁴: 2 % at p = 20 %, 7 % at 30 %."""

CONNECT_INTERVAL = (0.1, 0.5)
"""Seconds between two starts, at least and at most."""


def interval(patience: float) -> float:
    """Seconds between two sends, for a step that may take `patience` seconds."""
    return min(INTERVAL, max(SHORTEST, patience / SENDS))


def pauses(patience: float) -> Iterator[float]:
    """Seconds to wait after each send, without end."""
    yield from repeat(interval(patience), SENDS - 1)
    yield from repeat(LATER)


def connects(patience: float) -> Iterator[float]:
    """Seconds to wait after each start of a TCP connect, except the last."""
    least, most = CONNECT_INTERVAL
    yield from repeat(min(most, max(least, patience / SENDS)), CONNECTS - 1)


def hasten_ice() -> None:
    """Make aioice's agents send as often; aioice has no parameter for it. Its own intervals start
    at 0.5 s and double: too few requests fit into an ICE leg's time if packets are lost, and a NAT
    that opens only from inside costs half a second.
    """
    stun.RETRY_RTO = INTERVAL
