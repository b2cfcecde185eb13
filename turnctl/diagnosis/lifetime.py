"""Work out from a service's answer how long its credential lasts, and what its clock shows.

The sources are the JSON, the headers and the time that the caller gives. If they contradict each
other, the value is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from signalpost.credentials import read_username
from signalpost.iceservers import IceServer
from turnctl.diagnosis.clocks import SAME

__all__ = ["Lifetime", "read"]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`ttl` is in seconds from when the answer was given, and `clock` in seconds by which the
    issuer's is ahead of this machine's. None if the answer doesn't show it.
    """

    ttl: float | None
    clock: float | None


def read(
    document: object,
    servers: Sequence[IceServer],
    headers: Mapping[str, str],
    *,
    between: tuple[float, float],
) -> Lifetime:
    """`between` is this machine's Unix time when it asked and when it was answered.

    The lifetime is what the answer says, otherwise what its user names say by the issuer's clock.
    That clock is the Date header (RFC 9110 section 6.6.1), plus the time that a cache kept the
    answer. Proxies may replace the Date. If the answer has a lifetime too, its user names show when
    they were minted; if the two differ, neither is used.
    """
    here = sum(between) / 2
    announced = _announced(document) if isinstance(document, dict) else None
    ends = [read_username(server.username).expires for server in servers if server.username]
    first = min((end for end in ends if end is not None), default=None)
    date = _date(headers.get("date", ""))
    if date is not None and announced is not None and first is not None:
        date = date if abs(first - announced - date) <= SAME else None
    # Whole seconds: half a second is the middle of what was cut off.
    clock = None if date is None else date + 0.5 + _age(headers.get("age", "")) - here
    if announced is not None or first is None:
        return Lifetime(announced, clock)
    return Lifetime(first - here - (clock or 0.0), clock)


def _announced(document: Mapping[str, Any]) -> float | None:
    """`ttl`, or Google's `lifetimeDuration`, which ends with an s for seconds."""
    duration = document.get("lifetimeDuration")
    if "ttl" not in document and isinstance(duration, str):
        return _seconds(duration.removesuffix("s"))
    return _seconds(document.get("ttl"))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _age(text: str) -> int:
    """Seconds in a cache (RFC 9111 section 5.1)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _seconds(value: object) -> float | None:
    """A number, also as text, as Twilio writes it. None for any other JSON value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None
