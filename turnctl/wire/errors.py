"""How an exchange on the wire can fail: a class for each outcome.

WireError
├── Silent            nothing came back in time
├── Stalled           nothing came back over a connection that loses packets
├── Refused           TCP reset, ICMP port unreachable
├── Unroutable        no route from this machine
├── Closed            the other side closed the connection
├── Elsewhere         the answer came from another address than the one asked
├── NotStun           something came back that isn't an answer in STUN
├── TlsFailed         the handshake or the certificate failed
└── ErrorResponse     a STUN error response
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar, Literal

from turnctl.wire.outcome import Address, Outcome
from turnctl.wire.stun import Attribute, Message

__all__ = [
    "Closed",
    "Elsewhere",
    "ErrorResponse",
    "NotStun",
    "Refused",
    "Silent",
    "Stalled",
    "TlsFailed",
    "TlsProblem",
    "Unroutable",
    "WireError",
    "from_os_error",
]

TlsProblem = Literal[
    "refused",
    "untrusted",
    "chain-incomplete",
    "name-mismatch",
    "ip-literal",
    "expired",
    "old-version",
]

EVIDENCE_BYTES = 48
"""How much of a strange answer is kept: enough to recognize an HTTP status line."""


class WireError(Exception):
    """A failed exchange; its text is the evidence."""

    outcome: ClassVar[Outcome] = Outcome.UNKNOWN


class Silent(WireError):
    outcome = Outcome.SILENT


class Stalled(WireError):
    """The kernel is still trying to deliver the request or its answer."""

    outcome = Outcome.LOSSY


class Refused(WireError):
    outcome = Outcome.REFUSED


class Unroutable(WireError):
    outcome = Outcome.UNROUTABLE


class Closed(WireError):
    outcome = Outcome.CLOSED


class Elsewhere(WireError):
    outcome = Outcome.ELSEWHERE

    def __init__(self, source: Address) -> None:
        self.source = source
        super().__init__(f"the answer came from {source[0]} port {source[1]}")


class NotStun(WireError):
    outcome = Outcome.FOREIGN

    def __init__(self, what: str, sample: bytes = b"") -> None:
        shown = f", beginning {sample[:EVIDENCE_BYTES]!r}" if sample else ""
        super().__init__(f"{what}{shown}")


class TlsFailed(WireError):
    outcome = Outcome.TLS_FAILED

    def __init__(
        self,
        problem: TlsProblem,
        text: str,
        *,
        issuer_missing: bool = False,
        endless: bool = False,
    ) -> None:
        self.problem: TlsProblem = problem
        self.issuer_missing = issuer_missing
        self.endless = endless
        super().__init__(text)


class ErrorResponse(WireError):
    outcome = Outcome.ERROR

    def __init__(self, response: Message) -> None:
        self.response = response
        self.code, self.reason = response.error or (0, "an error response without ERROR-CODE")
        super().__init__(f"{self.code} {self.reason}".strip())

    @property
    def alternate(self) -> Address | None:
        """The server that a 300 names instead (RFC 8489 section 10)."""
        return self.response.address(Attribute.ALTERNATE_SERVER)


_NO_ROUTE = {
    errno.ENETUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EACCES,  # an `unreachable` or `prohibit` route, or a local firewall that rejects
    errno.EPERM,
}


def from_os_error(error: OSError) -> WireError:
    """The failure that an operating system's error means."""
    # Not the error's own text: asyncio replaces it with "Connect call failed (address)".
    text = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, ConnectionRefusedError):
        return Refused(text)
    if isinstance(error, TimeoutError) or error.errno == errno.EHOSTUNREACH:
        return Silent(text or "timed out")
    if error.errno in _NO_ROUTE:
        return Unroutable(text)
    return Closed(text)
