"""Compute how well a relay's port range was sampled, from the ports that a server gave.

Only the server chooses a relay's port (RFC 8656 section 7.2). EVEN-PORT with RESERVATION-TOKEN only
adds the next higher one, at the same place in the range. So a client asks again until it has seen
ports of each third, and reports how likely it missed a closed part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import Any

from turnctl.diagnosis.observations import Inbound
from turnctl.wire.outcome import Outcome

__all__ = ["evidence", "thirds"]

DYNAMIC = (49152, 65535)
"""Where RFC 8656 section 7.2 puts relays, and coturn too unless min-port and max-port are set."""

SHARES = (Fraction(1, 2), Fraction(1, 4), Fraction(1, 10))
"""Closed parts of the range for which the evidence gives the chance of missing them."""


def thirds(ports: Collection[int]) -> tuple[int, int, int]:
    """How many of the ports are low, middle and high in their range."""
    counts = [0, 0, 0]
    low, high = _range(ports)
    for port in ports:
        counts[_third(port, low, high)] += 1
    return counts[0], counts[1], counts[2]


def _third(port: int, low: int, high: int) -> int:
    return (port - low) * 3 // (high - low + 1)


def _range(ports: Collection[int]) -> tuple[int, int]:
    """The dynamic ports if the given ones are spread over them, otherwise only what was seen."""
    low, high = DYNAMIC
    inside = all(low <= port <= high for port in ports)
    if inside and len({_third(port, low, high) for port in ports}) > 1:
        return DYNAMIC
    return min(ports, default=low), max(ports, default=high)


def evidence(samples: Iterable[Inbound]) -> dict[str, Any] | None:
    """The samples and what they prove, as JSON values; None if no sample proves anything."""
    proved = {
        one.relayed[1]: one.outcome is Outcome.OK
        for one in samples
        if one.outcome in {Outcome.OK, Outcome.SILENT} and one.elsewhere is None
    }
    if not proved:
        return None
    low, high = _range(proved)
    return {
        "samples": len(proved),
        "openPorts": sorted(port for port, arrived in proved.items() if arrived),
        "lostPorts": sorted(port for port, arrived in proved.items() if not arrived),
        "range": [low, high],
        "thirds": dict(zip(("low", "middle", "high"), thirds(proved), strict=True)),
        "confidence": round(1 - 0.5 ** len(proved), 3),
        # Ports come at random: a closed share f is missed by n samples with (1 - f)^n.
        "missed": {str(f): round(float((1 - f) ** len(proved)), 3) for f in SHARES},
    }
